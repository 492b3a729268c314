"""The service on a Ray cluster of its own: a run's models are loaded there, and Ctrl-C leaves nothing of it."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys

import psutil
import pytest
from ray_backends import has_ray
from service_parts import Service, eventually, kill_family, printed_until_ready
from surroundings import ROOT, free_port, on_sqlite

from flows.__main__ import main
from tasks.doctor.engine import engine_place_findings
from tasks.settings import Settings

SHIPPED = str(ROOT / "models" / "demo" / "shipped_model")
CONFIG = {
    "model": {"name": SHIPPED, "dtype": "float32"},
    "generate": {"backend": "transformers", "responses_per_prompt": 2, "max_tokens": 4},
    "embed": {"backend": "hashed"},
    "select": {"has_cut": True},
}


def has_actor(process_id):
    """Whether a backend is on an actor of a cluster that this process has started."""
    return any("ray::_Host" in one.name() for one in psutil.process_iter(["name", "pid"]) if is_of(one, process_id))


def is_of(process, ancestor_id):
    with contextlib.suppress(psutil.NoSuchProcess):
        return ancestor_id in {parent.pid for parent in process.parents()}
    return False


def test_without_the_extra_the_service_says_what_to_install(settings, monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr(sys, "argv", ["antipode", "up", "--ray"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.splitlines() == ["antipode: --ray needs the extra `ray`: pip install -e '.[ray]'"]
    monkeypatch.setenv("ANTIPODE_ENGINE", "ray")
    (finding,) = engine_place_findings(Settings())
    assert finding.level == "problem" and "pip install -e '.[ray]'" in finding.text


def test_the_doctor_speaks_of_the_engine_only_where_it_is_ray(settings, monkeypatch):
    has_ray()
    assert engine_place_findings(Settings()) == []
    monkeypatch.setenv("ANTIPODE_ENGINE", "ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (finding,) = engine_place_findings(Settings())
    assert finding.level == "ok" and "RAY_ADDRESS names another" in finding.text


@pytest.mark.slow
@on_sqlite
def test_the_service_starts_a_cluster_and_ends_it(settings, tmp_path):
    has_ray()
    port, page_port = free_port(), free_port()
    parts = Service(tmp_path, settings.variables())
    parts.port, parts.address = port, f"http://127.0.0.1:{port}/api"
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Number 1?"}\n{"prompt": "Number 2?"}\n')
    assert parts.run("flows", "import", "prompts.jsonl").returncode == 0
    command = ["up", "--ray", "--prefect_port", str(port), "--page_port", str(page_port), "--annotators", "anna"]
    up = subprocess.Popen(
        [sys.executable, "-m", "flows", *command],
        cwd=tmp_path,
        env={
            name: value for name, value in parts.environment.items() if name not in ("PREFECT_API_URL", "RAY_ADDRESS")
        },
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed = printed_until_ready(up)
        (line,) = (line for line in printed.splitlines() if line.startswith("Ray cluster"))
        assert line.split()[2].startswith("127.0.0.1:") and re.search(r"1 node, \d+ GPUs, \d+ cores", line)
        run = parts.start_run("curate/manual", {"config": CONFIG})
        eventually(lambda: has_actor(up.pid), "an actor that holds the model")
        assert parts.ended(run)["type"] == "COMPLETED"
        family = psutil.Process(up.pid).children(recursive=True)
        up.send_signal(signal.SIGINT)
        assert up.wait() == 0
        assert [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
    finally:
        kill_family(up.pid)
        up.wait()
        up.stdout.close()
