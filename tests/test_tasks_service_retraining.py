"""When labels are enough to train on, and that one run is opened for them, however many look at once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from alignment_world import chosen_prompts, import_pairs, ld_align_config, prefer
from curation_steps import configured, curate
from labelling_steps import OWN
from sqlalchemy import func
from sqlalchemy import select as query
from stored_labels import ANNA, BEN, judge
from stored_rows import all_prompt_ids
from stored_rows import open_run as open_run_of
from surroundings import on_sqlite

from db import pairs, runs
from db.labels.new_labels import NewLabels
from db.schema import curation, labels
from models.labelling.records import AnnotatorIdentity, PairKey
from models.records import Pair
from tasks.alignment.opening import open_align_run, open_ld_align_run
from tasks.config.alignment import AlignConfig
from tasks.config.curation import CurateConfig
from tasks.config.labels import LabelConfig
from tasks.config.rounds import LdAlignConfig
from tasks.config.service import TriggerConfig
from tasks.curation.opening import open_run
from tasks.labels.opening import open_label_run
from tasks.run_kinds import CURATION, LABELLING, load_alignment
from tasks.service import retraining
from tasks.service.retraining import is_worth_a_run, judge_labels, open_due_run

NOW = datetime(2026, 7, 1, tzinfo=UTC)
TRAIN, HELD_OUT = 8, 4
CARL, DORA = (AnnotatorIdentity("person", name) for name in ("carl", "dora"))


def trigger(**changes):
    return TriggerConfig.model_validate({"min_new": 3, "quiet_s": 0} | changes)


def config(**changes):
    values = {"name": "on labels", "data": {"run": "all"}} | changes
    return AlignConfig.model_validate({"model": {"name": "demo"}, "evaluate": {"has_drift": False}, **values})


def counted(new, *, trained=0, agreement=None, age_s=3600.0):
    return NewLabels(new, trained, agreement, NOW - timedelta(seconds=age_s) if new else None)


@pytest.mark.parametrize(
    ("labels", "changes", "reason"),
    [
        (counted(0), {"min_new": 1}, "0 new preferences, 1 are wanted"),
        (counted(199), {}, "199 new preferences, 200 are wanted"),
        (counted(200), {}, None),
        (counted(1999), {"min_new": 2000}, "1,999 new preferences, 2,000 are wanted"),
        (counted(99, trained=1000), {"min_new_share": 0.1}, "99 new preferences, 100 are wanted"),
        (counted(100, trained=1000), {"min_new_share": 0.1}, None),
        (counted(200, trained=10_000), {"min_new_share": 0.1}, None),
        (counted(100), {"min_new_share": 0.1}, "100 new preferences, 200 are wanted"),
        (counted(0, trained=3), {"min_new_share": 0.1}, "0 new preferences, 1 are wanted"),
        (counted(2, trained=25), {"min_new_share": 0.1}, "2 new preferences, 3 are wanted"),
        (counted(200, agreement=0.599), {}, "0.599 of the votes are behind the outcomes, 0.6 are wanted"),
        (counted(200, agreement=0.6), {}, None),
        (counted(200, agreement=0.5), {"min_agreement": 0}, None),
        (counted(200, agreement=None), {"min_agreement": 1}, None),
        (counted(199, agreement=0.1), {}, "199 new preferences"),
    ],
)
def test_labels_are_judged_by_number_share_and_agreement(labels, changes, reason):
    verdict = judge_labels(labels, TriggerConfig.model_validate(changes), now=NOW)
    assert verdict.is_due == (reason is None)
    assert verdict.labels is labels
    assert (verdict.reason is None) if reason is None else (reason in verdict.reason)


@pytest.mark.parametrize(("age_s", "wait_s"), [(0, 30), (29.5, 0.5), (30, 0), (500, 0), (-5, 35)])
def test_labels_are_waited_for_until_none_has_come_for_a_while(age_s, wait_s):
    verdict = judge_labels(counted(200, age_s=age_s), TriggerConfig(quiet_s=30), now=NOW)
    assert verdict.is_due and verdict.wait_s == pytest.approx(wait_s)
    assert judge_labels(counted(10, age_s=age_s), TriggerConfig(quiet_s=30), now=NOW).wait_s == 0


@pytest.fixture
def world(settings, sessions):
    """Pairs to train on and to measure on, selected by a run, without a label; in an order that mixes the parts."""
    train, held_out = TRAIN, HELD_OUT
    prompts = chosen_prompts(train=train, held_out=held_out)
    mixed = [text for pair in zip(prompts[:held_out], prompts[train:], strict=True) for text in pair]
    import_pairs(sessions, mixed + prompts[held_out:train])
    run_id = open_run_of(sessions, all_prompt_ids(sessions))
    with sessions.begin() as session:
        ids = query(curation.Response.prompt_id, func.min(curation.Response.id), func.max(curation.Response.id))
        found = session.execute(ids.group_by(curation.Response.prompt_id).order_by(curation.Response.prompt_id)).all()
        made = [Pair("easy", prompt_id, first_id, second_id, 0.5, 1, 1) for prompt_id, first_id, second_id in found]
        pairs.add_pairs(session, run_id, made)
        runs.set_status(session, run_id, runs.COMPLETED)
    return [PairKey(first_id, second_id) for _, first_id, second_id in found]


def label(sessions, chosen, verdict="first", person=ANNA):
    for pair in chosen:
        judge(sessions, person, pair, verdict)


def look(*, is_automatic=False, **changes):
    return open_due_run.fn(config(), trigger(**changes), is_automatic)


def set_status(sessions, run_id, status):
    with sessions.begin() as session:
        runs.set_status(session, run_id, status, error="no memory" if status == runs.FAILED else None)


def opened(sessions):
    """The ids of the runs that align, and of how many rows each snapshot is."""
    with sessions() as session:
        return {
            run.id: session.get(labels.Snapshot, run.config["data"]["snapshot"]).row_count
            for run in session.scalars(query(curation.Run).filter_by(kind=runs.ALIGN).order_by(curation.Run.id))
        }


@on_sqlite
def test_too_few_labels_open_nothing_and_say_how_many_are_wanted(sessions, world, capfd):
    label(sessions, world[:2])
    assert look() is None
    assert "nothing to train on yet: 2 new preferences, 3 are wanted" in capfd.readouterr().err
    label(sessions, world[2:5], "tie")
    assert look() is None
    assert opened(sessions) == {}
    with sessions() as session:
        assert session.scalars(query(labels.Snapshot)).all() == [], "no snapshot was taken for nothing"


@on_sqlite
def test_the_same_preferences_open_one_run_however_often_one_looks_and_more_of_them_another(sessions, world):
    label(sessions, world[:4])
    first = look()
    assert opened(sessions) == {first: 4}
    assert [look(), look(min_new=1), look(min_new_share=0.01)] == [None] * 3
    set_status(sessions, first, runs.COMPLETED)
    label(sessions, world[4:6])
    assert look() is None, "two more are too few"
    assert look(min_new_share=0.51) is None, "2.04 are wanted"
    second = look(min_new_share=0.5)
    assert opened(sessions) == {first: 4, second: 6}
    label(sessions, world[6:9])
    set_status(sessions, second, runs.COMPLETED)
    third = look()
    assert opened(sessions)[third] == 9
    set_status(sessions, third, runs.COMPLETED)
    for person in (BEN, CARL, DORA):
        label(sessions, world[:3], "second", person)
    fourth = look()
    assert opened(sessions) == {first: 4, second: 6, third: 9, fourth: 9}, "three have another outcome now"


def test_of_many_that_look_at_once_one_opens_the_run(sessions, world):
    label(sessions, world[:6])
    count = 8 if sessions.kw["bind"].dialect.name == "postgresql" else 4
    barrier = threading.Barrier(count)

    def look_with_the_others(_):
        barrier.wait()
        return look()

    with ThreadPoolExecutor(count) as pool:
        found = list(pool.map(look_with_the_others, range(count)))
    (run_id,) = [one for one in found if one is not None]
    assert opened(sessions) == {run_id: 6}


@on_sqlite
def test_the_same_texts_selected_by_another_run_are_not_trained_on_again(settings, sessions, world):
    label(sessions, world[:4])
    first = look()
    set_status(sessions, first, runs.COMPLETED)
    curate(configured(source={"has_references": True}, select={"strategies": ["easy"]}, **OWN))
    assert look(min_new=1) is None

    newest = config(data={"run": "last"})
    assert open_due_run.fn(newest, trigger(min_new=1), False) is None
    with sessions.begin() as session:
        for response in session.scalars(query(curation.Response)).all():  # the same from another hand
            session.add(
                curation.Response(
                    key=response.key[::-1],
                    prompt_id=response.prompt_id,
                    generator_id=response.generator_id,
                    text=response.text,
                    is_reference=response.is_reference,
                )
            )
        session.flush()
        shift = session.query(curation.Response).count() // 2
        copy = runs.open_run(
            session, kind=runs.CURATE, name="copy", config={}, config_key="c" * 64, code_version="0", prompt_ids=[]
        )
        for pair in session.scalars(query(curation.Pair).filter_by(run_id=1)).all():
            values = {name: getattr(pair, name) for name in ("strategy", "prompt_id", "similarity", "rank")}
            ids = {name: getattr(pair, name) + shift for name in ("first_response_id", "second_response_id")}
            session.add(curation.Pair(run_id=copy, pair_count=1, **values, **ids))
    label(sessions, [PairKey(first + shift, second + shift) for first, second in world[:4]])
    assert is_worth_a_run(newest, trigger(), settings).is_due, "other responses, so they look like new ones"
    assert open_due_run.fn(newest, trigger(), False) is None, "the texts are those of the first run"
    assert list(opened(sessions)) == [first]


@on_sqlite
def test_names_are_kept_apart(sessions, world):
    label(sessions, world[:4])
    first = look()
    other = open_due_run.fn(config(name="other"), trigger(), False)
    assert opened(sessions) == {first: 4, other: 4}
    assert [look(), open_due_run.fn(config(name="other"), trigger(), False)] == [None, None]


@on_sqlite
@pytest.mark.parametrize("status", [runs.RUNNING, runs.CRASHED, runs.COMPLETED])
def test_what_a_run_has_taken_is_left_to_it_whether_it_runs_crashed_or_completed(settings, sessions, world, status):
    label(sessions, world[:4])
    set_status(sessions, look(), status)
    verdict = is_worth_a_run(config(), trigger(), settings)
    assert (verdict.reason, verdict.labels.trained) == ("0 new preferences, 3 are wanted", 4)
    assert look() is None
    label(sessions, world[4:7])
    assert is_worth_a_run(config(), trigger(), settings).is_due


def test_a_failed_run_is_not_begun_again_by_itself_but_by_a_person_or_as_many_labels_again(settings, sessions, world):
    label(sessions, world[:4])
    failed = look(is_automatic=True)
    set_status(sessions, failed, runs.FAILED)
    verdict = is_worth_a_run(config(), trigger(), settings)
    assert verdict.reason == "0 new preferences, 3 are wanted" and verdict.labels.trained == 4
    assert look(is_automatic=True) is None
    assert look() == failed, "a person who starts it takes it up"
    set_status(sessions, failed, runs.FAILED)
    label(sessions, world[4:6])
    assert not is_worth_a_run(config(), trigger(), settings).is_due
    label(sessions, world[6:7])
    assert is_worth_a_run(config(), trigger(), settings).is_due
    second = look(is_automatic=True)
    assert opened(sessions) == {failed: 4, second: 7}


@on_sqlite
def test_what_failed_after_a_training_is_measured_by_that_training_if_a_person_asks(sessions, world):
    label(sessions, world[:4])
    set_status(sessions, look(), runs.COMPLETED)
    label(sessions, world[4:7])
    set_status(sessions, look(), runs.FAILED)
    label(sessions, world[7:8])
    assert look(is_automatic=True) is None
    newest = look()
    assert opened(sessions)[newest] == 8


@on_sqlite
def test_another_rule_counts_its_own_rows(settings, sessions, world, capfd):
    chosen = {"data": {"run": "all", "annotators": ["anna"]}}
    label(sessions, world[:4])
    first = open_due_run.fn(config(**chosen), trigger(), True)
    set_status(sessions, first, runs.COMPLETED)
    label(sessions, world[4:8], person=CARL)
    label(sessions, world[8:9])
    assert is_worth_a_run(config(**chosen), trigger(), settings).is_due, "by the majority of all"
    assert open_due_run.fn(config(**chosen), trigger(), True) is None
    assert "1 new rows, 3 are wanted" in capfd.readouterr().err
    assert opened(sessions) == {first: 4}


@on_sqlite
def test_a_configuration_that_names_a_snapshot_is_taken_up(sessions, world):
    label(sessions, world[:4])
    run_id = look()
    set_status(sessions, run_id, runs.CRASHED)
    label(sessions, world[4:9])
    with sessions() as session:
        stored = AlignConfig.model_validate(runs.get_run(session, run_id).config)
    assert open_due_run.fn(stored, trigger(), False) == run_id
    with sessions() as session:
        assert runs.get_run(session, run_id).status == runs.RUNNING
    assert opened(sessions) == {run_id: 4}


@on_sqlite
def test_labels_that_still_come_in_are_waited_for_and_all_of_them_are_taken(sessions, world, monkeypatch):
    label(sessions, world[:4])
    to_come = iter(world[4:9])

    def wait(seconds):
        pair = next(to_come, None)
        if pair is None:
            time.sleep(seconds)
        else:
            label(sessions, [pair])

    monkeypatch.setattr(retraining, "time", SimpleNamespace(sleep=wait, monotonic=time.monotonic))
    run_id = look(quiet_s=2)
    with sessions() as session:
        started_at = runs.get_run(session, run_id).started_at.replace(tzinfo=UTC)
        newest_at = max(session.scalars(query(labels.Preference.updated_at))).replace(tzinfo=UTC)
    assert opened(sessions) == {run_id: 9}
    assert (started_at - newest_at).total_seconds() >= 2


@on_sqlite
def test_a_run_of_curation_that_is_not_there_is_told(settings, sessions, world):
    asked = config(data={"run": "nightly"})
    for ask in (lambda: open_due_run.fn(asked, trigger(), False), lambda: is_worth_a_run(asked, trigger(), settings)):
        with pytest.raises(LookupError, match="there is no run 'nightly'"):
            ask()


DEMO = {"name": "demo"}
OPENERS = {
    "label": (
        lambda config: open_label_run.fn(LabelConfig.model_validate(config)),
        LABELLING.load_config,
        {"annotator": "judge", "judge": {"base_url": "http://127.0.0.1:1/v1", "model": "m", "max_cost": 0.1,
                                         "input_price": 1e-7, "output_price": 3.0}},
    ),
    "align": (
        lambda config: open_align_run.fn(AlignConfig.model_validate(config)),
        load_alignment,
        {"model": DEMO, "data": {"limit": 500, "held_out_share": 0.1, "strategies": ["easy"]},
         "train": {"learning_rate": 5e-7}},
    ),
    "ld-align": (
        lambda config: open_ld_align_run.fn(LdAlignConfig.model_validate(config)),
        load_alignment,
        {"model": DEMO, "preset": "spin", "rounds": {"count": 2, "betas": [0.1, 5]}},
    ),
    "ld-align references": (
        lambda config: open_ld_align_run.fn(ld_align_config("demo", **config)),
        load_alignment,
        {"golden": "references"},
    ),
    "curate": (
        lambda config: open_run.fn(CurateConfig.model_validate(config)),
        CURATION.load_config,
        {"model": DEMO, "source": {"limit": 2, "has_references": True}, "generate": {"top_p": 0.3}},
    ),
}  # fmt: skip


def test_a_stored_configuration_is_that_of_its_run(settings, sessions):
    prefer(sessions)
    for kind, (open_, load, values) in OPENERS.items():
        run_id = open_(values)
        with sessions() as session:
            run = runs.get_run(session, run_id)
            stored = type(load(session, run_id)).model_validate(run.config)
        assert run.kind == kind.split()[0]
        assert stored.key == run.config_key, f"{kind}: started with what is stored, it would be another run"
        assert type(stored).model_validate_json(stored.model_dump_json()) == stored
        assert open_(values) == run_id, kind
        taken_up = {"curate": open_run, "label": open_label_run, "align": open_align_run}.get(kind, open_ld_align_run)
        assert taken_up.fn(type(stored).model_validate(run.config)) == run_id, kind
