"""What the workbench has done elsewhere: the page knows no orchestrator, whoever serves it hands this in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

Value = str | int | float | bool | None
FieldKind = Literal["text", "whole", "number", "switch", "choice", "several"]
# Of what the database knows; other values stay possible.
Suggested = Literal["sources", "runs", "models", "policies", "files"]


@dataclass(frozen=True, slots=True)
class Started:
    """Something that was started from a page. `state`: in Prefect's words; `url`: where its logs are, if anywhere."""

    id: str
    what: str
    name: str
    state: str
    started_at: datetime | None
    message: str = ""
    url: str | None = None


@dataclass(frozen=True, slots=True)
class FormField:
    """A setting as a form asks for it. `name`: with its section, as the command has it: `generate.max_tokens`.

    `several`: a text with commas between. `low` and `high`: bounds that may be reached.
    """

    name: str
    kind: FieldKind
    default: Value
    words: str
    choices: tuple[str, ...] = ()
    suggested: Suggested | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class FormSection:
    """Settings that belong together. `name`: empty for those of no section."""

    name: str
    words: str
    fields: tuple[FormField, ...]


@dataclass(frozen=True, slots=True)
class Form:
    """What is asked before something is started: the settings that matter most, and all others by section.

    `command`: what does the same in a terminal.
    """

    what: str
    title: str
    words: str
    command: str
    main: tuple[FormField, ...]
    sections: tuple[FormSection, ...]

    @property
    def fields(self) -> dict[str, FormField]:
        """Every setting by its name."""
        return {field.name: field for section in self.sections for field in section.fields} | {
            field.name: field for field in self.main
        }


class Service(Protocol):
    """Starts what pages have buttons for, and says how it goes."""

    def start(self, what: str, settings: Mapping[str, Any]) -> Started:
        """Start a kind of run or action with these settings, by section, as its command takes them.

        Raises:
            LookupError: If there is no such kind, or nothing of a name that is given.
            ValueError: If a setting does not fit; one line for a person.
            ConnectionError: If Prefect does not answer.
        """

    def recent(self) -> Sequence[Started]:
        """What was started lately, newest first.

        Raises:
            ConnectionError: If Prefect does not answer.
        """

    def form(self, what: str) -> Form:
        """What is asked before a kind of run or action is started.

        Raises:
            LookupError: If there is no such kind.
        """
