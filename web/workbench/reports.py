"""Report pages as they were written, served to who leads: each is whole in itself, and nothing in it may run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi import Path as FromPath

from models.files import ReportKind, report_file
from models.records import MAX_ID
from web.access import CurrentLead, CurrentSite
from web.guard import SELF_CONTAINED
from web.pages import workbench_page

router = APIRouter(prefix="/reports")
Number = Annotated[int, FromPath(ge=1, le=MAX_ID)]


@router.get("/{kind}-{number}.html")
def show_report(request: Request, kind: ReportKind, number: Number, site: CurrentSite, person: CurrentLead) -> Response:
    """The report of a run, a policy or a study; where its file is gone, how to make it again."""
    page = written_report(site.artifacts, kind, number)
    if page is not None:
        return Response(page.read_bytes(), media_type="text/html", headers=SELF_CONTAINED)
    option = "--policy" if kind == "policy" else "--run"
    response = workbench_page(
        request, "reports/missing.html", person, kind=kind, number=number, command=f"antipode report {option} {number}"
    )
    response.status_code = 404
    return response


def written_report(artifacts: Path | None, kind: ReportKind, number: int) -> Path | None:
    """The file of a report, None where there is none; a link, or one in a folder that is a link, is none of ours."""
    if artifacts is None:
        return None
    root = artifacts.resolve()
    path = report_file(root, kind, number)
    return path if path.resolve() == path and path.is_file() else None


def report_address(artifacts: Path | None, kind: ReportKind, number: int) -> str | None:
    """Where a report is served, None where it was not written."""
    return f"/reports/{kind}-{number}.html" if written_report(artifacts, kind, number) else None
