"""What a judge's server refused is no label any more, in databases of the versions before either."""

from __future__ import annotations

from labelling_steps import curate_breads, pair_keys
from stored_labels import ANNA, judge, stored

from db.migrations import downgrade, upgrade
from models.labelling.records import AnnotatorIdentity

JUDGE = AnnotatorIdentity("judge", "tiny (alpaca_eval)", (), has_both_orders=True)


def test_stored_refusals_go_and_everything_else_stays(settings, sessions):
    first, second, third, *_ = pair_keys(sessions, curate_breads(sessions))
    judge(sessions, JUDGE, first, "skip", raw_reply="the server refused the request: content policy", requests=1)
    judge(sessions, JUDGE, second, "first", raw_reply="m", requests=1)
    judge(sessions, JUDGE, third, "unparsed", raw_reply="the server room is warm", requests=1)
    judge(sessions, ANNA, first, "skip")
    with sessions() as session:
        engine = session.get_bind()
    downgrade(engine, "0006")
    upgrade(engine)
    assert [(row.verdict, row.raw_reply) for row in stored(sessions)] == [
        ("first", "m"), ("unparsed", "the server room is warm"), ("skip", None)
    ]  # fmt: skip
