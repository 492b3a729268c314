"""Queues of the labelling page with pairs whose answer is known."""

from __future__ import annotations

from page_visitor import open_queue
from stored_rows import add, ids_by_text, row

from db.labels.queueing import gold, settings
from models.labelling.records import PairKey


def open_gold_queue(sessions, *texts, share=0.5, bar=0.9, has_stop=True, known=12):
    """A queue of pairs, and gold pairs in which the text that begins with `good` is the better one."""
    queue_id = open_queue(sessions, *texts)
    add(sessions, *(row(at, f"known {at}?", f"good {at}", f"poor {at}") for at in range(known)), name="known")
    ids = ids_by_text(sessions)
    answers = {}
    for at in range(known):
        good, poor = ids[f"good {at}"], ids[f"poor {at}"]
        answers[PairKey(*sorted((good, poor)))] = "first" if good < poor else "second"
    with sessions.begin() as session:
        gold.set_pairs(session, queue_id, answers)
        settings.set_gold(session, queue_id, share=share, bar=bar, has_stop=has_stop)
    return queue_id


def side_of(pair, word):
    """The side of a pair as the page shows it whose text begins with this word; left where neither does."""
    return "right" if word in pair["right"] else "left"
