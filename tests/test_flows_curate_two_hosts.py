"""Two hosts on one PostgreSQL: one run at a time, and a folder of artifacts that they do not share is noticed."""

from __future__ import annotations

import json

from refusals import SCRIPTED, assert_one_line
from surroundings import on_postgresql

from db.engine import alone, make_engine, make_session_factory
from tasks.settings import Settings

COMMAND = ("curate", *SCRIPTED, "--embed.responses_per_shard", "8")


@on_postgresql
def test_a_run_of_another_host_is_busy_and_its_vectors_are_missed_where_they_are_not(antipode, settings, tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Tell me about number {n}."}) + "\n" for n in range(6)))
    assert antipode("import", str(path)).returncode == 0
    other_host = {"ANTIPODE_ARTIFACT_ROOT": str(tmp_path / "not shared")}
    assert antipode(*COMMAND).returncode == 0
    engine = make_engine(Settings().database)
    with alone(make_session_factory(engine), "run 2"):  # the first host works on it
        assert_one_line(antipode(*COMMAND, **other_host), 1, "run 2 is being worked on by another process")
    engine.dispose()
    missed = antipode(*COMMAND, **other_host)
    assert_one_line(missed, 1, "none of the 6 recorded shards of vectors is in", str(tmp_path / "not shared"))
    done = antipode(*COMMAND)
    assert done.returncode == 0 and "taking up run 2" in done.stderr
    assert antipode("vectors", "check").returncode == 0
    assert antipode("runs").stdout.count("completed") == 2
