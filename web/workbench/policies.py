"""The lead's pages of policies: how each was trained, how it compares, which is in use; and policies side by side."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request, Response

from db import evaluations, gate_looks, policies, promotions
from db.engine import Session
from db.evaluations import EvaluationRecord
from db.overviews import policies as overviews
from models.report.curves_picture import compared_curves_svg, curves_svg, thinned
from models.report.templates import duration
from web.access import CurrentLead, CurrentSite
from web.guard import SELF_CONTAINED
from web.pages import workbench_page
from web.workbench.asked import ON_A_PAGE, Before, Ids, ItemId, chosen_ids, found, list_page
from web.workbench.reports import report_address
from web.workbench.settings_rows import differing_rows, setting_rows

router = APIRouter(prefix="/policies")


@router.get("")
def show_policies(request: Request, site: CurrentSite, person: CurrentLead, before: Before = None) -> Response:
    """All policies, the newest first, with their newest comparison."""
    with site.sessions() as session:
        page = list_page(overviews.policy_lines(session, before=before, limit=ON_A_PAGE + 1))
        compared = overviews.newest_comparisons(session, [line.id for line in page.lines])
        used = promotions.in_use(session)
    return workbench_page(
        request,
        "policies/list.html",
        person,
        lines=[(line, compared.get(line.id)) for line in page.lines],
        used=used,
        has_older=page.has_older,
        is_first=before is None,
    )


@router.get("/compare")
def compare_policies(request: Request, site: CurrentSite, person: CurrentLead, ids: Ids = None) -> Response:
    """Policies beside each other: what differs, their training over each other, all against all."""
    chosen = chosen_ids(ids)
    with site.sessions() as session, found():
        records = [policies.get_policy(session, policy_id) for policy_id in chosen]
        rates = overviews.win_rates(session, chosen)
        used = promotions.in_use(session)
    opponents = [f"policy:{policy_id}" for policy_id in chosen]
    opponents += sorted({opponent for _, opponent in rates} - set(opponents))
    return workbench_page(
        request,
        "policies/compare.html",
        person,
        policies=records,
        heads=[f"policy {record.id}" for record in records],
        used=used,
        settings=differing_rows([_described(record) for record in records]),
        opponents=opponents,
        rates=rates,
        picture=f"/policies/compare.svg?ids={','.join(map(str, chosen))}",
    )


@router.get("/compare.svg")
def draw_compared(site: CurrentSite, person: CurrentLead, ids: Ids = None) -> Response:
    """What was measured along the trainings of policies, over each other."""
    chosen = chosen_ids(ids)
    with site.sessions() as session, found():
        points = {
            f"policy {policy_id}, {policies.get_policy(session, policy_id).method}": thinned(
                policies.metric_points(session, policy_id)
            )
            for policy_id in chosen
        }
    return Response(compared_curves_svg(points), media_type="image/svg+xml", headers=SELF_CONTAINED)


@router.get("/{item_id}/curves.svg")
def draw_curves(item_id: ItemId, site: CurrentSite, person: CurrentLead) -> Response:
    """What was measured along the training of a policy."""
    with site.sessions() as session, found():
        policies.get_policy(session, item_id)
        points = thinned(policies.metric_points(session, item_id))
    return Response(curves_svg(points), media_type="image/svg+xml", headers=SELF_CONTAINED)


@router.get("/{item_id}")
def show_policy(request: Request, item_id: ItemId, site: CurrentSite, person: CurrentLead) -> Response:
    """One policy: how it was trained, on what, how it compares, whether it is or was in use."""
    with site.sessions() as session, found():
        policy = policies.get_policy(session, item_id)
        content = _content(session, policy)
    return workbench_page(
        request,
        "policies/one.html",
        person,
        policy=policy,
        settings=setting_rows(policy.settings),
        took=None if policy.seconds is None else duration(timedelta(seconds=policy.seconds)),
        metrics=_numbers(policy),
        report=report_address(site.artifacts, "policy", item_id),
        **content,
    )


def _content(session: Session, policy: policies.PolicyRecord) -> dict[str, Any]:
    comparisons = evaluations.comparisons(session, policy.id)
    changes = [one for one in promotions.history(session) if policy.id in (one.policy_id, one.previous_id)]
    return {
        "is_in_use": promotions.in_use(session) == policy.id,
        "ancestors": policies.ancestry(session, policy.id)[1:],
        "comparisons": [(one, one.comparison, gate_looks.newest_look(session, one.id)) for one in comparisons],
        "history": [(one, one.policy_id == policy.id) for one in reversed(changes)],
        "opponents": _opponents(comparisons),
    }


def _opponents(comparisons: list[EvaluationRecord]) -> list[int]:
    """The policies that this one was compared with, each once."""
    return list(dict.fromkeys(one.baseline_id for one in comparisons if one.baseline_id is not None))


def _described(policy: policies.PolicyRecord) -> dict[str, Any]:
    """A policy's settings, and beside them what it was trained from and on."""
    return {
        "method": policy.method,
        "round": policy.round,
        "start model": policy.start_model,
        "started from policy": policy.parent_id,
        "snapshot": policy.snapshot_id,
        "code": policy.code_version,
        **policy.settings,
    }


def _numbers(policy: policies.PolicyRecord) -> list[tuple[str, str]]:
    """The last values measured along the training."""
    found = ((name, value) for name, value in (policy.metrics or {}).items() if isinstance(value, int | float))
    return [(name.replace("_", " "), _figure(value)) for name, value in found]


def _figure(value: float) -> str:
    """A count in full, else four digits."""
    return (f"{value:,.0f}" if value == round(value) else f"{value:.4g}").replace("-", "−")
