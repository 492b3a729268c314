"""What `import antipode` costs, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys

from surroundings import ROOT

HEAVY = {"torch", "prefect", "sqlalchemy", "pandas", "pydantic", "numpy"}


def run(code, folder):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_import_alone_loads_nothing_heavy(tmp_path):
    ended = run("import sys, antipode; print(sorted({name.partition('.')[0] for name in sys.modules}))", tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert not HEAVY & set(eval(ended.stdout))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_hides_a_package_is_named(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").touch()
    ended = run("import antipode; antipode.connect()", tmp_path)
    line = ended.stderr.splitlines()[-1]
    assert str(tmp_path / "models") in line and "hides Antipode's; start the notebook in another folder" in line
