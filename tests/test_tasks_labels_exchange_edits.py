"""Exports of what people have made of a response, under every rule and by its strategy's name."""

from __future__ import annotations

import json

import pytest
from curation_steps import configured, curate
from labelling_steps import pair_keys
from queued_pairs import open_queue, person, take
from stored_rows import add, row

from db.labels.leases import Lease
from db.labels.queueing import edits
from db.labels.queueing import settings as queue_settings
from tasks.config.exchange import ExportConfig
from tasks.labels.exchange import export_preferences


@pytest.mark.parametrize(
    "config", [{}, {"rule": "unanimous"}, {"rule": "weighted"}, {"strategies": ("edit",)}], ids=str
)
def test_an_edit_is_exported_as_chosen_over_its_original(settings, sessions, tmp_path, config):
    add(sessions, *(row(at, f"prompt {at}", f"a {at}", f"b {at}") for at in range(2)))
    queue, ada = open_queue(sessions, pair_keys(sessions, curate(configured()))), person(sessions, "ada")
    shown = take(sessions, queue, ada)
    with sessions.begin() as session:
        queue_settings.set_options(session, queue, has_editing=True)
        showing = Lease(shown.pair, shown.left_response_id, shown.shown_at)
        edits.save(session, queue, ada, showing=showing, original_id=shown.left_response_id, text="better")
    path = tmp_path / "out.jsonl"
    export_preferences(path, ExportConfig(**config), settings)
    [line] = map(json.loads, path.read_text().splitlines())
    assert "better" in json.dumps(line["chosen"]) and shown.left in json.dumps(line["rejected"])
