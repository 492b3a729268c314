"""What the command of an alignment asks its engines for, so that it needs not load their libraries itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from alignment_world import align_config, ld_align_config, prefer, tiny_model
from installed import installed

ROOT = Path(__file__).parent.parent
STEPS = """
import sys
from engine_processes import use_engine_server
use_engine_server()
from tasks.alignment.opening import open_align_run, open_ld_align_run
from tasks.alignment.rounds import train_round, weigh_round
from tasks.alignment.training import fine_tune, train_policy
from tasks.config.alignment import AlignConfig
from tasks.config.rounds import LdAlignConfig
from tasks.evaluation.comparison import evaluate_policy
from tasks.runs import recorded
if sys.argv[1] == "align":
    run_id = open_align_run.fn(AlignConfig.model_validate_json(sys.argv[2]))
else:
    run_id = open_ld_align_run.fn(LdAlignConfig.model_validate_json(sys.argv[2]))
with recorded(run_id):
    if sys.argv[1] == "align":
        start_id = fine_tune.fn(run_id)
        policy_id = train_policy.fn(run_id, start_id)
    else:
        start_id = None
        weigh_round.fn(run_id, 1, None)
        policy_id = train_round.fn(run_id, 1, None, None)
    evaluate_policy.fn(run_id, policy_id, start_id)
print({"torch", "transformers", "sklearn"} & set(sys.modules))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Preferences and a model: the model's folder."""
    folder = tmp_path_factory.mktemp("reference")
    with installed(folder) as (_, sessions):
        prefer(sessions, train=4, held_out=2)
        yield tiny_model(folder / "model")


@pytest.mark.parametrize(("flow", "config_of"), [("align", align_config), ("ld-align", ld_align_config)])
def test_an_alignment_leaves_torch_to_its_engines(model, flow, config_of):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "support")))}
    command = [sys.executable, "-c", STEPS, flow, config_of(model).model_dump_json()]

    ran = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "set()"
