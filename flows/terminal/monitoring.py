"""What the command on monitoring prints: the figures that Prometheus is told, and the token that it shows."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from tasks.database import looked_at, open_database
from tasks.labels.people import page_secret
from tasks.settings import Settings
from tasks.terminal import show
from web.monitoring import Metrics, metrics_token


def show_metrics(settings: Settings) -> None:
    """Print the figures as they are now."""
    with looked_at(settings) as looked, open_database(looked) as sessions:
        show(Metrics(sessions, what_is_held()).text().decode().rstrip())


def show_token(settings: Settings) -> None:
    """Print the token alone, for a file that only Prometheus may read."""
    show(metrics_token(page_secret(settings)))


def what_is_held() -> Callable[[], Mapping[str, int]]:
    """What asks the Prefect server, where one is named, which GPUs are held."""
    if "PREFECT_API_URL" not in os.environ:
        return dict
    from tasks.service.held_devices import held_devices

    return held_devices
