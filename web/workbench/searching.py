"""Makes texts searchable when somebody searches: a few at once, many in a thread of their own."""

from __future__ import annotations

import threading

from db.engine import Sessions, alone
from db.findings.pair_search import Indexed, index_texts, indexed

AT_ONCE = 2_000  # texts that a request itself indexes, in a tenth of a second
BATCH = 5_000  # texts of a transaction; labels wait for it


def searchable(sessions: Sessions) -> Indexed:
    """How many texts a search finds; the others follow meanwhile, one process at a time."""
    with sessions() as session:
        state = indexed(session)
    if 0 < state.left <= AT_ONCE:
        _index(sessions)
        with sessions() as session:
            state = indexed(session)
    elif state.left:
        threading.Thread(target=_index, args=(sessions,), name="index of words", daemon=True).start()
    return state


def _index(sessions: Sessions) -> None:
    with alone(sessions, "index of words") as is_free:
        while is_free:
            with sessions.begin() as session:
                if not index_texts(session, BATCH):
                    return
