"""LD-Align's guide at work: what it starts from, what is told of it before it is used, whose mean its weights have."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from alignment_jobs import save_gpt2
from alignment_world import ld_align_config, prefer, speak, tiny_model
from installed import installed
from stored_labels import ANNA, judge
from stored_rows import add, ids_by_text
from surroundings import on_sqlite

from db import policies, runs
from db.latent_distances import check_of, distances_of
from models.alignment.job import read_job, read_result
from models.guide import GuideCheck
from models.intervals import Interval
from models.labelling.records import PairKey
from models.records import ImportedResponse, ImportedRow, content_key
from tasks.alignment.data import read_data
from tasks.alignment.guides import PRETRAINED, guide_folder, possible_bases, settled_base, with_base
from tasks.alignment.opening import open_ld_align_run
from tasks.alignment.rounds import train_round, weigh_round
from tasks.config.rounds import LdAlignConfig
from tasks.errors import GuideError
from tasks.reports.policy_queries import policy_contents
from tasks.run_kinds import load_alignment
from tasks.runs import recorded

ROOT = Path(__file__).resolve().parent.parent
TRAIN = 8


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Preferences and a model: settings, sessions, the model's folder."""
    folder = tmp_path_factory.mktemp("guides")
    with installed(folder) as (settings, sessions):
        prefer(sessions, train=TRAIN, held_out=3)
        yield settings, sessions, tiny_model(folder / "model")


def opened(world, **changes):
    """A run whose first policy has spoken."""
    settings, sessions, model = world
    run_id = open_ld_align_run.fn(ld_align_config(model, **changes))
    speak(settings, sessions, run_id, model)
    return run_id


def test_weights_have_mean_one_over_the_rows_that_the_trainer_takes(world):
    settings, sessions, _ = world
    run_id = opened(world, name="long", rounds={"max_length": 200})
    weigh_round.fn(run_id, 1, None)
    policy_id = train_round.fn(run_id, 1, None, None)
    with sessions() as session:
        job_folder = (settings.artifact_root / policies.get_policy(session, policy_id).folder).parent
        rows = distances_of(session, run_id, 1)
    _, unfit = read_result(job_folder)
    left_out = {example.position for example in unfit if example.position < TRAIN}
    assert 0 < len(left_out) < TRAIN - 1, "some rows are too long, and some are not"
    weights = np.array([example.weight for example in read_job(job_folder).train])
    taken = [place for place in range(TRAIN) if place not in left_out]
    assert weights[taken].mean() == pytest.approx(1, abs=1e-12)
    assert (weights[list(left_out)] == 0).all() and sorted(weights) == sorted(row.weight for row in rows)
    distances = np.array([row.distance for row in rows if row.weight])
    np.testing.assert_allclose([row.weight for row in rows if row.weight], distances / distances.mean())


def test_a_guide_that_does_without_its_latent_vector_stops_the_run_until_told_to_go_on(world):
    settings, sessions, model = world
    stops = {"name": "judged", "guide": {"must_use_latent": True}}
    run_id = opened(world, **stops)
    for _ in range(2):  # the second time it is read, not found again
        with (
            pytest.raises(GuideError, match=r"does without.*--guide.epochs.*--no-guide.must_use_latent"),
            recorded(run_id),
        ):
            weigh_round.fn(run_id, 1, None)
    with sessions() as session:
        assert not distances_of(session, run_id, 1), "no weight of it is used"
        check = check_of(session, run_id)
        assert runs.get_run(session, run_id).status == runs.FAILED
    assert check.text_count == 3 and check.pair_count == TRAIN and check.base is None
    assert check.gain.low <= 0 and check.gain.value == pytest.approx(check.other_loss - check.own_loss)
    assert -1 <= check.length_correlation <= 1
    assert open_ld_align_run.fn(ld_align_config(model, name="judged")) == run_id, "told to go on, it is the same run"
    weigh_round.fn(run_id, 1, None)
    policy_id = train_round.fn(run_id, 1, None, None)
    assert policy_contents(policy_id, settings).guide == check


def test_a_guide_starts_from_a_gpt2_in_a_folder_and_is_known_by_what_is_in_it(world, tmp_path):
    settings, sessions, _ = world
    base = save_gpt2(tmp_path / "gpt2")
    before = set((settings.artifact_root / "guides").glob("*"))
    run_id = opened(world, name="pretrained", guide={"base": base})
    weigh_round.fn(run_id, 1, None)
    (made,) = set((settings.artifact_root / "guides").glob("*")) - before
    assert '"n_embd": 64' in (made / "config.json").read_text(), "as wide as its base, not as hidden_size says"
    with sessions() as session:
        assert check_of(session, run_id).base == base
    save_gpt2(tmp_path / "gpt2", seed=1)
    weigh_round.fn(opened(world, name="other weights", guide={"base": base}), 1, None)
    assert len(set((settings.artifact_root / "guides").glob("*")) - before) == 2


def test_an_unfinished_run_keeps_the_base_of_its_guide(world):
    _, sessions, model = world
    config = ld_align_config(model, name="kept", guide={"base": PRETRAINED})
    run_id = open_ld_align_run.fn(config)
    asked = ld_align_config(model, name="kept", guide={"base": "auto"})
    assert open_ld_align_run.fn(asked) == run_id, "GPT-2 cannot be had any more, and the run is there"
    scratch = open_ld_align_run.fn(ld_align_config(model, name="scratch", guide={"base": "scratch"}))
    assert open_ld_align_run.fn(ld_align_config(model, name="scratch", guide={"base": "auto"})) == scratch
    with sessions() as session:
        bases = [runs.get_run(session, one).config["guide"]["base"] for one in (run_id, scratch)]
    assert bases == [PRETRAINED, None]


def test_only_a_run_that_needs_a_guide_asks_for_gpt2():
    auto = LdAlignConfig()
    assert [one.guide.base for one in possible_bases(auto)] == [None, PRETRAINED]
    assert possible_bases(LdAlignConfig(preset="spin"))[0] == with_base(LdAlignConfig(preset="spin"), None)
    assert possible_bases(with_base(auto, "folder")) == [with_base(auto, "folder")]


def test_a_base_that_does_not_take_what_the_guide_reads_is_not_started_from(world, tmp_path, capsys):
    _, _, model = world
    fits, too_long = (LdAlignConfig.model_validate({"guide": {"max_length": length}}) for length in (1023, 1024))
    assert [one.guide.base for one in possible_bases(fits)] == [None, PRETRAINED]
    assert [one.guide.base for one in possible_bases(too_long)] == [None]
    assert settled_base(too_long).guide.base is None
    assert f"not from {PRETRAINED}: it takes 1,024 tokens" in capsys.readouterr().err
    base = save_gpt2(tmp_path / "gpt2")  # of 256 positions
    asked = ld_align_config(model, name="too long", guide={"base": base, "max_length": 256})
    with pytest.raises(GuideError, match=r"takes 256 tokens, .* ask for 257; lower --guide.max_length"):
        open_ld_align_run.fn(asked)
    unit = ld_align_config(model, name="unit", guide={"base": base, "max_length": 256}, rounds={"weights": "unit"})
    assert open_ld_align_run.fn(unit), "it needs no guide"


def test_a_guide_of_before_serves_where_it_read_no_cut_text(tmp_path):
    result = {"steps": 1, "first_loss": 2.0, "last_loss": 1.0, "truncated_count": 0, "seconds": 1.0}
    names, cut = ("settings", "golden"), [("prompt", False, True)]
    earlier = tmp_path / content_key(*names)[:16]
    now = guide_folder(tmp_path, names, [])
    assert len({earlier, now, guide_folder(tmp_path, names, cut)}) == 3
    earlier.mkdir()
    (earlier / "result.json").write_text(json.dumps(result))
    assert guide_folder(tmp_path, names, []) == earlier != guide_folder(tmp_path, names, cut)
    (earlier / "result.json").write_text(json.dumps(result | {"truncated_count": 1}))
    assert guide_folder(tmp_path, names, []) == now, "what it cut had an end"


@pytest.mark.parametrize("golden", ["chosen", "references"])
def test_the_farther_is_compared_with_stored_labels_whatever_is_golden(world, golden):
    _, sessions, _ = world
    run_id = opened(world, name=f"labelled {golden}", golden=golden)
    with sessions() as session:
        data = read_data(session, load_alignment(session, run_id), run_id)
    for number, sample in enumerate(data.golden.train[:3]):
        texts = (f"{golden} yes {number}", f"{golden} yes, yes and yes {number}")
        add(sessions, ImportedRow(number + 1, sample.prompt, tuple(map(ImportedResponse, texts))), name=golden)
        ids = ids_by_text(sessions)
        judge(sessions, ANNA, PairKey(*sorted(ids[text] for text in texts)), "first")
    weigh_round.fn(run_id, 1, None)
    with sessions() as session:
        check = check_of(session, run_id)
    assert check.couple_count >= 3 and check.farther_is_worse is not None


def test_leave_to_go_on_is_no_part_of_a_key_and_stored_keys_are_as_before():
    strict, told = (LdAlignConfig.model_validate({"guide": {"must_use_latent": one}}) for one in (True, False))
    assert strict != told and strict.stored_keys() == told.stored_keys()
    before = strict.model_dump(mode="json")
    del before["guide"]["must_use_latent"]  # versions before had no such setting
    assert LdAlignConfig.model_validate(before).key == strict.key


def base_found(tmp_path, **environment):
    """What a process of its own starts a guide from, since the hub's library reads its variables at import."""
    code = "from models.guide.pretrained import pretrained_base; print(*pretrained_base(probe_s=1.0), sep='|')"
    surroundings = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    surroundings |= {"HF_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)} | environment
    return subprocess.run(
        [sys.executable, "-c", code], env=surroundings, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_hub_that_never_answers_or_is_not_there_is_not_waited_for(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        found = base_found(tmp_path, HF_ENDPOINT=address)
    assert found.startswith("None|it is not in the local cache, and the hub does not answer")
    refused = base_found(tmp_path, HF_ENDPOINT=address)
    assert refused.startswith("None|it is not in the local cache, and the hub does not answer (")
    offline = base_found(tmp_path, HF_ENDPOINT=address, HF_HUB_OFFLINE="1")
    assert offline == "None|it is not in the local cache, and HF_HUB_OFFLINE forbids fetching it"


def test_a_gpt2_in_the_hubs_cache_is_found_without_the_hub(tmp_path):
    cached = tmp_path / "hub" / "models--openai-community--gpt2"
    save_gpt2(cached / "snapshots" / "c0ffee")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("c0ffee")
    assert base_found(tmp_path, HF_HUB_OFFLINE="1") == f"{PRETRAINED}|"
    (cached / "snapshots" / "c0ffee" / "model.safetensors").unlink()
    assert base_found(tmp_path, HF_HUB_OFFLINE="1").startswith("None|"), "a configuration alone is no model"


@on_sqlite
def test_what_a_guide_was_found_to_do_is_stored_once(settings, sessions):
    from db.latent_distances import add_check

    check = GuideCheck(None, 9, 1.0, 1.5, Interval(0.5, 0.4, 0.6), 40, 0.2, 0, None)
    with sessions.begin() as session:
        run_id = runs.open_run(
            session, kind=runs.LD_ALIGN, name="a", config={}, config_key="k", code_version="0", prompt_ids=[]
        )
        add_check(session, run_id, check)
        add_check(session, run_id, replace(check, own_loss=0.0))
    with sessions() as session:
        assert check_of(session, run_id) == check and check.uses_latent
        assert check_of(session, run_id + 1) is None
