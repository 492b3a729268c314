"""The index step: its files serve the next run and `similar`, and what does not fit any more is made anew."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from curation_steps import configured, curate, row
from pydantic import ValidationError
from stored_rows import add
from surroundings import on_sqlite

from db import embeddings
from tasks.config.curation import CurateConfig
from tasks.curation.choices import check_curation
from tasks.curation.index import index, open_index
from tasks.curation.similar import responses_like, similar_prompts, similar_responses
from tasks.curation.vectors import check_vectors
from tasks.runs import recorded

PROMPTS = tuple(f"How do {animal} sleep?" for animal in ("cats", "dogs", "owls", "bats", "bears"))


@pytest.fixture
def curated(settings, sessions):
    add(sessions, *(row(number, prompt) for number, prompt in enumerate(PROMPTS, 1)))
    return curate(configured())


def files(settings):
    paths = (settings.artifact_root / "indexes").rglob("*.*")
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths if path.is_file()}


def test_the_step_says_what_it_did_and_its_files_serve_the_next_run_and_similar(settings, sessions, capsys):
    add(sessions, *(row(number, prompt) for number, prompt in enumerate(PROMPTS, 1)))
    curate(configured())
    told = capsys.readouterr().err
    assert "index of prompts: 5 vectors, exact; made" in told and "index responses: " in told
    before = files(settings)
    assert len([name for name in before if name.endswith(".vectors.faiss")]) == 2
    curate(configured(name="again"))
    assert capsys.readouterr().err.count("; up to date") == 2
    similar_responses(1, 3, settings), similar_prompts(1, 3, settings)
    responses_like("the cats", 3, settings, run_id=None)
    assert files(settings) == before
    assert "index of" not in capsys.readouterr().err


@on_sqlite
def test_what_another_run_embeds_makes_the_index_grow(settings, sessions, curated, capsys):
    add(sessions, row(9, "How do whales sleep?"), name="more", content_hash="1" * 64)
    curate(configured(source={"name": "more"}))
    assert "index of prompts: 6 vectors, exact; grown by 1" in capsys.readouterr().err
    with sessions() as session:
        (embedder,) = embeddings.list_embedders(session)
        found = open_index(session, embedder, settings, of="prompts")
    assert len(found) == 6


@on_sqlite
def test_a_damaged_index_is_made_anew_by_who_asks_and_this_is_said(settings, sessions, curated, capsys):
    expected = similar_responses(1, 5, settings)
    for path in (settings.artifact_root / "indexes").rglob("*.vectors.faiss"):
        content = bytearray(path.read_bytes())
        content[-3] ^= 8
        path.write_bytes(content)
    capsys.readouterr()
    assert similar_responses(1, 5, settings) == expected
    assert "vectors, exact; made anew (" in (told := capsys.readouterr().err) and "is damaged)" in told


@on_sqlite
def test_who_asks_is_told_of_each_shard_that_is_not_in_the_index(settings, sessions, curated, capsys):
    add(sessions, row(9, "How do whales sleep?"), name="more", content_hash="1" * 64)
    curate(configured(source={"name": "more"}))
    (shard,) = (path for path in (settings.artifact_root / "vectors").glob("*/*") if len(np.load(path / "ids.npy")) < 5)
    shard.rename(settings.artifact_root / "away")
    shutil.rmtree(settings.artifact_root / "indexes")
    for done in ("made", "up to date"):
        capsys.readouterr()
        similar_responses(1, 3, settings)
        assert f"{done} (1 shards cannot be read and are left out: antipode" in capsys.readouterr().err


@on_sqlite
def test_a_step_that_is_done_again_changes_nothing(settings, sessions, curated):
    before = files(settings)
    with recorded(curated):
        index.fn(curated)
    assert files(settings) == before


@on_sqlite
def test_a_wished_factory_is_used_or_the_line_says_why_not(settings, sessions, curated, capsys):
    curate(configured(name="wish", index={"factory": "IVF64,SQ8"}))
    told = capsys.readouterr().err
    assert "index of prompts: 5 vectors, exact; up to date (it is exact, for IVF64,SQ8 cannot be made of 5" in told
    curate(configured(name="wish 2", index={"factory": "HNSW8"}))
    told = capsys.readouterr().err
    found = "HNSW8, which finds 100.0% of the true 10 nearest of"
    assert f"index of prompts: 5 vectors, {found} 5 stored vectors; up to date" in told
    assert [check.index[: len(found)] for check in check_vectors(settings, None)] == [found, found]


@on_sqlite
def test_a_factory_that_is_none_is_refused_before_the_run(settings, sessions, curated):
    with pytest.raises(ValidationError, match="'LSH' is no index that is known here; give Flat"):
        configured(index={"factory": "LSH"})
    with pytest.raises(ValueError, match="PQ17 makes no index of vectors of 512 components"):
        check_curation(configured(index={"factory": "PQ17"}), settings)


def test_the_index_is_no_part_of_what_makes_a_run():
    plain, other = CurateConfig(), CurateConfig.model_validate({"index": {"factory": "HNSW32"}})
    assert plain.key == other.key and "index" not in plain.key_settings()


# similar


def test_prompts_and_texts_have_neighbours_too(settings, sessions, curated):
    near = similar_prompts(1, 2, settings)
    assert [near[0].prompt_id, near[0].similarity, len(near)] == [1, 1.0, 3]
    assert near[1].similarity >= near[2].similarity and near[0].prompt == PROMPTS[0]
    wanted = similar_responses(1, 1, settings)[0]
    found = responses_like(wanted.response, 3, settings, run_id=curated)
    assert found[0].response == wanted.response and found[0].similarity == pytest.approx(1, abs=1e-3)


@on_sqlite
def test_neighbours_of_nothing_are_refused_with_one_line(settings, sessions, capsys):
    with pytest.raises(LookupError, match="nothing is embedded yet; a curation does: antipode curate"):
        responses_like("x", 3, settings, run_id=None)
    add(sessions, row(1, "Why?"))
    with pytest.raises(LookupError, match="prompt 1 has no vector: no run has embedded it yet"):
        similar_prompts(1, 3, settings)
    with pytest.raises(LookupError, match="there is no prompt 99; ids are in the table prompts"):
        similar_prompts(99, 3, settings)
    curate(configured())
    with pytest.raises(ValueError, match="--text has no token that could be embedded"):
        responses_like(" \n", 3, settings, run_id=None)
