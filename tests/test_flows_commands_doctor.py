"""The doctor as a command: checks that fail leave the others alone, and the exit status is the answer."""

from __future__ import annotations

import time

import pytest
from answering_servers import silent_port
from doctor_findings import SECRET, levels, told
from surroundings import free_port

from flows.commands.doctor import Check, Doctor, run_checks
from tasks.doctor.machine import Finding


@pytest.fixture
def taken_port():
    with silent_port() as port:
        yield port


def test_checks_that_fail_or_hang_leave_the_others_alone():
    def fails() -> list[Finding]:
        raise RuntimeError(SECRET)

    def hangs() -> list[Finding]:
        time.sleep(60)
        return []

    def works() -> list[Finding]:
        return [Finding("works", "ok", "well")]

    found = list(run_checks([Check("a", fails), Check("b", hangs, 0.1), Check("c", works)]))

    assert [group for group, _ in found] == ["a", "b", "c"]
    assert levels([finding for _, finding in found]) == ["problem", "problem", "ok"]
    assert "RuntimeError" in told([finding for _, finding in found])


def test_the_doctor_tells_everything_and_its_exit_status_says_whether_there_is_a_problem(
    tmp_path, monkeypatch, capsys, taken_port
):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("ANTIPODE_ARTIFACT_ROOT", str(tmp_path / "artifacts"))

    with pytest.raises(SystemExit) as ended:
        Doctor(model=("demo",), page_port=taken_port, prefect_port=free_port()).cli_cmd()

    assert ended.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    groups = [line for line in lines if not line.startswith(" ")][:-1]
    assert groups == ["installation", "devices", "machine", "database", "Prefect", "ports", "models"]
    assert "           do: pip uninstall -y torchvision" in lines
    assert f"           do: antipode web --port {taken_port + 1}" in lines
    assert "  ok       model demo: comes with Antipode" in lines
    assert ": problems 2, warnings " in lines[-1]
