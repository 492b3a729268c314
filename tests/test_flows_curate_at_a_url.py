"""The command line where hosts share a bucket: what it says of one that is not there, and another host's commands."""

from __future__ import annotations

import json

import pytest
from object_storage import names, s3_server
from refusals import SCRIPTED, assert_one_line
from surroundings import on_sqlite

COMMAND = ("curate", *SCRIPTED, "--embed.responses_per_shard", "8")


@pytest.fixture(scope="module")
def server():
    with s3_server() as running:
        yield running


@on_sqlite
def test_a_run_says_what_is_wrong_with_its_bucket_before_it_begins_and_serves_another_host(antipode, server, tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Tell me about number {n}."}) + "\n" for n in range(6)))
    assert antipode("import", str(path)).returncode == 0
    bucket = server.new_bucket()
    nowhere, here = ({"ANTIPODE_ARTIFACT_URL": f"{where}/mine"} for where in ("s3://nobody-has-this", bucket))
    advice = "make the bucket, or correct ANTIPODE_ARTIFACT_URL"
    assert_one_line(antipode(*COMMAND, **nowhere), 1, "s3://nobody-has-this/mine:", advice)
    done = antipode(*COMMAND, **here)
    assert done.returncode == 0 and "taking up" not in done.stderr, "nothing was begun without a bucket"
    there = here | {"ANTIPODE_ARTIFACT_ROOT": str(tmp_path / "other host")}
    checked = antipode("vectors", "check", **there)
    assert checked.returncode == 0 and f"{bucket}/mine/vectors/" in checked.stdout
    assert antipode("similar", "1", **there).stdout == antipode("similar", "1", **here).stdout != ""
    assert antipode("report", "--run", "1", **there).returncode == 0
    forgotten = antipode("forget", "run", "1", "--yes", **there)
    assert forgotten.returncode == 0 and "copies on other hosts" in forgotten.stdout
    assert names(bucket) == []
