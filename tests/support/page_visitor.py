"""A visitor of the labelling page, and queues for them."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi.testclient import TestClient
from stored_rows import add, ids_by_text, row

from db.labels import queues
from models.labelling.records import PairKey
from web.app import create_app
from web.people import set_lead
from web.sign_in import open_link

SECRET = b"sixteen bytes it"


HTML = {"accept": "text/html"}


HERE = {"sec-fetch-site": "same-origin"}


def open_queue(sessions, *texts, name="a queue", judgements_per_pair=1, prompt="why?"):
    """A queue of one pair for each two texts, each pair with a prompt of its own; the pairs in the order given."""
    texts = texts or ("first text", "second text")
    rows = [row(at, f"{prompt} {at}", *texts[at : at + 2]) for at in range(0, len(texts), 2)]
    return open_queue_of(sessions, rows, name=name, judgements_per_pair=judgements_per_pair)


def open_queue_of(sessions, rows, *, name="a queue", judgements_per_pair=1):
    add(sessions, *rows, name=name)
    ids = ids_by_text(sessions)
    pairs = [PairKey(*sorted(ids[response.text] for response in each.responses)) for each in rows]
    with sessions.begin() as session:
        return queues.open_queue(session, name=name, pairs=pairs, judgements_per_pair=judgements_per_pair, seed=0)


def sign_in_token(sessions, name, secret=SECRET):
    with sessions.begin() as session:
        return open_link(session, secret, name, now=datetime.now(UTC), days=30)


class Visitor:
    """A person's browser as far as requests go."""

    def __init__(self, sessions, name="Ana", *, is_lead=False, **served):
        self.name = name
        self.http = TestClient(create_app(sessions, secret=SECRET, lease_s=600, **served))
        assert self.http.get("/sign-in", params={"token": sign_in_token(sessions, name)}).status_code == 200
        if is_lead:
            set_lead(sessions, name, is_lead=True)

    def content(self, queue_id):
        return self.http.get(f"/queues/{queue_id}/pair").json()

    def pair(self, queue_id):
        return self.content(queue_id)["pair"]

    def post(self, path, **body):
        return self.http.post(path, json={"person": self.name, **body}, headers=HERE)

    def judge(self, queue_id, pair, verdict="left", seconds=0.0, **said):
        showing = {name: pair[name] for name in ("left_id", "right_id", "shown_at")}
        return self.post(f"/queues/{queue_id}/verdicts", **showing, verdict=verdict, seconds=seconds, **said)
