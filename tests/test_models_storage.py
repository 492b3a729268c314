"""Objects on a real S3 server and in a folder: whole or not at all, waited for, refused in words."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
import uuid

import pytest
from object_storage import bucket, s3_server, store_at
from surroundings import ROOT

from models.storage import NoObjectError, ObjectStore, StorageError, StorageGoneError


@pytest.fixture(scope="module")
def server():
    with s3_server() as running:
        yield running


@pytest.fixture(params=["s3", "file"])
def objects(request, tmp_path):
    if request.param == "file":
        return ObjectStore((tmp_path / "shared").as_uri(), 0)
    return store_at(request.getfixturevalue("server").new_bucket())


def test_objects_come_back_as_they_were_until_they_are_removed(objects, tmp_path):
    (tmp_path / "a file").write_bytes(bytes(range(256)) * 40)
    objects.put(tmp_path / "a file", "one/part.npy")
    objects.write(b"short", "one/list")
    objects.under("one").write(b"", "deep/er")
    assert objects.sizes() == {"one/part.npy": 10_240, "one/list": 5, "one/deep/er": 0}
    assert objects.under("one").sizes("deep") == {"er": 0} and objects.sizes("one/list") == {"": 5}
    objects.get("one/part.npy", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "a file").read_bytes()
    objects.write(b"other", "one/list")
    assert objects.read("one/list") == b"other"
    objects.remove("one/list")
    objects.remove("one/list")
    assert sorted(objects.sizes("one")) == ["deep/er", "part.npy"]
    objects.remove("one")
    assert objects.sizes() == {}
    for ask in (lambda: objects.read("one/list"), lambda: objects.get("one/list", tmp_path / "copy")):
        with pytest.raises(NoObjectError, match="one/list is not there"):
            ask()


def test_an_upload_that_is_not_completed_is_no_object(server):
    objects, system = store_at(url := server.new_bucket()), bucket()
    names = {"Bucket": url.removeprefix("s3://"), "Key": "antipode/half"}
    upload = system.call_s3("create_multipart_upload", **names)["UploadId"]
    system.call_s3("upload_part", **names, UploadId=upload, PartNumber=1, Body=b"x" * 100)
    assert objects.sizes() == {}
    with pytest.raises(NoObjectError):
        objects.read("half")


PUT_FOREVER = """
import sys
from pathlib import Path
from models.storage import ObjectStore
while True:
    ObjectStore(sys.argv[1], 0).put(Path(sys.argv[2]), "list")
"""


def test_a_put_into_a_folder_that_is_killed_leaves_what_was_there_whole(tmp_path):
    objects, shared, large = ObjectStore((tmp_path / "shared").as_uri(), 0), tmp_path / "shared", tmp_path / "large"
    large.write_bytes(content := b"next" * 2**22)
    objects.write(b"first", "list")
    writer = subprocess.Popen([sys.executable, "-c", PUT_FOREVER, objects.url, str(large)], cwd=ROOT)
    while not any(path.stat().st_size for path in shared.glob(".list.*")):
        assert writer.poll() is None
    writer.kill()
    writer.wait()
    found = objects.read("list")
    assert found in (b"first", content) and objects.sizes() == {"list": len(found)}


def test_a_file_that_is_gone_is_no_object_that_is(objects, tmp_path):
    with pytest.raises(FileNotFoundError, match="never written"):
        objects.put(tmp_path / "never written", "list")


def test_hidden_objects_are_listed_and_removed_like_others(server):
    objects = store_at(server.new_bucket())
    objects.write(b"x", "model/.cache/one")
    objects.write(b"x", "model/.two")
    assert objects.sizes("model") == {".cache/one": 1, ".two": 1}
    objects.remove("model")
    assert objects.sizes() == {}


def test_a_server_that_is_gone_is_waited_for_and_told(server, caplog):
    objects = store_at(server.new_bucket())
    objects.write(b"before", "list")
    server.gateway.stop()
    back = threading.Timer(3, server.gateway.start)
    back.start()
    with caplog.at_level(logging.WARNING, "models.storage"):
        begun = time.monotonic()
        objects.write(b"after", "list")
    back.join()
    assert time.monotonic() - begun > 2 and objects.read("list") == b"after"
    assert caplog.messages == [
        f"{objects.url} does not answer; waiting up to 60 s for it",
        f"{objects.url} answers again",
    ]


def test_a_server_that_stays_away_is_given_up_in_words(server):
    objects = store_at(server.new_bucket(), wait_s=1)
    server.gateway.stop()
    try:
        with pytest.raises(StorageGoneError, match=r"answer within 1 s: .*give the same command again: it goes"):
            objects.read("list")
    finally:
        server.gateway.start()


def test_a_missing_bucket_says_what_to_do(server, tmp_path):
    objects = ObjectStore(f"s3://nobody-{uuid.uuid4().hex}/x", 0)
    (tmp_path / "file").write_text("x")
    for ask in (
        objects.sizes,
        lambda: objects.write(b"x", "x"),
        lambda: objects.put(tmp_path / "file", "x"),
        lambda: objects.get("x", tmp_path / "copy"),
    ):
        with pytest.raises(StorageError, match="not exist; make the bucket, or correct ANTIPODE_ARTIFACT_URL"):
            ask()


def test_wrong_credentials_say_what_to_set(server, tmp_path):
    objects = store_at(server.new_bucket())
    server.refuse_all(does=True)
    try:
        for ask in (objects.sizes, lambda: objects.write(b"x", "x"), lambda: objects.get("x", tmp_path / "copy")):
            with pytest.raises(StorageError, match=r"refuses us: .*; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
                ask()
    finally:
        server.refuse_all(does=False)


def answer(code, **environment):
    """What a fresh interpreter says at last, with this environment alone."""
    path = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    asked = subprocess.run(
        [sys.executable, "-c", code], env=path | environment, capture_output=True, text=True, check=False
    )
    return asked.stderr.strip().splitlines()[-1]


def test_no_credentials_at_all_say_what_to_set(tmp_path):
    code = "from models.storage import *; ObjectStore('s3://mine', 0).sizes()"
    last = answer(code, AWS_EC2_METADATA_DISABLED="true", HOME=str(tmp_path))
    assert "StorageError: s3://mine refuses us: Unable to locate credentials; set AWS_ACCESS_KEY_ID" in last


def test_without_the_extra_it_says_what_to_install(tmp_path):
    code = "import sys; sys.modules['s3fs'] = None; from models.storage import *; ObjectStore('s3://mine', 0).sizes()"
    assert answer(code).endswith(
        "StorageError: s3://mine needs a package that is not installed: pip install -e '.[s3]'"
    )
    with pytest.raises(StorageError, match="never://mine is no URL that fsspec knows"):
        ObjectStore("never://mine", 0).sizes()
