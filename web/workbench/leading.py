"""A queue as it is led: settings, guidelines, known answers, who settles contradictions, how people are doing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator

from db.labels import queues
from db.labels.queueing import adjudication, changing, figures, gold, guidelines, settings
from models.labelling.records import LONGEST_NAME
from web.access import CurrentLead, CurrentSite
from web.contents import Told
from web.labelling import QueueId
from web.pages import workbench_page
from web.rendering import render_text

LONGEST_LIST = 20 * LONGEST_NAME  # of names with commas between them

router = APIRouter(prefix="/queues/{queue_id}")


class ChangesBody(BaseModel):
    """What is to change; what a form leaves out stays. Names of several people have commas between them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Told | None = Field(None, max_length=4 * LONGEST_NAME)
    is_closed: bool | None = None
    judgements_per_pair: int | None = Field(None, ge=1, le=settings.MOST_JUDGEMENTS)
    overlap: float | None = Field(None, gt=0, le=1, strict=False)
    guidelines: Told | None = None
    has_strength: bool | None = None
    has_comment: bool | None = None
    has_editing: bool | None = None
    gold_annotators: str = Field("", max_length=LONGEST_LIST)
    gold_share: float | None = Field(None, ge=0, le=settings.LARGEST_GOLD_SHARE, strict=False)
    gold_bar: float | Literal[""] | None = None
    has_stop: bool | None = None
    adjudicators: str = Field("", max_length=LONGEST_LIST)
    readmit: str | None = Field(None, max_length=4 * LONGEST_NAME)

    @field_validator("gold_bar", mode="before")
    @classmethod
    def _a_share_or_none(cls, value: object) -> object:
        """An emptied field takes the bar away, which the form cannot say by leaving it out."""
        if isinstance(value, str) and value:
            try:
                value = float(value)
            except ValueError as error:
                raise ValueError("expected a share from 0 to 1, or nothing") from error
        if isinstance(value, int | float) and not 0 <= value <= 1:
            raise ValueError("expected a share from 0 to 1, or nothing")
        return value


@router.get("/settings")
def show_settings(request: Request, queue_id: QueueId, site: CurrentSite, person: CurrentLead) -> Response:
    """The queue's settings, and the people in it."""
    with site.sessions() as session, _refused():
        queue = queues.get_queue(session, queue_id)
        asked = guidelines.newest(session, queue_id)
        content = {
            "people_in": figures.people_lately(session, queue_id),
            "gold_pairs": gold.pair_count(session, queue_id),
            "adjudicators": adjudication.adjudicators(session, queue_id),
        }
    shown = "" if asked is None else render_text(asked.text)
    return workbench_page(request, "lead/queue.html", person, queue=queue, asked=asked, guidelines=shown, **content)


@router.post("/settings")
def change_settings(queue_id: QueueId, body: ChangesBody, site: CurrentSite, person: CurrentLead) -> dict[str, str]:
    """Change what the form says, all of it or nothing; people see it with their next pair."""
    given = body.model_dump(exclude={"gold_annotators", "gold_bar", "adjudicators"})
    changes = changing.QueueChanges(
        **given,
        gold_annotators=_names(body.gold_annotators),
        gold_bar=None if body.gold_bar == "" else body.gold_bar,
        has_no_gold_bar=body.gold_bar == "",
        adjudicators=_names(body.adjudicators),
    )
    with site.sessions.begin() as session, _refused():
        *_, changed = changing.change(session, queue_id, changes)
    if changed != queue_id:
        return {"next": f"/queues/{changed}/settings", "words": "Contradictions come into this queue by themselves"}
    return {"next": f"/queues/{queue_id}/settings", "words": "Changed; people see it with their next pair"}


@router.post("/first")
def put_first(queue_id: QueueId, site: CurrentSite, person: CurrentLead) -> dict[str, str]:
    """Let people meet this queue before the others."""
    with site.sessions.begin() as session, _refused():
        others = [queue.id for queue in queues.list_queues(session) if queue.id != queue_id]
        settings.set_order(session, [queue_id, *others])
    return {"next": "/queues", "words": "People meet it first now"}


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in text.split(","))))


@contextmanager
def _refused() -> Iterator[None]:
    """What cannot be set so becomes an answer that says why."""
    try:
        yield
    except LookupError as error:
        raise HTTPException(404, str(error)) from error
    except ValueError as error:
        raise HTTPException(409, str(error)) from error
