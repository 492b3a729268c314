"""What a lead starts: its form, with what the database knows to choose from, and the start itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Body, HTTPException, Request, Response

from db.overviews.loop import Known, known_names
from web.access import CurrentLead, CurrentSite, Site
from web.pages import workbench_page
from web.service import Form, FormField, Service, Value
from web.workbench.files import exported_files, uploaded_files

WITHOUT_PREFECT = (
    "This page was started without a Prefect server, which does the work; start everything with: antipode up"
)
# What a name with its section does not say by itself.
LABELS = {
    "source": "File or data set",
    "source.name": "Source",
    "source.limit": "At most so many prompts",
    "model.name": "Model",
    "queue.is_opened": "Open a queue for people",
    "pairs.run": "Run",
    "annotator": "Who labels",
    "judge.base_url": "Judge's address",
    "judge.model": "Judge's name there",
    "judge.max_requests": "At most so many requests",
    "limit": "At most so many",
    "data.run": "Run",
    "data.snapshot": "Or a data set, by its id",
    "evaluate.annotator": "Who compares",
    "evaluate.source.name": "Prompts of a source",
    "against": "Compare with",
    "force": "Even if it is not better",
}

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Option:
    """A value that may be chosen, and what a person calls it."""

    value: str
    words: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A field as it is shown: with its label, what stands in it, and what may be chosen."""

    field: FormField
    label: str
    value: Value
    options: tuple[Option, ...]


@router.get("/start/{what}")
def show_form(request: Request, what: str, site: CurrentSite, person: CurrentLead) -> Response:
    """The form of what is to be started; the address may bring values: /start/curate?source.name=mine."""
    form = _form(site, what)
    with site.sessions() as session:
        known = known_names(session)
    given = dict(request.query_params)
    main = [_asked(field, given, known, site) for field in form.main]
    sections = [
        (section.name, section.words, [_asked(field, given, known, site) for field in section.fields])
        for section in form.sections
    ]
    is_open = any(field.name in given for section in form.sections for field in section.fields)
    content = {"form": form, "main": main, "sections": sections, "is_open": is_open}
    exports = exported_files(site) if what == "export" else []
    return workbench_page(request, "lead/start.html", person, exports=exports, **content)


@router.post("/start/{what}")
def start(
    what: str, values: Annotated[dict[str, Value | list[str]], Body()], site: CurrentSite, _: CurrentLead
) -> dict[str, str]:
    """Start it; what was left as the form showed it is left to the configuration."""
    form = _form(site, what)
    fields = form.fields
    changed = {name: value for name, value in values.items() if name not in fields or value != fields[name].default}
    try:
        started = _service(site).start(what, changed)
    except (ValueError, LookupError) as error:
        raise HTTPException(409, str(error)) from error
    except ConnectionError as error:
        raise HTTPException(503, str(error)) from error
    site.watch.forget()
    return {"next": "/", "words": started.message or f"{started.name} is started; how it goes is shown below"}


def _service(site: Site) -> Service:
    if site.service is None:
        raise HTTPException(503, WITHOUT_PREFECT)
    return site.service


def _form(site: Site, what: str) -> Form:
    try:
        return _service(site).form(what)
    except LookupError as error:
        raise HTTPException(404, str(error)) from error


def _asked(field: FormField, given: Mapping[str, str], known: Known, site: Site) -> Asked:
    value: Value = given.get(field.name, field.default)
    if field.kind == "switch" and isinstance(value, str):
        value = value not in {"", "0", "false"}
    return Asked(field, LABELS.get(field.name, _plain(field.name)), value, tuple(_options(field, known, site)))


def _options(field: FormField, known: Known, site: Site) -> list[Option]:
    match field.suggested:
        case "sources":
            return [Option(name, name) for name in known.sources]
        case "runs":
            runs = [Option(str(id_), f"{id_} · {name}") for id_, name in known.runs]
            return [Option("last", "the newest run"), *runs]
        case "policies":
            return [Option(str(id_), f"{id_} · {name}") for id_, name in known.policies]
        case "models":
            of_policies = [Option(f"policy:{id_}", name) for id_, name in known.policies]
            return [Option("promoted", "the policy in use"), Option("demo", "the small demo model"), *of_policies]
        case "files":
            return [Option(str(path), path.name) for path in uploaded_files(site)]
    return [Option(choice, choice.replace("_", " ")) for choice in field.choices]


def _plain(name: str) -> str:
    """A setting's name as words: `generate.max_tokens` is Max tokens there, `embed.model.name` Model."""
    section, _, last = name.rpartition(".")
    if last == "name" and section:
        last = section.rpartition(".")[2]
    return last.replace("_", " ").capitalize()
