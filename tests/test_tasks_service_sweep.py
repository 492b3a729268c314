"""What the sweep makes up for, on a real Prefect server: runs whose process died, trainings whose event was lost."""

from __future__ import annotations

import threading
import uuid
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace

import pytest
from curation_steps import configured
from sqlalchemy import delete, update
from stored_labels import ANNA, BEN, judge
from stored_rows import add, all_prompt_ids, ids_by_text, row
from surroundings import on_sqlite

from db import pairs, runs
from db.schema import curation
from db.schema.base import utc_now
from models.labelling.records import PairKey
from models.records import Pair
from tasks.config.service import SweepConfig
from tasks.runs import alone_on
from tasks.service import sweep
from tasks.service.sweep import start_due_trainings, take_up_dead_runs

DIED = "its process died"


class Deployment:
    """A deployment that no worker serves, under a name of its own."""

    def __init__(self, client, **values):
        self.client = client
        flow_name = f"flow {uuid.uuid4()}"
        self.id = client.create_deployment(client.create_flow_from_name(flow_name), "test", **values)
        self.name = f"{flow_name}/test"

    def start(self, state="RUNNING"):
        """A flow run in a state, as if a worker had begun it; its id."""
        flow_run_id = self.client.create_flow_run_from_deployment(self.id).id
        self.set_state(flow_run_id, state)
        return flow_run_id

    def set_state(self, flow_run_id, state):
        from prefect.client.schemas.objects import State

        self.client.set_flow_run_state(flow_run_id, State(type=state), force=True)

    def state(self, flow_run_id):
        return self.client.read_flow_run(flow_run_id).state.type.value

    def flow_runs(self):
        """Its flow runs, oldest first."""
        from prefect.client.schemas.filters import DeploymentFilter

        of_it = DeploymentFilter.model_validate({"id": {"any_": [self.id]}})
        return sorted(self.client.read_flow_runs(deployment_filter=of_it), key=lambda run: run.created)


@pytest.fixture
def deploy(prefect_server, monkeypatch):
    """Make deployments on the tests' server; they are gone afterwards."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.setattr(sweep, "SECOND_LOOK_S", 0.05)
    made = []
    with temporary_settings({PREFECT_API_URL: prefect_server}), get_client(sync_client=True) as client:

        def make(**values):
            made.append(Deployment(client, **values))
            return made[-1]

        yield make
        for one in made:
            with suppress(ObjectNotFound):
                client.delete_deployment(one.id)


def open_run(sessions, *, name="dead", deployment=None, flow_run_id=None, age_s=3600):
    """A run that says that it is running, and that nobody works on."""
    config = configured(name=name)
    with sessions.begin() as session:
        run_id = runs.open_run(
            session,
            kind=runs.CURATE,
            name=name,
            config=config.model_dump(mode="json"),
            config_key=config.key,
            code_version="0",
        )
        started_at = utc_now() - timedelta(seconds=age_s)
        session.execute(update(curation.Run).filter_by(id=run_id).values(started_at=started_at))
        origin = None if flow_run_id is None else str(flow_run_id)
        runs.set_origin(session, run_id, deployment=deployment and deployment.name, flow_run_id=origin)
    return run_id


def stored(sessions, run_id):
    with sessions() as session:
        return runs.get_run(session, run_id)


def status(sessions, run_id):
    run = stored(sessions, run_id)
    return run.status, run.error


def look(**changes):
    return take_up_dead_runs.fn(SweepConfig.model_validate({"min_age_s": 0} | changes))


def test_a_run_that_is_worked_on_is_left_alone_and_a_free_one_is_marked(settings, sessions, deploy):
    at_work, free = open_run(sessions, name="at work"), open_run(sessions, name="free")
    with alone_on(at_work):
        assert look() == 0
        assert status(sessions, at_work) == ("running", None)
        assert status(sessions, free) == ("crashed", DIED)
    assert look() == 0
    assert status(sessions, at_work) == ("crashed", DIED)


@on_sqlite
def test_a_young_run_is_left_alone(settings, sessions, deploy):
    young, old = open_run(sessions, name="young", age_s=50), open_run(sessions, name="old", age_s=70)
    future = open_run(sessions, name="future", age_s=-24 * 3600)  # it began before the clock was set back
    assert look(min_age_s=60) == 0
    assert [status(sessions, run_id)[0] for run_id in (young, old, future)] == ["running", "crashed", "crashed"]
    assert stored(sessions, future).finished_at == stored(sessions, future).started_at


@on_sqlite
def test_a_run_that_is_taken_up_between_two_looks_is_left_alone(settings, sessions, deploy, monkeypatch):
    deployment = deploy()
    run_id = open_run(sessions, deployment=deployment, flow_run_id=deployment.start())
    is_taken, is_done = threading.Event(), threading.Event()

    def take_up():
        with alone_on(run_id):
            is_taken.set()
            is_done.wait()

    def between_the_looks(_):
        worker.start()
        is_taken.wait()

    worker = threading.Thread(target=take_up, daemon=True)
    monkeypatch.setattr(sweep, "time", SimpleNamespace(sleep=between_the_looks))
    assert look() == 0
    assert is_taken.is_set()
    is_done.set()
    worker.join()
    assert status(sessions, run_id) == ("running", None)
    assert len(deployment.flow_runs()) == 1


@on_sqlite
def test_completed_and_failed_runs_are_nothing_to_the_sweep(settings, sessions, deploy):
    deployment = deploy()
    ended = [open_run(sessions, name=name, deployment=deployment) for name in (runs.COMPLETED, runs.FAILED)]
    for run_id, name in zip(ended, (runs.COMPLETED, runs.FAILED), strict=True):
        with sessions.begin() as session:
            runs.set_status(session, run_id, name)
    assert look() == 0
    assert [stored(sessions, run_id).status for run_id in ended] == [runs.COMPLETED, runs.FAILED]
    assert deployment.flow_runs() == []


def test_a_dead_run_of_a_deployment_is_started_again_as_it_was_once(settings, sessions, deploy):
    deployment = deploy(parameters={"config": {"name": "the deployment's"}, "trigger": {"min_new": 7}})
    died = deployment.start()
    run_id = open_run(sessions, deployment=deployment, flow_run_id=died)
    assert look() == 1
    assert deployment.state(died) == "CRASHED", "Prefect is told"
    run = stored(sessions, run_id)
    assert (run.status, run.error, run.resumes, run.deployment) == ("crashed", DIED, 1, deployment.name)
    _, again = deployment.flow_runs()
    assert str(again.id) == run.flow_run_id
    assert again.parameters == {"config": run.config, "trigger": {"min_new": 7}}
    assert configured(name="dead").key == run.config_key

    for state in ("SCHEDULED", "PENDING", "RUNNING"):
        deployment.set_state(again.id, state)
        assert look() == 0, f"the flow run is {state}"
    assert (len(deployment.flow_runs()), stored(sessions, run_id).resumes) == (2, 1)


@on_sqlite
def test_a_run_that_dies_again_and_again_fails_and_stays_so(settings, sessions, deploy, capfd):
    deployment = deploy()
    run_id = open_run(sessions, deployment=deployment, flow_run_id=deployment.start())
    for resume in (1, 2):
        assert look(max_resumes=2) == 1
        assert stored(sessions, run_id).resumes == resume
        deployment.set_state(stored(sessions, run_id).flow_run_id, "RUNNING")
        with sessions.begin() as session:
            runs.set_status(session, run_id, runs.RUNNING)
    assert look(max_resumes=2) == 0
    error = f"{DIED} 3 times; see the logs, then start it anew"
    assert status(sessions, run_id) == ("failed", error)
    assert f"run {run_id} (dead): {error}" in capfd.readouterr().err
    assert look(max_resumes=9) == 0
    assert status(sessions, run_id) == ("failed", error)
    assert [run.state.type.value for run in deployment.flow_runs()] == ["CRASHED"] * 3


@on_sqlite
def test_a_run_that_dies_before_it_is_taken_up_is_started_once_more(settings, sessions, deploy):
    deployment = deploy()
    run_id = open_run(sessions, deployment=deployment, flow_run_id=deployment.start())
    assert look() == 1
    deployment.set_state(stored(sessions, run_id).flow_run_id, "CRASHED")
    assert look() == 1
    assert (len(deployment.flow_runs()), stored(sessions, run_id).resumes) == (3, 2)


@on_sqlite
def test_a_sweep_that_died_before_it_counted_starts_no_second_flow_run(settings, sessions, deploy):
    deployment = deploy()
    died = deployment.start()
    run_id = open_run(sessions, deployment=deployment, flow_run_id=died)
    assert look() == 1
    with sessions.begin() as session:
        runs.set_origin(session, run_id, deployment=deployment.name, flow_run_id=str(died))
        session.execute(update(curation.Run).values(resumes=0))
    assert look() == 1
    assert len(deployment.flow_runs()) == 2
    assert stored(sessions, run_id).flow_run_id == str(deployment.flow_runs()[1].id)


@on_sqlite
def test_a_flow_run_that_a_person_has_started_again_is_left_to_take_the_run_up(settings, sessions, deploy):
    deployment = deploy()
    died = deployment.start()
    run_id = open_run(sessions, deployment=deployment, flow_run_id=died)
    deployment.set_state(died, "SCHEDULED")
    assert look() == 0
    assert (status(sessions, run_id), stored(sessions, run_id).resumes) == (("crashed", DIED), 0)
    assert len(deployment.flow_runs()) == 1


@on_sqlite
def test_a_run_of_the_same_number_in_another_database_is_another_one(settings, sessions, deploy):
    deployment = deploy()
    for count in (2, 4):
        with sessions.begin() as session:
            session.execute(delete(curation.Run))
        run_id = open_run(sessions, deployment=deployment, flow_run_id=deployment.start())
        assert run_id == 1
        assert look() == 1
        assert len(deployment.flow_runs()) == count
        assert stored(sessions, run_id).flow_run_id == str(deployment.flow_runs()[-1].id)


@on_sqlite
def test_a_run_that_was_cancelled_in_prefect_has_failed(settings, sessions, deploy):
    deployment = deploy()
    run_id = open_run(sessions, deployment=deployment, flow_run_id=deployment.start("CANCELLED"))
    assert look() == 0
    assert status(sessions, run_id) == ("failed", "cancelled in Prefect")
    assert look() == 0 and len(deployment.flow_runs()) == 1

    waiting = open_run(sessions, name="waiting", deployment=deployment, flow_run_id=deployment.start())
    assert look() == 1
    deployment.set_state(stored(sessions, waiting).flow_run_id, "CANCELLING")
    assert look() == 0
    assert status(sessions, waiting) == ("failed", "cancelled in Prefect")


@on_sqlite
def test_a_run_of_a_command_line_is_marked_and_nobody_starts_it(settings, sessions, deploy, capfd):
    elsewhere = open_run(sessions, flow_run_id=uuid.uuid4())
    assert [look(), look(), look(max_resumes=0)] == [0, 0, 0]
    run = stored(sessions, elsewhere)
    assert (run.status, run.error, run.resumes) == ("crashed", DIED, 0)
    assert capfd.readouterr().err.count(f"run {elsewhere} (dead): {DIED}") == 1, "it is told once"


@on_sqlite
def test_a_run_whose_deployment_is_gone_is_marked_and_told(settings, sessions, deploy, capfd):
    deployment = deploy()
    run_id = open_run(sessions, deployment=deployment, flow_run_id=deployment.start())
    deployment.client.delete_deployment(deployment.id)
    assert look() == 0
    told = f"{DIED}, and its deployment {deployment.name} is gone"
    assert status(sessions, run_id) == ("failed", told)
    assert told in capfd.readouterr().err


@on_sqlite
def test_a_run_whose_configuration_no_longer_fits_fails_and_the_others_are_taken_up(settings, sessions, deploy):
    from prefect.client.schemas.actions import DeploymentUpdate

    deployment = deploy()
    numbers = {"type": "object", "properties": {"config": {"type": "integer", "title": "config"}}}
    update = DeploymentUpdate(parameter_openapi_schema=numbers, enforce_parameter_schema=True)
    deployment.client.update_deployment(deployment.id, update)
    old = open_run(sessions, name="old", deployment=deployment, flow_run_id=deployment.start())
    other = deploy()
    fits = open_run(sessions, name="fits", deployment=other, flow_run_id=other.start())
    assert look() == 1
    assert stored(sessions, old).status == "failed" and "no longer fits" in stored(sessions, old).error
    assert stored(sessions, fits).resumes == 1


@pytest.fixture
def labelled(settings, sessions):
    """Three labelled pairs of a run."""
    add(sessions, *(row(number, f"prompt {number}", f"x{number}", f"y{number}") for number in range(3)))
    ids, prompt_ids = ids_by_text(sessions), all_prompt_ids(sessions)
    keys = [PairKey(ids[f"x{number}"], ids[f"y{number}"]) for number in range(3)]
    run_id = open_run(sessions, name="curation")
    with sessions.begin() as session:
        made = [Pair("easy", prompt_id, *key, 0.5, 1, 1) for prompt_id, key in zip(prompt_ids, keys, strict=True)]
        pairs.add_pairs(session, run_id, made)
        runs.set_status(session, run_id, runs.COMPLETED)
    for key in keys:
        judge(sessions, ANNA, key, "first")
    return keys


MINE = {"name": "mine", "model": {"name": "demo"}, "data": {"run": "all"}}


def on_labels(deploy, *, min_new=3, **config):
    return deploy(
        tags=["antipode", "on-labels"],
        parameters={"config": MINE | config, "trigger": {"min_new": min_new}},
    )


def test_a_training_whose_event_was_lost_is_started_once_while_its_flow_run_is_open(labelled, deploy):
    deployment, other = on_labels(deploy), deploy(tags=["antipode"])
    assert start_due_trainings.fn() == 1
    (flow_run,) = deployment.flow_runs()
    asked = {"config": MINE, "trigger": {"min_new": 3}}
    assert flow_run.parameters == asked | {"is_automatic": True}
    for state in ("SCHEDULED", "PENDING", "RUNNING"):
        deployment.set_state(flow_run.id, state)
        assert start_due_trainings.fn() == 0, f"a flow run is {state}"
    deployment.set_state(flow_run.id, "CRASHED")
    assert start_due_trainings.fn() == 1, "it opened no run: the labels still wait"
    assert other.flow_runs() == []


@on_sqlite
def test_labels_that_a_completed_flow_run_has_seen_are_not_looked_at_again(labelled, sessions, deploy):
    deployment = on_labels(deploy)
    assert start_due_trainings.fn() == 1
    (looked,) = deployment.flow_runs()
    for state in ("RUNNING", "COMPLETED"):
        deployment.set_state(looked.id, state)
    assert start_due_trainings.fn() == 0, "it found nothing that was not trained on before"
    judge(sessions, BEN, labelled[0], "first")
    assert start_due_trainings.fn() == 1


@on_sqlite
def test_a_completed_flow_run_that_took_a_dead_run_up_has_looked_for_no_label(labelled, deploy):
    deployment = on_labels(deploy)
    taken_up = deployment.start()
    deployment.set_state(taken_up, "COMPLETED")
    assert start_due_trainings.fn() == 1


@on_sqlite
def test_labels_that_are_too_few_start_nothing_and_it_is_told_why(labelled, deploy, capfd):
    deployment = on_labels(deploy, min_new=4)
    assert start_due_trainings.fn() == 0
    assert "test: 3 new preferences, 4 are wanted" in capfd.readouterr().err
    assert deployment.flow_runs() == []


@on_sqlite
def test_a_paused_deployment_is_left_alone(labelled, deploy):
    from prefect.client.schemas.actions import DeploymentUpdate

    deployment = on_labels(deploy)
    deployment.client.update_deployment(deployment.id, DeploymentUpdate(paused=True))
    assert start_due_trainings.fn() == 0
    assert deployment.flow_runs() == []


@on_sqlite
def test_a_deployment_whose_parameters_make_no_sense_is_told_and_the_others_are_started(labelled, deploy, capfd):
    broken = [
        on_labels(deploy, min_new=0),
        on_labels(deploy, data={"run": "nobody's"}),
        on_labels(deploy, colour="blue"),
        deploy(tags=["on-labels"], parameters={"config": 5}),
    ]
    sound = on_labels(deploy)
    assert start_due_trainings.fn() == 1
    assert [len(one.flow_runs()) for one in (*broken, sound)] == [0, 0, 0, 0, 1]
    told = capfd.readouterr().err
    assert told.count("test cannot look for labels: ") == 4
    assert 'there is no run "nobody\'s"' in told
