"""The pages of the pairs: what a lead sees, searches, sorts and takes along."""

from __future__ import annotations

import csv
import io
import json
import random
import re
from urllib.parse import quote

import pytest
from page_visitor import HTML, Visitor
from queued_pairs import places
from sqlalchemy import select
from stored_labels import ANNA, BEN, judge
from stored_rows import add, ids_by_text, open_run, row
from surroundings import on_sqlite

from db import pairs
from db.findings import pair_search
from db.schema.curation import Pair as StoredPair
from models.labelling.records import PairKey
from models.records import Pair
from web.workbench import searching

ROW = re.compile(r'name="ticked" data-list value="(\d+)-(\d+)-(\d+)"')
NEXT = re.compile(r'rel="next" href="([^"]+)"')
TEXTS = (
    ("Bread?", "Rye bread is dark.", "Wheat bread is *light*."),
    ("كيف حالك؟", "الحَمْدُ لله بخير", "خبز الجاودار"),
    ("Emoji 🍞?", "One 🍞 only", "None <script>alert(1)</script>"),
    ("中文?", "黑麦面包很好", "白面包也好"),
)


@pytest.fixture
def lea(sessions):
    return Visitor(sessions, "Lea", is_lead=True)


def fill(sessions, texts=TEXTS):
    """A pair for each prompt; the pairs' keys."""
    add(sessions, *(row(at, *three) for at, three in enumerate(texts)))
    return select_all(sessions, texts)


def select_all(sessions, texts, key="k" * 64):
    ids, rng = ids_by_text(sessions), random.Random(0)
    keys = [PairKey(*sorted((ids[first], ids[second]))) for _, first, second in texts]
    run_id = open_run(sessions, list(range(1, len(texts) + 1)), key=key)
    with sessions.begin() as session:
        chosen = [Pair("easy", at, *key, rng.random(), 1, 1) for at, key in enumerate(keys, 1)]
        pairs.add_pairs(session, run_id, chosen)
    return keys


def listed(visitor, query=""):
    answer = visitor.http.get(f"/pairs?{query}", headers=HTML)
    assert answer.status_code == 200, answer.text
    return [PairKey(int(first), int(second)) for _, first, second in ROW.findall(answer.text)], answer.text


def test_a_lead_finds_pairs_by_the_words_of_prompts_and_responses(sessions, lea):
    keys = fill(sessions)
    for words, expected in {
        "RYE": [0], "bread": [0], "bre*": [0], "light dark": [], "wheat light": [0], "الحمد": [1], "خبز الجاودار": [1],
        "面包": [3, 2][:1], "one": [2],
    }.items():  # fmt: skip
        assert listed(lea, f"q={quote(words)}")[0] == [keys[at] for at in expected], words


HOSTILE = (
    '"', "*", "NEAR", "NEAR(a b)", "'", "' OR 1=1 --", '"bread', "bread AND", "- bread", "words:bread", "🍞", "\\",
    ":words", "bread:*", "(bread", "%", "\x00", "w " * 490, "خ" * 900, "' | 'bread",
)  # fmt: skip


@pytest.mark.parametrize("words", HOSTILE)
def test_a_search_is_only_ever_words(sessions, lea, words):
    keys = fill(sessions)
    found, text = listed(lea, f"q={quote(words)}")
    assert found == ([keys[0]] if words in ('"bread', "- bread", "bread:*", "(bread", "' | 'bread") else [])
    assert "<script>alert" not in text


@on_sqlite
def test_what_was_stored_since_the_last_search_is_found_by_the_next(sessions, lea):
    fill(sessions)
    assert listed(lea, "q=oats")[0] == []
    add(sessions, row(9, "Oats?", "Oats, cooked", "Oats, raw"), name="later")
    select_all(sessions, (*TEXTS, ("Oats?", "Oats, cooked", "Oats, raw")), key="l" * 64)
    assert len(listed(lea, "q=oats")[0]) == 1


@on_sqlite
def test_many_texts_are_indexed_beside_the_page_which_says_so(sessions, lea, monkeypatch):
    fill(sessions)
    monkeypatch.setattr(searching, "AT_ONCE", 3)
    held = []
    monkeypatch.setattr(searching.threading, "Thread", lambda **options: held.append(options) or HeldThread())
    assert "0 of 12 texts can be found yet" in listed(lea, "q=rye")[1]
    held[0]["target"](*held[0]["args"])
    found, text = listed(lea, "q=rye")
    assert len(found) == 1 and "can be found yet" not in text


class HeldThread:
    def start(self):
        """Wait until the test runs it."""


@on_sqlite
def test_pages_follow_each_other_and_their_addresses_keep_the_filter(sessions, lea):
    texts = [(f"Prompt {at}", f"one {at}", f"another {at}") for at in range(120)]
    keys = fill(sessions, texts)
    found, address = [], "/pairs?strategy=easy&sort=-similarity"
    while address is not None:
        text = lea.http.get(address, headers=HTML).text
        found += [PairKey(int(first), int(second)) for _, first, second in ROW.findall(text)]
        address = next((match.replace("&amp;", "&") for match in NEXT.findall(text)), None)
        assert address is None or "strategy=easy&sort=-similarity&after=" in address
    with sessions() as session:
        stored = session.scalars(select(StoredPair).order_by(StoredPair.similarity, StoredPair.id))
        assert found == [PairKey(one.first_response_id, one.second_response_id) for one in stored]
    assert sorted(found) == sorted(keys)


@on_sqlite
def test_a_form_with_empty_fields_leads_to_the_short_address(sessions, lea):
    fill(sessions)
    answer = lea.http.get("/pairs?q=&run=&label=none&sort=newest", headers=HTML, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/pairs?label=none")


@pytest.mark.parametrize("query", ["run=x", "sort=nothing", "after=1", "after=1:2:3", "similar_from=nan", "label=good"])
@on_sqlite
def test_an_address_that_is_none_is_refused_in_one_line(sessions, lea, query):
    answer = lea.http.get(f"/pairs?{query}")
    assert answer.status_code == 422 and "\n" not in answer.json()["detail"]


@on_sqlite
def test_a_pair_has_a_page_with_its_lineage_its_votes_and_its_neighbours(sessions, lea):
    keys = fill(sessions)
    judge(sessions, ANNA, keys[2], "first", seconds=4.0, rationale="shorter")
    judge(sessions, BEN, keys[2], "second")
    text = lea.http.get("/pairs?sort=newest", headers=HTML).text
    address = re.findall(rf'href="(/pairs/{keys[2][0]}-{keys[2][1]}\?[^"]*)"', text)[0].replace("&amp;", "&")
    page = lea.http.get(address, headers=HTML).text
    for words in (
        "One 🍞 only",
        "model-0",
        "anna",
        "shorter",
        "By majority: <b>contradiction</b>",
        "50 % of 2",
        "easy",
    ):
        assert words in page
    assert "<script>alert" not in page
    assert f"/pairs/{keys[3][0]}-{keys[3][1]}" in page and f"/pairs/{keys[1][0]}-{keys[1][1]}" in page


@on_sqlite
def test_responses_to_two_prompts_are_no_pair(sessions, lea):
    keys = fill(sessions)
    for first, second in ((keys[0][0], keys[1][0]), (keys[0][1], keys[0][0]), (1, 10**6)):
        assert lea.http.get(f"/pairs/{first}-{second}", headers=HTML).status_code == 404


@on_sqlite
def test_ticked_pairs_and_whole_lists_become_queues(sessions, lea):
    keys = fill(sessions)
    ticked = [f"{pair}-{first}-{second}" for pair, first, second in ROW.findall(lea.http.get("/pairs").text)][:2]
    answer = lea.post("/pairs/queue", ticked=ticked, name="two", judgements_per_pair=2)
    queue_id = int(answer.json()["next"].rpartition("/")[2])
    assert sorted(pair for pair, *_ in places(sessions, queue_id)) == sorted(keys[2:])
    assert listed(lea, "q=bread")[0] == [keys[0]]
    answer = lea.post("/pairs/queue", scope="all", query="q=bread&sort=votes", name="one", judgements_per_pair=1)
    queue_id = int(answer.json()["next"].rpartition("/")[2])
    assert [pair for pair, *_ in places(sessions, queue_id)] == [keys[0]]
    assert lea.post("/pairs/queue", name="none", judgements_per_pair=1).status_code == 422


@on_sqlite
def test_a_list_is_a_file_with_texts_labels_and_permalinks(sessions, lea):
    keys = fill(sessions)
    judge(sessions, ANNA, keys[0], "first")
    answer = lea.http.get("/pairs/file", params={"scope": "all", "query": "sort=-newest", "format": "jsonl"})
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [(one["first_response_id"], one["second_response_id"]) for one in rows] == keys
    assert (rows[0]["first_response"], rows[0]["outcome"]) == (TEXTS[0][1], "first")
    assert rows[1]["permalink"].endswith(f"/pairs/{keys[1][0]}-{keys[1][1]}")
    answer = lea.http.get("/pairs/file", params={"scope": "all", "query": "label=any", "format": "csv"})
    assert [one["prompt"] for one in csv.DictReader(io.StringIO(answer.text))] == ["Bread?"]
    assert lea.http.get("/pairs/file").status_code == 422


@on_sqlite
@pytest.mark.parametrize("address", ["/pairs", "/pairs/1-2", "/pairs/file?scope=all"])
def test_who_only_labels_sees_no_pairs(sessions, address):
    fill(sessions)
    assert Visitor(sessions, "Ana").http.get(address, headers=HTML).status_code == 403


@on_sqlite
def test_the_index_of_words_is_made_by_one_process_at_a_time(sessions):
    fill(sessions)
    with searching.alone(sessions, "index of words"):
        searching._index(sessions)
    with sessions() as session:
        assert pair_search.indexed(session).done == 0
