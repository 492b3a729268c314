"""Policies that say what a test wants, to be compared: no model is trained or loaded."""

from __future__ import annotations

import json
import shutil

from alignment_world import align_config, prefer, store_samples
from installed import installed

from db import evaluations, policies
from models.fingerprint import model_fingerprint
from tasks.alignment.opening import open_align_run, open_evaluation_run
from tasks.config.evaluation import EvaluationConfig
from tasks.evaluation.comparison import compare_with
from tasks.run_kinds import load_alignment
from tasks.runs import recorded

RUBRIC = {"annotator": "rubric", "max_tokens": 4, "backend": "transformers", "has_drift": False}
HELD_OUT = 12
POOR = "No."


def store_preferences(folder):
    """Held-out preferences in a SQLite database of this folder, with its artifacts."""
    with installed(folder) as (_, sessions):
        prefer(sessions, train=2, held_out=HELD_OUT)


def compared_world(preferred, settings, sessions, folder):
    """Held-out preferences, a run that aligns and its start model; policies are folders of a content of their own."""
    if settings.database.startswith("sqlite"):
        shutil.copytree(preferred, folder, dirs_exist_ok=True)
    else:
        prefer(sessions, train=2, held_out=HELD_OUT)
    return World(settings, sessions, folder)


class World:
    def __init__(self, settings, sessions, folder):
        self.settings, self.sessions = settings, sessions
        self.model = folder / "start"
        self.model.mkdir()
        (self.model / "config.json").write_text("{}")
        self.config = align_config(str(self.model), evaluate=RUBRIC)
        self.run_id = open_align_run.fn(self.config)
        self.count = 0

    def policy(self, text_of, *, parent_id=None):
        """A trained policy that says this to every prompt it is compared on."""
        self.count += 1
        name = f"policies/{self.count}"
        folder = self.settings.artifact_root / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(self.count))
        with self.sessions.begin() as session:
            policy = policies.open_policy(
                session, key=f"{self.count:064}", name="test", method="dpo", round=1, run_id=self.run_id,
                start_model=str(self.model), start_fingerprint="0" * 64, parent_id=parent_id, snapshot_id=1,
                data_hash="0" * 64, settings={"beta": 0.1, "seed": 0, "lora": None}, code_version="0",
                library_versions={},
            )  # fmt: skip
            fingerprint = model_fingerprint(str(folder), None)
            policies.finish_policy(
                session, policy.id, folder=name, fingerprint=fingerprint, seconds=1.0, peak_memory_bytes=1, metrics={}
            )
        self.says(f"policy:{policy.id}", text_of)
        return policy.id

    def says(self, model, text_of):
        with self.sessions() as session:
            fixed = load_alignment(session, self.run_id)
        store_samples(self.sessions, fixed, model, self.settings, text_of)

    def compared(self, policy_id, against="start", **evaluate):
        """The evaluation of a comparison, as the command makes it."""
        section = {name: value for name, value in RUBRIC.items() if name != "annotator"}
        config = EvaluationConfig.model_validate(
            {"policy": policy_id, "against": against, "evaluate": section | (evaluate or {"annotator": "rubric"})}
        )
        run_id = open_evaluation_run.fn(config)
        with recorded(run_id):
            evaluation_id = compare_with.fn(run_id, policy_id, against)
        with self.sessions() as session:
            return evaluations.get_evaluation(session, evaluation_id)


def poor(_):
    return POOR
