"""The dry run of a curation, beside the curation itself: what is told is what comes, and nothing changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chat_server import ChatServer, serving
from curation_steps import configured, curate, row
from footprints import footprint
from sqlalchemy import delete, func, select
from stored_rows import add

from db.inspection import is_made
from db.schema import curation
from tasks.config.curation import CurateConfig
from tasks.curation.choices import check_curation
from tasks.curation.engines import HASHED_DIMENSION
from tasks.curation.estimate import estimate_curation
from tasks.curation.generation import generate
from tasks.curation.opening import open_run
from tasks.errors import NoModelError, NothingToDoError
from tasks.settings import Settings

OWN = {"generate": {"when": "never"}}
NAMES = ("responses stored", "responses to sample", "vectors to write")


@pytest.fixture
def prompts(sessions):
    """Twelve prompts, two of which brought responses of their own."""
    texts = [
        f"What is the best way to store {thing} for {year} years?" for thing in ("wine", "ink") for year in range(6)
    ]
    rows = [row(number, text, *(("dark", "cool") if number > 10 else ())) for number, text in enumerate(texts, 1)]
    add(sessions, *rows)
    return len(texts)


def count(sessions, table, *conditions):
    with sessions() as session:
        return session.scalar(select(func.count()).select_from(table).where(*conditions))


def vector_bytes(settings):
    """Of all shards, without the files' headers."""
    return sum(np.load(path).nbytes for path in settings.artifact_root.rglob("*.npy"))


def told(estimate, *names):
    return tuple(estimate.value(name) for name in names)


def test_what_is_told_is_what_comes(settings, sessions, prompts):
    config = configured()
    estimate = estimate_curation(config, settings)

    curate(config)

    sampled = count(sessions, curation.Response, curation.Response.sample_index.is_not(None))
    vectors = count(sessions, curation.Embedding)
    assert told(estimate, "prompts", *NAMES) == (prompts, 0, 4 * 10, 4 * 10 + 2 * 2)
    assert sampled == estimate.value("responses to sample")
    assert 0.6 * estimate.value("vectors to write") <= vectors <= estimate.value("vectors to write")
    a_vector = estimate.value("disk, vectors") / estimate.value("vectors to write")
    assert vector_bytes(settings) == vectors * a_vector + estimate.value("disk, vectors of prompts")
    assert count(sessions, curation.PromptEmbedding) == estimate.value("prompts to embed") == prompts
    again = ("disk, vectors", "prompts to embed", "disk, vectors of prompts", "time, embedding")
    assert told(estimate_curation(config, settings), *NAMES, *again) == (sampled, 0, 0, 0, 0, 0, 0)


def test_of_stored_responses_the_vectors_are_told_to_the_byte(settings, sessions, prompts):
    add(sessions, row(20, "x?", "same", "same", "other"), name="another", content_hash="1" * 64)
    estimate = estimate_curation(configured(**OWN), settings)

    curate(configured(**OWN))

    assert estimate.value("vectors to write") == 6
    assert estimate.value("disk, vectors") == 6 * (2 * HASHED_DIMENSION + 12)
    assert vector_bytes(settings) == (6 + 13) * (2 * HASHED_DIMENSION + 12)


def test_more_samples_a_prompt_cost_only_those_that_are_not_stored(settings, sessions, prompts):
    curate(configured(generate={"responses_per_prompt": 2}))
    estimate = estimate_curation(configured(generate={"responses_per_prompt": 5}), settings)

    assert told(estimate, "responses stored", "responses to sample") == (20, 30)


def test_what_is_drawn_anew_is_within_what_is_told(settings, sessions, prompts):
    config = configured(generate={"responses_per_prompt": 8, "extra_tries": 3})
    found = {figure.name: figure for figure in estimate_curation(config, settings).figures}
    curate(config)

    with sessions() as session:
        sampled, tokens = session.execute(
            select(func.count(), func.sum(curation.Response.token_count)).where(curation.Response.sample_index >= 0)
        ).one()
    assert sampled > found["responses to sample"].value == 80 and found["responses to sample"].sign == "≥"
    assert tokens < found["tokens out"].value and found["tokens out"].sign == "≤"
    assert count(sessions, curation.Embedding) <= found["vectors to write"].value
    assert estimate_curation(config, settings).value("responses to sample") == 0


def test_stored_responses_tell_tokens_time_and_space_of_the_next(settings, sessions, prompts):
    before = footprint(settings)[1]
    first = estimate_curation(configured(), settings)
    assert [figure.sign for figure in first.figures if figure.name == "tokens out"] == ["≤"]
    assert told(first, "time, sampling", "time, embedding") == (None, None)

    curate(configured())
    next_one = configured(seed=1)
    estimate = estimate_curation(next_one, settings)
    grown = sum(map(len, footprint(settings)[1].values()))
    curate(next_one)

    with sessions() as session:
        generator = session.scalars(select(curation.Generator.id).order_by(curation.Generator.id.desc())).first()
        tokens = session.scalar(select(func.sum(curation.Response.token_count)).filter_by(generator_id=generator))
    assert estimate.value("tokens out") == pytest.approx(tokens, rel=0.25)
    assert 0 < estimate.value("time, sampling") < 60 and 0 < estimate.value("time, embedding") < 60
    if before:
        growth = sum(map(len, footprint(settings)[1].values())) - grown
        assert growth <= 2 * estimate.value("disk, database") + 2**16  # a file grows by whole pages


def test_nothing_is_stored_and_no_server_is_asked(settings, sessions, prompts):
    with serving(ChatServer()) as server:
        section = {"backend": "openai", "base_url": server.url, "models": ("tiny",), "responses_per_prompt": 3}
        config = configured(generate=section | {"max_tokens": 8}, model={"name": "demo"})
        before = footprint(settings)

        estimate = estimate_curation(config, settings)

        assert footprint(settings) == before and not settings.artifact_root.exists()
        assert server.bodies == []
        assert told(estimate, "requests", "tokens out", "money") == (30, 240, None)

        generate.fn(open_run.fn(config))
        assert len(server.bodies) == estimate.value("requests")
        settings.artifact_root.mkdir(exist_ok=True)
        settings.prices_file.write_text('currency = "EUR"\n[models.tiny]\ninput = 1e6\noutput = 2e6\n')
        other = estimate_curation(config.model_copy(update={"seed": 1}), settings)
        assert other.value("tokens out") == 30 * 3  # as the server counted
        assert other.value("money") == other.value("tokens in") + 2 * 90 and other.currency == "EUR"


def test_a_run_that_did_not_finish_is_told_of_with_the_prompts_it_began_with(settings, sessions, prompts):
    run_id = open_run.fn(configured())
    add(sessions, row(30, "A later prompt?"), name="later", content_hash="2" * 64)

    estimate = estimate_curation(configured(), settings)

    assert estimate.value("prompts") == prompts
    assert estimate.notes == (f"takes up run {run_id}, which did not finish, with the prompts it began with",)
    assert estimate_curation(configured(seed=1), settings).value("prompts") == prompts + 1
    generate.fn(run_id)
    with sessions.begin() as session:
        lost = session.scalar(select(func.max(curation.Response.id)).where(curation.Response.sample_index == 3))
        session.execute(delete(curation.Candidate).filter_by(response_id=lost))
        session.execute(delete(curation.Response).filter_by(id=lost))
    fixed = estimate_curation(configured(), settings)
    assert told(fixed, "responses stored", "responses to sample") == (39, 0)


@pytest.mark.parametrize(
    ("changes", "error"),
    [({"source": {"name": "nowhere"}}, NothingToDoError), ({"embed": {"backend": "transformers"}}, NoModelError)],
)
def test_what_the_command_refuses_its_dry_run_refuses_in_the_same_words(settings, sessions, prompts, changes, error):
    config = configured(**changes)
    with pytest.raises(error) as refusal:
        check_curation(config, settings)
    with pytest.raises(error) as dry_refusal:
        estimate_curation(config, settings)
    assert str(dry_refusal.value) == str(refusal.value)


def test_a_database_that_does_not_exist_is_not_made(settings):
    with pytest.raises(NothingToDoError, match="there are no prompts yet"):
        estimate_curation(configured(), settings)

    assert not is_made(settings.database)
    if settings.database.startswith("sqlite"):
        assert not Path(settings.database.removeprefix("sqlite:///")).exists()
    assert not settings.artifact_root.exists()


def test_a_folder_that_does_not_exist_is_not_made(tmp_path):
    with pytest.raises(NothingToDoError):
        estimate_curation(configured(), Settings(artifact_root=tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_a_model_that_is_not_on_this_machine_is_named_and_not_asked_for(settings, sessions, prompts):
    config = CurateConfig.model_validate({"model": {"name": "nobody/nothing"}, "generate": {"backend": "transformers"}})

    estimate = estimate_curation(config, settings)

    assert estimate.notes == ("nobody/nothing is not on this machine: the hub would be asked for it first",)
    assert told(estimate, "responses to sample", "disk, vectors") == (8 * 10, None)


def test_the_width_of_a_models_vectors_is_read_from_its_configuration(settings, sessions, prompts):
    config = configured(embed={"backend": "transformers"}, model={"name": "demo"})
    estimate = estimate_curation(config, settings)
    assert estimate.value("disk, vectors") == estimate.value("vectors to write") * (2 * 256 + 12)
