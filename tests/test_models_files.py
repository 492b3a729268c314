"""Files and folders are whole or not there: after a failure, a kill, on a full disk, beside another writer."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from small_disks import largest_file

from models.files import _replace_folder, file_name, inside, whole_file, whole_folder

ROOT = Path(__file__).resolve().parents[1]


class BrokenOffError(Exception):
    pass


def contents(folder: Path) -> dict[str, str]:
    return {str(one.relative_to(folder)): one.read_text() for one in folder.rglob("*") if one.is_file()}


@contextmanager
def masked(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def write_file(path: Path, text: str) -> None:
    with whole_file(path) as draft:
        draft.write_text(text)


def write_folder(path: Path, text: str, *, is_replacing: bool = True) -> None:
    with whole_folder(path, is_replacing=is_replacing) as draft:
        (draft / "inner").mkdir()
        (draft / "inner" / "one.txt").write_text(text)


def test_a_file_takes_the_place_of_the_one_there_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    for text in ("old", "new"):
        with whole_file(path) as draft:
            draft.write_text(text)
            assert draft.parent == tmp_path and draft.name.startswith(".")
            assert path.exists() == (text == "new")
    assert contents(tmp_path) == {"page.html": "new"}


def test_a_folder_takes_the_place_of_the_one_there_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "on" / "the" / "way"
    write_folder(path, "old")
    (path / "more.txt").write_text("old")
    write_folder(path, "new")
    assert contents(tmp_path) == {"on/the/way/inner/one.txt": "new"}
    assert [one.name for one in path.parent.iterdir()] == ["way"]


def test_a_folder_that_is_not_to_be_replaced_stays_as_it_is(tmp_path: Path) -> None:
    write_folder(tmp_path / "shard", "first")
    with pytest.raises(FileExistsError, match="shard"):
        write_folder(tmp_path / "shard", "second", is_replacing=False)
    assert contents(tmp_path) == {"shard/inner/one.txt": "first"}
    assert [one.name for one in tmp_path.iterdir()] == ["shard"]


def test_a_folder_is_not_replaced_by_a_file_nor_a_file_by_a_folder(tmp_path: Path) -> None:
    write_folder(tmp_path / "folder", "kept")
    write_file(tmp_path / "file", "kept")
    with pytest.raises(IsADirectoryError):
        write_file(tmp_path / "folder", "new")
    with pytest.raises(NotADirectoryError):
        write_folder(tmp_path / "file", "new")
    assert contents(tmp_path) == {"folder/inner/one.txt": "kept", "file": "kept"}
    assert {one.name for one in tmp_path.iterdir()} == {"folder", "file"}


@pytest.mark.parametrize("has_earlier", [True, False])
def test_what_fails_midway_leaves_the_old_content_or_nothing(tmp_path: Path, has_earlier: bool) -> None:
    if has_earlier:
        write_file(tmp_path / "file", "old")
        write_folder(tmp_path / "folder", "old")
    before = contents(tmp_path)
    with pytest.raises(BrokenOffError), whole_file(tmp_path / "file") as draft:
        draft.write_text("half")
        raise BrokenOffError
    with pytest.raises(BrokenOffError), whole_folder(tmp_path / "folder", is_replacing=True) as draft:
        (draft / "one.txt").write_text("half")
        raise BrokenOffError
    assert contents(tmp_path) == before
    assert len(list(tmp_path.iterdir())) == len(before)


def test_a_draft_that_was_never_written_is_an_error_and_replaces_nothing(tmp_path: Path) -> None:
    write_file(tmp_path / "file", "old")
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "file"):
        pass
    assert contents(tmp_path) == {"file": "old"}


def test_a_folder_that_cannot_take_the_place_leaves_the_earlier_one(tmp_path: Path) -> None:
    write_folder(tmp_path / "folder", "old")
    with pytest.raises(FileNotFoundError):
        _replace_folder(tmp_path / "folder", tmp_path / "gone")
    assert contents(tmp_path) == {"folder/inner/one.txt": "old"}
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("has_earlier", [True, False])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_kill_midway_leaves_the_old_content_or_nothing(tmp_path: Path, kind: str, has_earlier: bool) -> None:
    path = tmp_path / "it"
    if has_earlier:
        (write_file if kind == "file" else write_folder)(path, "old")
    before = contents(tmp_path)
    code = {
        "file": "with whole_file(path) as draft:\n    draft.write_text('half')\n    kill()",
        "folder": "with whole_folder(path, is_replacing=True) as at:\n    (at / 'a').write_text('half')\n    kill()",
    }[kind]
    header = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom models.files import whole_file, whole_folder\n"
        "path = Path(sys.argv[1])\ndef kill(): os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", header + code, str(path)], cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL
    left = contents(tmp_path)
    assert {name: text for name, text in left.items() if not name.startswith(".")} == before
    (write_file if kind == "file" else write_folder)(path, "new")
    assert "new" in contents(tmp_path).values()


def test_what_a_killed_process_left_under_a_name_of_the_callers_is_written_over(tmp_path: Path) -> None:
    draft = tmp_path / ".backup.partial"
    draft.write_text("half, and longer than the whole")
    with whole_file(tmp_path / "backup", draft=draft) as given:
        assert given == draft
        given.write_text("whole")
    assert contents(tmp_path) == {"backup": "whole"}
    left = tmp_path / ".draft"
    left.mkdir()
    (left / "one.txt").write_text("made before")
    with whole_folder(tmp_path / "model", is_replacing=True, draft=left):
        (left / "two.txt").write_text("made now")
    assert contents(tmp_path / "model") == {"one.txt": "made before", "two.txt": "made now"}


@pytest.mark.parametrize("write", [write_file, write_folder])
def test_a_full_disk_leaves_nothing_torn(tmp_path: Path, write: Any) -> None:
    write(tmp_path / "it", "old")
    before = contents(tmp_path)
    with largest_file(1000), pytest.raises(OSError) as caught:
        write(tmp_path / "it", "x" * 100_000)
    assert caught.value.errno in {errno.EFBIG, errno.ENOSPC}
    assert contents(tmp_path) == before
    assert [one.name for one in tmp_path.iterdir()] == ["it"]


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_permissions_are_those_of_any_new_file(tmp_path: Path, mask: int) -> None:
    with masked(mask):
        write_file(tmp_path / "file", "x")
        write_folder(tmp_path / "folder", "x")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~mask
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o777 & ~mask
    assert (tmp_path / "folder/inner/one.txt").stat().st_mode & 0o777 == 0o666 & ~mask


def test_two_writers_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    with whole_file(tmp_path / "file") as one, whole_file(tmp_path / "file") as other:
        one.write_text("one")
        other.write_text("other")
    assert contents(tmp_path) == {"file": "one"}


def test_a_link_to_a_folder_is_replaced_and_what_it_named_stays(tmp_path: Path) -> None:
    elsewhere, path = tmp_path / "elsewhere", tmp_path / "here" / "folder"
    elsewhere.mkdir()
    (elsewhere / "old").touch()
    path.parent.mkdir()
    path.symlink_to(elsewhere)
    with whole_folder(path, is_replacing=True) as draft:
        (draft / "new").touch()
    assert not path.is_symlink() and [file.name for file in path.iterdir()] == ["new"]
    assert [file.name for file in path.parent.iterdir()] == ["folder"] and (elsewhere / "old").exists()


NAMES = [
    "../../../escape",
    "/etc/passwd",
    "..",
    ".",
    "",
    ".hidden",
    "a/b",
    "a\\b",
    "nul\0byte",
    "line\nbreak",
    "x" * 300,
    "日" * 300,
    "CON",
    "com1.txt",
    "Mine",
    "mine/",
    "\udcff",
    "a\u202eb",
    "-rf",
    "trailing. ",
    "e\u0301",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_somebody_gave_stays_in_its_folder_and_stays_itself(tmp_path: Path, name: str) -> None:
    safe = file_name(name)
    path = tmp_path / f"{safe}-12345678.jsonl"
    path.write_text("x")
    assert path.resolve().parent == tmp_path.resolve() and list(tmp_path.iterdir()) == [path]
    assert safe == safe.casefold() and safe.isprintable() and not safe.startswith((".", "-")) and len(safe) < 140
    assert safe != name


def test_names_are_readable_and_different_ones_stay_different() -> None:
    for name in ("mine", "hh-rlhf_2.v1", "日本", "2026-01-02"):
        assert file_name(name) == name
    assert file_name("../My data").startswith("my-data-")
    different = {*NAMES, "mine", "MINE", "a:b", "a?b", "x" * 299, file_name("MINE"), file_name(""), "com¹"}
    assert len({file_name(name) for name in different}) == len(different)


def test_a_folder_that_a_database_names_is_followed_only_inside(tmp_path: Path) -> None:
    assert inside(tmp_path, "policies/1a") == tmp_path / "policies" / "1a"
    (tmp_path / "policies").symlink_to("/elsewhere/on/a/larger/disk")  # the user's own link
    assert inside(tmp_path, "policies/1a") == tmp_path / "policies" / "1a"
    for name in ("../x", "/etc", "policies/../../x", "", ".", ".."):
        with pytest.raises(ValueError, match="is not followed"):
            inside(tmp_path, name)
