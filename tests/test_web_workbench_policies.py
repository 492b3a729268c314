"""The lead's pages of policies: how each was made, how it compares, and policies side by side."""

from __future__ import annotations

import pytest
from overviewed import compared, labelled
from page_visitor import HTML, Visitor
from stored_policies import open_align_run, open_policy
from surroundings import on_sqlite

from db import policies, promotions

pytestmark = on_sqlite


def page(sessions, address, **served):
    return Visitor(sessions, "Lea", is_lead=True, **served).http.get(address, headers=HTML)


def test_without_a_policy_the_list_says_how_to_train_one(sessions):
    assert "antipode align --data.run ID" in page(sessions, "/policies").text


def test_the_list_marks_the_policy_in_use_and_shows_the_newest_comparisons(sessions):
    _, second, _ = compared(sessions, None)
    text = page(sessions, "/policies").text
    for words in ("in use", f'href="/policies/{second}"', "0.70 [0.60, 0.80]", "demo"):
        assert words in text


def test_a_policy_shows_what_it_was_made_of_and_how_it_compares(sessions):
    *_, snapshot_id = labelled(sessions)
    first, second, third = compared(sessions, snapshot_id)
    text = page(sessions, f"/policies/{second}").text
    for words in (f'href="/snapshots/{snapshot_id}"', f'href="/policies/{first}"', "0.70 [0.60, 0.80]", "look 1",
                  "it beats policy a", f"ids={second},{first}", "antipode report --policy"):  # fmt: skip
        assert words in text
    text = page(sessions, f"/policies/{third}").text
    assert "Nobody has compared it yet" in text
    assert f"antipode promote {third}" in text


def test_a_policy_tells_when_it_came_into_use_and_went(sessions):
    _, second, third = compared(sessions, None)
    with sessions.begin() as session:
        promotions.promote(session, third, evaluation_id=None, is_forced=True, reason="we tried")
        promotions.roll_back(session)
    replaced = page(sessions, f"/policies/{second}").text
    assert f'replaced by <a href="/policies/{third}">' in replaced
    assert replaced.count("put into use") == 2, "once promoted, once by the rollback"
    gone = page(sessions, f"/policies/{third}").text
    assert "taken out of use" in gone
    assert "forced" in gone


def test_a_training_that_failed_says_why(sessions):
    policy = open_policy(sessions, open_align_run(sessions), "a")
    with sessions.begin() as session:
        policies.fail_policy(session, policy.id, "<i>no memory")
    text = page(sessions, f"/policies/{policy.id}").text
    assert "&lt;i&gt;no memory" in text
    assert "No metric was measured" in page(sessions, f"/policies/{policy.id}/curves.svg").text


def test_policies_beside_each_other_show_settings_rates_and_curves(sessions):
    first, second, third = compared(sessions, None)
    text = page(sessions, f"/policies/compare?ids={first}&ids={second}&ids={third}").text
    for words in (
        "<code>beta</code>",
        ">0.1</td>",
        ">0.5</td>",
        "0.70 [0.60, 0.80]",
        "0.30 [0.20, 0.40]",
        ">demo</th>",
    ):
        assert words in text
    assert text.count("diagonal") == 3
    picture = page(sessions, f"/policies/compare.svg?ids={first},{second}")
    assert f"policy {first}, dpo" in picture.text
    assert f"policy {second}, dpo" in picture.text
    assert "style-src 'unsafe-inline'" in picture.headers["content-security-policy"]


def test_policies_that_nobody_compared_say_how_to(sessions):
    first, _, third = compared(sessions, None)
    run_id = open_align_run(sessions, key="q" * 64)
    other = open_policy(sessions, run_id, "e").id
    text = page(sessions, f"/policies/compare?ids={third},{other}").text
    assert f"antipode evaluate {other} --against policy:{third}" in text
    assert first != third


@pytest.mark.parametrize("address", ["/policies/7", "/policies/7/curves.svg", "/policies/compare?ids=7,8"])
def test_what_is_not_there_is_said_on_a_page(sessions, address):
    assert page(sessions, address).status_code == 404
