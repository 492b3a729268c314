"""Versions before calibrations know none: what was said in one is no label there either."""

from __future__ import annotations

from labelling_steps import curate_breads, pair_keys
from stored_labels import ANNA, judge, stored

from db import runs
from db.labels import judgements
from db.migrations import downgrade, upgrade
from models.labelling.records import AnnotatorIdentity, Judgement


def test_verdicts_of_calibrations_are_no_labels_of_versions_before_them(settings, sessions):
    run_id = curate_breads(sessions)
    pair, *_ = pair_keys(sessions, run_id)
    judge(sessions, ANNA, pair, "first")
    with sessions.begin() as session:
        calibration = runs.open_run(
            session, kind=runs.CALIBRATE, name="c", config={}, config_key="c", code_version="0", labelled_run_id=run_id
        )
        judge_id = judgements.add_annotator(session, AnnotatorIdentity("judge", "tiny"))
        judgements.add_judgements(session, judge_id, [Judgement(pair, pair[0], "second")], run_id=calibration)
        engine = session.get_bind()
    downgrade(engine, "0028")
    upgrade(engine)
    assert [row.verdict for row in stored(sessions)] == ["first"]
