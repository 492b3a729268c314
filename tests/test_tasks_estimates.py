"""The arithmetic of estimates: rates from times of storing, and what a budget pays for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tasks.estimates import Figure, Limits, rate, time_figure

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
PRECISE = pytest.approx


def after(*seconds):
    return [BEGIN + timedelta(seconds=at) for at in seconds]


def test_things_stored_together_were_made_since_the_write_before_or_the_runs_start():
    stored_at = after(10, 10.001, 10.002, 15, 15.001, 15.002)

    assert rate(stored_at, after(0)) == PRECISE(6 / 15, rel=0.01)
    assert rate(stored_at, []) == PRECISE(3 / 5, rel=0.01)  # of the first write the start is not known
    assert rate(stored_at, after(0, 12)) == PRECISE(6 / 13, rel=0.01)  # another run began in between
    assert rate(stored_at, after(0, 99)) == rate(list(reversed(stored_at)), after(0))


def test_a_night_between_two_writes_is_no_work():
    stored_at = after(10, 20, 30, 40_000, 40_010)

    assert rate(stored_at, after(0)) == PRECISE(0.1)
    slow_reply = after(1, 2, 3, 4, 5, 30)  # of a server: no pause
    assert rate(slow_reply, after(0)) == PRECISE(6 / 30)


@pytest.mark.parametrize(
    ("stored_at", "starts"), [([], after(0)), (after(5), []), (after(5), after(6)), (after(5), after(5))]
)
def test_where_times_tell_nothing_no_rate_is_invented(stored_at, starts):
    assert rate(stored_at, starts) is None
    assert "the first replies will tell" in time_figure("time", 3, None, unit="replies").basis


def test_a_pace_that_is_set_is_the_least_a_run_takes():
    assert time_figure("time", 100, 10.0, unit="replies", at_least_s=60).value == 60
    assert time_figure("time", 100, 1.0, unit="replies", at_least_s=60).value == 100
    unknown = time_figure("time", 100, None, unit="replies", at_least_s=60)
    assert (unknown.value, unknown.sign) == (60, "≥")


def test_a_budget_says_how_much_of_the_work_it_pays_for():
    requests, money = Figure("requests", 200), Figure("money", 4.0, sign="≈")

    def note(limits, requests=requests, money=money):
        return limits.note(requests, money, "then it stops")

    assert note(Limits("judge", None, None)) is None
    assert note(Limits("judge", 200, 4.0)) == "budget: judge.max_cost 4 pays for all of it"
    half = "budget: judge.max_requests 100 pays for about 50% of it, 100 requests; then it stops"
    assert note(Limits("judge", 100, 4.0)) == half
    assert "judge.max_cost 1 pays for about 25% of it, 50 requests" in note(Limits("judge", 100, 1.0))
    assert "pays for at least 25%" in note(Limits("judge", None, 1.0), money=Figure("money", 4.0, sign="≤"))
    assert "pays for about 5% of it, 10 requests" in note(Limits("judge", 100, None, spent_requests=90))
    assert "for about 0% of it, 0 requests" in note(Limits("judge", 100, None, spent_requests=101))
    assert note(Limits("judge", 100, 1.0), requests=Figure("requests", 0), money=Figure("money", 0)).endswith(
        "all of it"
    )
    assert note(Limits("judge", None, 1.0), money=Figure("money", None)) is None
