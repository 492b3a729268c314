"""The dry run of a labelling, beside the labelling itself: what is told is what comes, and nothing changes."""

from __future__ import annotations

import pytest
from chat_server import ChatServer, completion, serving
from curation_steps import configured, curate
from footprints import footprint
from judged_pairs import prefers
from labelling_steps import OWN, curate_breads, judge_config, label, own_row
from stored_rows import add

from db import runs
from tasks.config.labels import LabelConfig
from tasks.errors import NothingToDoError
from tasks.labels.choices import check_labelling
from tasks.labels.estimate import estimate_labelling
from tasks.labels.opening import open_label_run

PAIRS = 6
COUNTS = ("verdicts stored", "replies stored", "replies to come", "requests")


@pytest.fixture
def server():
    with serving(ChatServer()) as own:
        own.reply = prefers
        yield own


def estimate(settings, **config):
    return estimate_labelling(LabelConfig.model_validate(config), settings)


def told(found, *names):
    return tuple(found.value(name) for name in names)


def spent(sessions, run_id):
    with sessions() as session:
        run = runs.get_run(session, run_id)
        return run.requests, run.cost


def test_a_judges_requests_are_told_to_the_one_and_none_is_sent(settings, sessions, server):
    curate_breads(sessions)
    before = footprint(settings)

    found = estimate(settings, **judge_config(server))

    assert footprint(settings) == before and server.bodies == []
    assert told(found, "pairs", *COUNTS) == (PAIRS, 0, 0, 2 * PAIRS, 2 * PAIRS)
    assert told(found, "tokens out", "money", "time") == (2 * PAIRS * 256, None, None)

    run_id = label(**judge_config(server))
    assert len(server.bodies) == spent(sessions, run_id)[0] == found.value("requests")
    again = estimate(settings, **judge_config(server))
    assert told(again, *COUNTS) == (2 * PAIRS, 0, 0, 0)
    assert told(again, "tokens in", "tokens out", "time") == (0, 0, 0)


def test_what_a_budget_left_undone_is_told_and_what_was_paid_for_is_not_asked_again(settings, sessions, server):
    curate_breads(sessions)
    limited = judge_config(server, max_requests=5, concurrency=1)
    note = "budget: judge.max_requests 5 pays for about 42% of it, 5 requests; then it ends with what is judged"
    assert estimate(settings, **limited).notes[0].startswith(note)

    label(**limited)

    assert len(server.bodies) == 5
    left = estimate(settings, **judge_config(server))
    assert told(left, "verdicts stored", "replies to come") == (5, 2 * PAIRS - 5)
    # Another judge of the same words finds the replies, not the verdicts.
    other = estimate(settings, **judge_config(server, parse_retries=1))
    assert told(other, *COUNTS[:3]) == (0, 5, 2 * PAIRS - 5)


def test_equal_texts_and_equal_questions_cost_nothing(settings, sessions, server):
    rows = [own_row(number, "rye", "wheat") for number in (1, 2)]
    add(sessions, *rows)
    add(sessions, own_row(1, "rye", "wheat", "oat"), name="more", content_hash="1" * 64)
    curate(configured(**OWN))

    found = estimate(settings, **judge_config(server))
    label(**judge_config(server))

    assert len(server.bodies) == found.value("requests")


def test_a_judge_that_has_judged_tells_tokens_attempts_and_time_of_the_next(settings, sessions, server):
    curate_breads(sessions)
    label(**judge_config(server))
    settings.artifact_root.mkdir(exist_ok=True)
    settings.prices_file.write_text('currency = "EUR"\n[models.tiny]\ninput = 1e6\noutput = 1e5\n')

    config = judge_config(server, seed=7)
    found = estimate(settings, **config)
    asked = len(server.bodies)
    run_id = label(**config)

    requests, cost = spent(sessions, run_id)
    assert (requests, len(server.bodies) - asked) == (found.value("requests"), found.value("requests"))
    assert found.value("tokens in") == pytest.approx(2 * PAIRS)  # the server counts one a question
    assert found.value("tokens out") == 2 * PAIRS * 3
    assert found.value("money") == pytest.approx(cost) and found.currency == "EUR"
    assert 0 < found.value("time") < 60


def test_replies_that_could_not_be_read_raise_the_attempts_expected(settings, sessions, server):
    curate_breads(sessions)
    server.reply = lambda body, number: completion("well") if number % 2 else prefers(body, number)
    label(**judge_config(server, parse_retries=1, concurrency=1))

    requests = next(
        figure
        for figure in estimate(settings, **judge_config(server, parse_retries=1, seed=3)).figures
        if figure.name == "requests"
    )
    assert (requests.value, requests.sign) == (4 * PAIRS, "≈")
    assert requests.basis == "2.00 a reply, as before"


def test_a_run_that_was_killed_has_spent_of_its_budget(settings, sessions, server):
    curate_breads(sessions)
    config = LabelConfig.model_validate(judge_config(server, max_requests=12))
    run_id = open_label_run.fn(config)
    with sessions.begin() as session:
        runs.spend(session, run_id, 6, 0.0)

    notes = estimate_labelling(config, settings).notes

    assert notes[0] == f"takes up run {run_id}, which did not finish"
    assert "max_requests 12 pays for about 50% of it" in notes[1]


def test_annotators_that_cost_no_money_are_told_by_their_verdicts(settings, sessions):
    add(sessions, *(own_row(number, f"rye {number}", f"wheat {number}", score=2.0) for number in range(PAIRS)))
    curate(configured(**OWN))
    before = footprint(settings)
    found = estimate(settings, annotator="scores")
    assert told(found, "verdicts stored", "verdicts to come", "time") == (0, PAIRS, None)
    people = estimate(settings, annotator="people", people={"judgements_per_pair": 3})
    assert people.value("verdicts to come") == 3 * PAIRS
    absent = estimate(settings, annotator="reward_model", reward_model={"name": "nobody/nothing"})
    assert absent.value("verdicts to come") == PAIRS
    assert footprint(settings) == before

    label(annotator="scores")
    again = estimate(settings, annotator="scores")
    assert told(again, "verdicts stored", "verdicts to come", "time") == (PAIRS, 0, 0)
    assert 0 < estimate(settings, annotator="scores", scores={"min_ratio": 3}).value("time") < 60


def test_the_refusals_are_the_commands_own(settings, sessions, server):
    with pytest.raises(LookupError, match="there is no run yet"):
        estimate(settings, annotator="rubric")
    curate_breads(sessions)
    for config in (
        {"annotator": "rubric", "pairs": {"strategies": ["hard"], "run": "nowhere"}},
        judge_config(server, max_cost=1.0),
    ):
        with pytest.raises((LookupError, ValueError, NothingToDoError)) as refusal:
            check_labelling(LabelConfig.model_validate(config), settings)
        with pytest.raises(type(refusal.value)) as dry_refusal:
            estimate(settings, **config)
        assert str(dry_refusal.value) == str(refusal.value)
