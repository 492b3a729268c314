"""People's sign-in links, as the commands print them. A link is a password: it goes to the terminal alone."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from db.engine import Sessions
from flows.terminal.tables import make_console, print_rows
from models.labelling.records import person
from tasks.database import open_database
from tasks.labels.people import page_secret
from tasks.settings import Settings
from tasks.terminal import show
from web.people import PersonLine, list_people, new_token, set_lead, sign_out, tokens

DEFAULT_ADDRESS = "http://127.0.0.1:4300"


def link_lines(
    sessions: Sessions, names: Sequence[str], settings: Settings, *, address: str, queue_id: int | None = None
) -> list[str]:
    """For each name the link that signs this person in, issued if they have none; or how they get one again."""
    found = tokens(sessions, page_secret(settings), names, days=settings.sign_in_days)
    return [
        f"{name}: {_link(address, token, queue_id)}" if token else f"{name}: the link was taken back; {_renewal(name)}"
        for name, token in found.items()
    ]


def lead_line(sessions: Sessions, name: str, settings: Settings, *, address: str) -> str:
    """The link of the person who leads, who sees the workbench from now on."""
    [line] = link_lines(sessions, [name], settings, address=address)
    set_lead(sessions, name, is_lead=True)
    return line


def show_people(settings: Settings) -> None:
    """Print everybody who was given a link or has labelled."""
    with open_database(settings) as sessions:
        people = list_people(sessions)
    if not people:
        show("nobody has labelled, and nobody was given a link\nNext: antipode web --annotators NAME")
        return
    columns = ("name", "may see", "link", "last seen", "verdicts")
    print_rows(make_console(), columns, [*map(_row, people)], text_columns=4)
    show("Next: antipode people --renew NAME   # a new link\n      antipode people --revoke NAME  # none any more")


def renew(name: str, settings: Settings) -> None:
    """Give a person a new link and print it; they may be new."""
    plain = person(name).name
    with open_database(settings) as sessions:
        token = new_token(sessions, page_secret(settings), plain, days=settings.sign_in_days)
    show(f"{plain}: {_link(settings.page_url or DEFAULT_ADDRESS, token, None)}")
    show(f"It works for {settings.sign_in_days} days; earlier links of {plain} no longer do.")


def revoke(name: str, settings: Settings) -> None:
    """Take a person's link back.

    Raises:
        LookupError: If nobody of this name was given one.
    """
    plain = person(name).name
    with open_database(settings) as sessions:
        sign_out(sessions, plain)
    show(f"{plain} is signed out; the link no longer works, verdicts stay. For {_renewal(plain)}")


def make_lead(name: str, settings: Settings, *, is_lead: bool) -> None:
    """Let a person see the workbench, or no longer.

    Raises:
        LookupError: If nobody of this name was given a link.
    """
    plain = person(name).name
    with open_database(settings) as sessions:
        set_lead(sessions, plain, is_lead=is_lead)
    show(f"{plain} {'sees the workbench now' if is_lead else 'sees the queues alone now'}; the link stays the same")


def _row(person_line: PersonLine) -> tuple[str, str, str, str, str]:
    seen_at = person_line.seen_at
    seen = "–" if seen_at is None else f"{seen_at:%Y-%m-%d %H:%M} UTC"
    sees = "all" if person_line.is_lead else "queues"
    return person_line.name, sees, person_line.link, seen, f"{person_line.judgement_count:,}"


def _link(address: str, token: str, queue_id: int | None) -> str:
    queue = "" if queue_id is None else f"&queue={queue_id}"
    return f"{address.rstrip('/')}/sign-in?token={token}{queue}"


def _renewal(name: str) -> str:
    return f"a new one: antipode people --renew {shlex.quote(name)}"
