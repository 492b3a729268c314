"""Comparisons and the gate on stored responses: verdicts to win rates, people, promotion, rollback."""

from __future__ import annotations

import json
import shutil
import threading

import pytest
from alignment_world import align_config, prefer, store_samples
from chat_server import ChatServer, completion
from curation_steps import configured
from judged_pairs import prefers
from surroundings import on_sqlite

from db import evaluations, policies, promotions, runs
from db.engine import make_engine, make_session_factory
from db.labels import judgements
from db.migrations import require_current
from flows.terminal.policies import show_evaluation, show_policies, show_policy
from models.demo.corpus import reference_response
from models.evaluation.measurements import HeldOut, Measurements
from models.evaluation.rewards import reward_summary
from models.fingerprint import model_fingerprint
from models.labelling.records import AnnotatorIdentity, Judgement, PairKey
from tasks.alignment.opening import open_align_run, open_evaluation_run
from tasks.config.curation import ModelConfig
from tasks.config.evaluation import EvaluationConfig
from tasks.curation.opening import open_run
from tasks.errors import GateError, NothingToDoError
from tasks.evaluation.comparison import compare_with
from tasks.evaluation.gate import pass_gate
from tasks.evaluation.promotion import promote, roll_back
from tasks.named_models import chosen_model
from tasks.reports.policy_publishing import write_policy_page
from tasks.reports.policy_queries import evaluation_end, policy_contents, policy_lines
from tasks.run_kinds import load_alignment
from tasks.runs import recorded
from tasks.settings import Settings

RUBRIC = {"annotator": "rubric", "max_tokens": 4, "backend": "transformers", "has_drift": False}
HELD_OUT = 12
POOR = "No."


@pytest.fixture
def server():
    own = ChatServer()
    threading.Thread(target=own.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield own
    own.shutdown()
    own.server_close()


@pytest.fixture(scope="module")
def preferred(tmp_path_factory):
    """A folder with held-out preferences, to be copied: its SQLite database and its artifacts."""
    folder = tmp_path_factory.mktemp("preferred")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANTIPODE_DATABASE_URL", f"sqlite:///{folder / 'antipode.db'}")
        patch.setenv("ANTIPODE_ARTIFACT_ROOT", str(folder / "artifacts"))
        engine = make_engine(Settings().database)
        require_current(engine)
        prefer(make_session_factory(engine), train=2, held_out=HELD_OUT)
        engine.dispose()
    return folder


@pytest.fixture
def world(request, settings, sessions, tmp_path):
    """Held-out preferences, a run that aligns and its start model; policies are folders of a content of their own."""
    if settings.database.startswith("sqlite"):
        shutil.copytree(request.getfixturevalue("preferred"), tmp_path, dirs_exist_ok=True)
    else:
        prefer(sessions, train=2, held_out=HELD_OUT)
    return World(settings, sessions, tmp_path)


class World:
    def __init__(self, settings, sessions, folder):
        self.settings, self.sessions = settings, sessions
        self.model = folder / "start"
        self.model.mkdir()
        (self.model / "config.json").write_text("{}")
        self.config = align_config(str(self.model), evaluate=RUBRIC)
        self.run_id = open_align_run.fn(self.config)
        self.count = 0

    def policy(self, text_of, *, parent_id=None):
        """A trained policy that says this to every prompt it is compared on."""
        self.count += 1
        name = f"policies/{self.count}"
        folder = self.settings.artifact_root / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(self.count))
        with self.sessions.begin() as session:
            policy = policies.open_policy(
                session, key=f"{self.count:064}", name="test", method="dpo", round=1, run_id=self.run_id,
                start_model=str(self.model), start_fingerprint="0" * 64, parent_id=parent_id, snapshot_id=1,
                data_hash="0" * 64, settings={"beta": 0.1, "seed": 0, "lora": None}, code_version="0",
                library_versions={},
            )  # fmt: skip
            fingerprint = model_fingerprint(str(folder), None)
            policies.finish_policy(
                session, policy.id, folder=name, fingerprint=fingerprint, seconds=1.0, peak_memory_bytes=1, metrics={}
            )
        self.says(f"policy:{policy.id}", text_of)
        return policy.id

    def says(self, model, text_of):
        with self.sessions() as session:
            fixed = load_alignment(session, self.run_id)
        store_samples(self.sessions, fixed, model, self.settings, text_of)

    def compared(self, policy_id, against="start", **evaluate):
        """The evaluation of a comparison, as the command makes it."""
        section = {name: value for name, value in RUBRIC.items() if name != "annotator"}
        config = EvaluationConfig.model_validate(
            {"policy": policy_id, "against": against, "evaluate": section | (evaluate or {"annotator": "rubric"})}
        )
        run_id = open_evaluation_run.fn(config)
        with recorded(run_id):
            evaluation_id = compare_with.fn(run_id, policy_id, against)
        with self.sessions() as session:
            return evaluations.get_evaluation(session, evaluation_id)


def poor(_):
    return POOR


def outcome(evaluation):
    found = evaluation.metrics.comparison
    return found.wins, found.comparison_count - found.wins - found.losses, found.losses


def judged_by(server):
    judge = {"base_url": server.url, "model": "tiny", "max_retries": 0, "parse_retries": 0}
    return {"annotator": "judge", "judge": judge}


def test_good_responses_win_against_poor_ones_and_lose_the_other_way_round(world):
    first, second = world.policy(poor), world.policy(reference_response)
    world.says(str(world.model), poor)
    won = world.compared(second, f"policy:{first}")
    lost = world.compared(first, f"policy:{second}")
    assert outcome(won) == (HELD_OUT, 0, 0) and outcome(lost) == (0, 0, HELD_OUT)
    assert won.metrics.comparison.rate[0] == 1.0 and lost.metrics.comparison.rate[0] == 0.0
    assert (won.baseline_id, won.baseline_model, won.baseline) == (first, None, f"policy:{first}")
    even = world.compared(first)
    assert outcome(even) == (0, HELD_OUT, 0) and even.metrics.comparison.rate[0] == 0.5
    assert (even.baseline_id, even.baseline) == (None, str(world.model))
    assert json.loads(json.dumps(won.metrics.as_dict(), allow_nan=False)) == won.metrics.as_dict()
    with world.sessions() as session:
        pairs = evaluations.evaluation_pairs(session, lost.id)
        ours = {row[1] for row in pairs}
        assert len(pairs) == HELD_OUT and max(ours) < min(row[2] for row in pairs), "the baseline came later here"


@on_sqlite
def test_the_same_comparison_is_found_again_and_others_are_not(world):
    first, second = world.policy(poor), world.policy(reference_response)
    found = world.compared(second, f"policy:{first}")
    again = world.compared(second, f"policy:{first}")
    assert again.id == found.id and again.finished_at == found.finished_at
    other = world.compared(second, f"policy:{first}", annotator="rubric", rubric={"temperature": 0, "seed": 1})
    assert other.id != found.id


@on_sqlite
def test_what_changes_no_verdict_makes_no_second_comparison(world, server):
    server.reply = prefers
    first, second = world.policy(poor), world.policy(reference_response)
    found = world.compared(second, f"policy:{first}")
    for unrelated in ({"has_drift": True}, {"reward_beta": 0.5}):
        again = world.compared(second, f"policy:{first}", annotator="rubric", **unrelated)
        assert (again.id, again.finished_at) == (found.id, found.finished_at)
    judge = judged_by(server)
    judged = world.compared(second, f"policy:{first}", **judge)
    asked = len(server.bodies)
    hurried = judge["judge"] | {"timeout_s": 9, "concurrency": 1, "max_retries": 3, "max_requests": 5}
    assert world.compared(second, f"policy:{first}", annotator="judge", judge=hurried).id == judged.id != found.id
    assert len(server.bodies) == asked
    other = world.compared(second, f"policy:{first}", annotator="judge", judge=judge["judge"] | {"temperature": 1})
    assert other.id not in {found.id, judged.id}, "another temperature may give another verdict"


@on_sqlite
def test_a_judge_that_always_takes_the_left_one_finds_nobody_better(world, server):
    server.reply = lambda _body, _number: completion("m")
    first, second = world.policy(poor), world.policy(reference_response)
    for ours, theirs in ((second, first), (first, second)):
        found = world.compared(ours, f"policy:{theirs}", **judged_by(server))
        assert outcome(found) == (0, HELD_OUT, 0) and found.metrics.comparison.rate[0] == 0.5
        assert found.annotator == "tiny (alpaca_eval)"
    assert len(server.bodies) == 2 * HELD_OUT, "the other way round asks nothing again"


@on_sqlite
def test_a_judge_by_content_decides_the_same_whoever_has_the_lower_id(world, server):
    server.reply = prefers
    first, second = world.policy(lambda text: f"wheat, {text}"), world.policy(lambda text: f"rye bread, {text}")
    assert outcome(world.compared(second, f"policy:{first}", **judged_by(server))) == (HELD_OUT, 0, 0)
    assert outcome(world.compared(first, f"policy:{second}", **judged_by(server))) == (0, 0, HELD_OUT)


@on_sqlite
def test_a_judge_without_a_verdict_is_not_counted(world, server):
    first, second = world.policy(poor), world.policy(reference_response)
    server.reply = lambda body, _number: completion("who knows")
    found = world.compared(second, f"policy:{first}", **judged_by(server))
    assert found.metrics.comparison is None
    assert evaluation_end(found.id, world.settings).figures is None


@on_sqlite
def test_people_compare_at_the_page_and_the_same_command_counts_them(world, capsys):
    first, second = world.policy(poor), world.policy(reference_response)
    world.compared(second, f"policy:{first}")  # a machine has judged the same pairs: that is not people's word
    found = world.compared(second, f"policy:{first}", annotator="people")
    assert found.metrics.comparison is None
    assert evaluation_end(found.id, world.settings).figures is None
    assert f"antipode web --evaluation {found.id}" in capsys.readouterr().err
    with world.sessions.begin() as session:
        rows = evaluations.evaluation_pairs(session, found.id)
        people = [judgements.add_annotator(session, AnnotatorIdentity("person", name)) for name in ("anna", "ben")]
        for at, (_, ours, theirs) in enumerate(rows):
            pair = PairKey(min(ours, theirs), max(ours, theirs))
            mine = "first" if ours == pair.first_response_id else "second"
            other = "second" if mine == "first" else "first"
            said = [mine, mine] if at < 4 else [mine, other] if at < 6 else [other]
            judge(session, people, pair, said)
    counted = world.compared(second, f"policy:{first}", annotator="people")
    assert counted.id == found.id and outcome(counted) == (4, 2, HELD_OUT - 6)
    assert counted.metrics.comparison.unread == 0
    with world.sessions.begin() as session:
        _, ours, theirs = evaluations.evaluation_pairs(session, found.id)[-1]
        pair = PairKey(min(ours, theirs), max(ours, theirs))
        judge(session, people[1:], pair, ["first" if ours == pair.first_response_id else "second"])
    assert outcome(world.compared(second, f"policy:{first}", annotator="people")) == (4, 3, HELD_OUT - 7)


def judge(session, people, pair, verdicts):
    for person, verdict in zip(people, verdicts, strict=False):
        judgements.add_judgements(session, person, [Judgement(pair, pair.first_response_id, verdict)], run_id=None)


@on_sqlite
def test_a_policy_compared_with_itself_says_what_is_wrong(world):
    policy_id = world.policy(poor)
    promote(policy_id, is_forced=True, settings=world.settings)
    for against in (f"policy:{policy_id}", "promoted"):
        with pytest.raises(NothingToDoError, match=f"policy {policy_id} would be compared with itself"):
            world.compared(policy_id, against)


@on_sqlite
def test_people_may_compare_what_a_gated_run_trained(world):
    gated = world.config.model_dump(mode="json") | {"gate": {"promote": True}, "name": "gated"}
    world.run_id = open_align_run.fn(type(world.config).model_validate(gated))
    first, second = world.policy(poor), world.policy(reference_response)
    found = world.compared(second, f"policy:{first}", annotator="people")
    assert found.metrics.comparison is None


@on_sqlite
def test_the_gate_lets_in_what_is_better_by_more_than_the_noise(world):
    better, other = world.policy(reference_response), world.policy(poor)
    world.says(str(world.model), poor)
    with pytest.raises(GateError, match=f"it was never compared with {world.model}.*evaluate {better} --against start"):
        promote(better, is_forced=False, settings=world.settings)
    world.compared(better)
    reason = promote(better, is_forced=False, settings=world.settings)
    assert reason.startswith(f"its win rate against {world.model} is 1.000") and "above 0.5" in reason
    assert promote(better, is_forced=False, settings=world.settings) == f"it is in use ({reason})"
    with pytest.raises(GateError, match=f"never compared with policy:{better}"):
        promote(other, is_forced=False, settings=world.settings)
    world.compared(other, "promoted")
    with pytest.raises(GateError, match=r"is 0\.000, 95 % interval .* does not lie above 0\.5"):
        promote(other, is_forced=False, settings=world.settings)
    with world.sessions() as session:
        assert promotions.in_use(session) == better
        (row,) = promotions.history(session)
    assert row.evaluation_id is not None and not row.is_forced


@on_sqlite
def test_a_forced_promotion_says_so_and_rolling_back_goes_the_way_back(world):
    ids = [world.policy(poor) for _ in range(3)]
    for policy_id in ids:
        assert promote(policy_id, is_forced=True, settings=world.settings).startswith("forced, although ")
    lines = policy_lines(world.settings)
    assert [line.policy.id for line in lines if line.is_in_use] == [ids[2]]
    assert [roll_back(world.settings) for _ in ids] == [(ids[2], ids[1]), (ids[1], ids[0]), (ids[0], None)]
    with pytest.raises(LookupError, match="no policy is in use"):
        roll_back(world.settings)
    with world.sessions() as session:
        assert all(row.is_forced for row in promotions.history(session)[:3])


@on_sqlite
def test_a_policy_that_is_not_there_or_not_trained_is_not_promoted(world):
    with pytest.raises(LookupError, match="there is no policy 99"):
        promote(99, is_forced=True, settings=world.settings)
    policy_id = world.policy(poor)
    with world.sessions.begin() as session:
        policies.fail_policy(session, policy_id, "the disk is full")
    with pytest.raises(GateError, match=f"policy {policy_id} is not trained: it is failed"):
        promote(policy_id, is_forced=True, settings=world.settings)


@on_sqlite
def test_the_gate_step_promotes_only_where_it_is_asked_to(world):
    better, used = world.policy(reference_response), world.policy(poor)
    promote(used, is_forced=True, settings=world.settings)
    pass_gate.fn(world.run_id, better, None, 0)
    with world.sessions() as session:
        assert promotions.in_use(session) == used
    gated = world.config.model_dump(mode="json") | {"gate": {"promote": True}, "name": "gated"}
    run_id = open_align_run.fn(type(world.config).model_validate(gated))
    pass_gate.fn(run_id, better, None, 0)
    with world.sessions() as session:
        assert promotions.in_use(session) == better, "compared with the policy in use first"
    pass_gate.fn(run_id, used, None, 0)
    with world.sessions() as session:
        assert promotions.in_use(session) == better
    assert roll_back(world.settings) == (better, used)
    pass_gate.fn(run_id, better, None, 0)
    with world.sessions() as session:
        assert promotions.in_use(session) == used, "what a person took out of use stays out"


@on_sqlite
def test_promoted_means_the_policy_in_use_when_the_run_was_opened(world):
    first, second = world.policy(poor), world.policy(poor)
    with world.sessions() as session, pytest.raises(LookupError, match="no policy is in use; promote one"):
        chosen_model(session, ModelConfig(name="promoted"))
    promote(first, is_forced=True, settings=world.settings)
    config = configured(model={"name": "promoted"}, source={"has_references": True}, generate={"when": "never"})
    run_id = open_run.fn(config)
    promote(second, is_forced=True, settings=world.settings)
    other = open_run.fn(config)
    with world.sessions() as session:
        assert runs.get_run(session, run_id).config["model"]["name"] == f"policy:{first}"
        assert runs.get_run(session, other).config["model"]["name"] == f"policy:{second}" and other != run_id
        assert chosen_model(session, ModelConfig(name="demo")).name == "demo"


@on_sqlite
def test_the_page_shows_what_was_compared(world):
    better = world.policy(reference_response)
    world.says(str(world.model), poor)
    found = world.compared(better)
    with world.sessions.begin() as session:  # as it was stored when more settings were part of its key
        older = evaluations.open_evaluation(
            session, key="0" * 64, run_id=found.run_id, policy_id=better, baseline_id=None,
            baseline_model=found.baseline_model, settings=found.settings,
        )  # fmt: skip
        evaluations.set_annotator(session, older, found.annotator_id)
        evaluations.add_evaluation_pairs(session, older, evaluations.evaluation_pairs(session, found.id))
        evaluations.finish_evaluation(session, older, found.metrics)
    contents = policy_contents(better, world.settings)
    (figures,) = contents.evaluations
    assert (figures.win, figures.tie, figures.lose, figures.prompt_count) == (HELD_OUT, 0, 0, HELD_OUT)
    assert figures.seed == 0 and figures.compared_at >= found.finished_at
    assert contents.config == [("beta", "0.1"), ("seed", "0")]
    assert contents.gate and contents.gate.verdict == "passed" and "1.000" in contents.gate.reason
    assert all(one.verdict == "win" for one in contents.examples) and len(contents.examples) == 6
    assert "1.000" in write_policy_page(better, world.settings).read_text()


@on_sqlite
def test_what_to_do_next_is_what_the_gate_waits_for(world, capsys):
    better, even = world.policy(reference_response), world.policy(poor)
    world.says(str(world.model), poor)
    ask = f"antipode evaluate {better} --against start --evaluate.annotator"
    judge = "judge --evaluate.judge.base_url URL --evaluate.judge.model NAME"
    assert next_lines(better, world, capsys) == [f"{ask} {judge}   # a comparison decides", sample(better)]
    compared = {id_: world.compared(id_) for id_ in (better, even)}
    assert next_lines(better, world, capsys) == [f"antipode promote {better}", sample(better)]
    more = f"antipode evaluate {even} --against start --evaluate.annotator rubric --evaluate.source.name SOURCE"
    assert next_lines(even, world, capsys) == [f"{more}   # more prompts would decide", sample(even)]
    for id_, said in ((better, f"Next: antipode promote {better}\n"), (even, f"Next: {more}   # ")):
        show_evaluation(compared[id_].id, world.settings)
        printed = capsys.readouterr().out
        assert said in printed and "on 12 prompts (seed 0, " in printed
        assert ("promote" in printed) == (id_ == better)
    with pytest.raises(GateError, match=f"; more prompts would decide: antipode evaluate {even} --against start"):
        promote(even, is_forced=False, settings=world.settings)
    promote(better, is_forced=False, settings=world.settings)
    assert next_lines(better, world, capsys) == [sample(better)]
    assert next_lines(even, world, capsys)[0].startswith(f"antipode evaluate {even} --against policy:{better} ")
    world.compared(even, "promoted")
    assert next_lines(even, world, capsys)[0].startswith("antipode align --help   # it is worse")


@on_sqlite
def test_of_a_single_held_out_prompt_the_figures_are_printed_without_intervals(world, capsys):
    policy_id = world.policy(poor)
    with world.sessions.begin() as session:
        evaluation_id = evaluations.open_evaluation(
            session, key="0" * 64, run_id=None, policy_id=policy_id, baseline_id=None, baseline_model="demo",
            settings={},
        )  # fmt: skip
        rewards = reward_summary([-8], [-9], [-9], [-8], beta=1, chosen_token_counts=[4], clusters=[1])
        evaluations.finish_evaluation(session, evaluation_id, Measurements(held_out=HeldOut("key", rewards, None)))
    show_policy(policy_id, world.settings)
    printed = capsys.readouterr().out
    assert "mean over prompts: margin 2.000, loss 0.127, accuracy 1.000 [" in printed
    assert "per token: perplexity 7.389\n" in printed, "its lower bound is known, its upper one is infinite"


def sample(policy_id):
    return f"antipode curate --model.name policy:{policy_id}"


def next_lines(policy_id, world, capsys):
    show_policy(policy_id, world.settings)
    _, _, told = capsys.readouterr().out.partition("Next: ")
    return [line.strip() for line in told.splitlines()]


@on_sqlite
def test_the_list_of_policies_says_what_was_compared_on_what(world, capsys):
    better, other = world.policy(reference_response), world.policy(poor)
    world.says(str(world.model), poor)
    found = world.compared(better)
    show_policies(policy_lines(world.settings))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    (header,) = [line for line in lines if line[:1] == ["policy"]]
    rows = {line[0]: line for line in lines if line[1:2] == ["test"]}
    assert header[-6:] == ["against", "win", "rate", "prompts", "seed", "compared"]
    assert rows[str(better)][-6] == "1.000" and rows[str(better)][-3:] == ["12", "0", str(found.finished_at)[:10]]
    assert rows[str(other)][-2] == "1", "its snapshot, before the day it was made: nobody compared it"
