"""People's sign-in links, as the commands print them. A link is a password: it goes to the terminal alone."""

from __future__ import annotations

import getpass
import os
import shlex
from collections.abc import Sequence

from db.engine import Sessions
from flows.terminal.tables import make_console, print_rows
from models.labelling.records import person
from tasks.database import open_database
from tasks.labels.people import page_secret
from tasks.settings import Settings
from tasks.terminal import show
from web.people import TAKEN_BACK, PersonLine, list_people, new_token, set_lead, sign_out, tokens

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


def own_name(option: str) -> str:
    """The name of whoever runs the command.

    Raises:
        ValueError: If the system has none for them; it names the option that takes one.
    """
    try:
        return person(getpass.getuser()).name
    except (KeyError, OSError) as error:
        raise ValueError(f"this system has no name for user {os.getuid()}; give one: {option} NAME") from error


def new_lead(given: str | None, settings: Settings) -> str | None:
    """Who is to lead from now on: whoever is given; else nobody new where somebody leads, else who runs the command.

    Raises:
        ValueError: If nobody is given, nobody leads, and the system has no name for who runs the command.
    """
    if given is not None:
        return person(given).name
    with open_database(settings) as sessions:
        return None if leads(sessions) else own_name("--lead")


def leads(sessions: Sessions) -> list[str]:
    """Who sees the workbench, by name; whose link was taken back does not."""
    return [one.name for one in list_people(sessions) if one.is_lead and one.link != TAKEN_BACK]


def lead_lines(sessions: Sessions, new: str | None, settings: Settings, *, address: str) -> list[str]:
    """The link of a person who sees the workbench from now on; without one, those of all who do already."""
    if new is None:
        return link_lines(sessions, leads(sessions), settings, address=address)
    lines = link_lines(sessions, [new], settings, address=address)
    set_lead(sessions, new, is_lead=True)
    return lines


def people(settings: Settings) -> list[PersonLine]:
    """Everybody who was given a link or has labelled, by name."""
    with open_database(settings) as sessions:
        return list_people(sessions)


def show_people(lines: Sequence[PersonLine]) -> None:
    """Print the people as a table."""
    if not lines:
        show("nobody has labelled, and nobody was given a link\nNext: antipode web --annotators NAME")
        return
    columns = ("name", "may see", "link", "last seen", "verdicts")
    print_rows(make_console(), columns, [*map(_row, lines)], text_columns=4)
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
