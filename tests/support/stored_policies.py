"""Policies in a database, as tests want them."""

from __future__ import annotations

from db import policies, runs

SETTINGS = {"method": "dpo", "beta": 0.1, "lora": None}


def open_align_run(sessions, key="r" * 64, kind=runs.ALIGN):
    with sessions.begin() as session:
        return runs.open_run(session, kind=kind, name="aligned", config={}, config_key=key, code_version="0")


def open_policy(sessions, run_id, key, **changes):
    values = {
        "name": "aligned",
        "method": "dpo",
        "round": 1,
        "start_model": "demo",
        "start_fingerprint": "f" * 64,
        "parent_id": None,
        "snapshot_id": None,
        "data_hash": "d" * 64,
        "settings": SETTINGS,
        "code_version": "0",
        "library_versions": {"torch": "2"},
    }
    with sessions.begin() as session:
        return policies.open_policy(session, key=key * 64, run_id=run_id, **(values | changes))


def finish(sessions, policy_id, **metrics):
    with sessions.begin() as session:
        policies.finish_policy(
            session,
            policy_id,
            folder=f"policies/{policy_id}/model",
            fingerprint="a" * 64,
            seconds=1.5,
            peak_memory_bytes=2**40,
            metrics=metrics,
        )
