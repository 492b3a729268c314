"""What the workbench has done elsewhere: the page knows no orchestrator, whoever serves it hands this in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


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


class Service(Protocol):
    """Starts what pages have buttons for, and says how it goes."""

    def start(self, what: str, settings: Mapping[str, Any]) -> Started:
        """Start a kind of run or action with these settings, by section, as its command takes them.

        Raises:
            ValueError: If a setting does not fit; one line for a person.
            ConnectionError: If Prefect does not answer.
        """

    def recent(self) -> Sequence[Started]:
        """What was started lately, newest first."""
