"""A service of the workbench without Prefect: real forms and settings; what it starts it only remembers."""

from __future__ import annotations

from datetime import UTC, datetime

from flows.service.forms import config_of, form_of
from flows.service.kinds import kind_of
from web.service import Started


class PlantedService:
    """Remembers what was started; `trouble`: what keeps Prefect from answering."""

    def __init__(self):
        self.started, self.configs, self.trouble, self.asked = [], [], "", 0

    def start(self, what, settings):
        config = config_of(kind_of(what), settings)
        if self.trouble:
            raise ConnectionError(self.trouble)
        self.configs.append(config)
        name = f"{what} {getattr(config, 'name', '')}".strip()
        self.started.insert(0, Started(str(len(self.started)), what, name, "Scheduled", datetime.now(UTC)))
        return self.started[0]

    def recent(self):
        self.asked += 1
        if self.trouble:
            raise ConnectionError(self.trouble)
        return tuple(self.started)

    def form(self, what):
        return form_of(what, kind_of(what))
