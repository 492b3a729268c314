"""Tells Prefect that people's labels are enough to train on. A hint: if it is lost, the sweep finds the labels."""

from __future__ import annotations

import logging
import threading

from tasks.settings import Settings

PAUSE_S = 1.0
CLOSE_S = 15.0  # Prefect's import takes seconds; a server that does not answer is not waited for
PAGE_RESOURCE = "antipode.page"

logger = logging.getLogger(__name__)


class LabelWatch:
    """A thread that checks, soon after labels came, whether a deployment has enough of them, and emits an event.

    `labels_came` returns at once: labels are stored whether Prefect answers or not.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._came = threading.Event()
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="label watch", daemon=True)
        self._thread.start()

    def labels_came(self) -> None:
        """Say that labels were stored or taken back."""
        self._came.set()

    def close(self) -> None:
        """End the thread: a process that ended while it still imports libraries of C++ would be aborted."""
        self._is_closed.set()
        self._came.set()
        self._thread.join(CLOSE_S)

    def _watch(self) -> None:
        _import_prefect()
        while True:
            self._came.wait()
            if self._is_closed.wait(PAUSE_S):  # many labels within it cause one look
                return
            self._came.clear()
            try:
                tell_if_due(self._settings)
            except Exception as error:  # noqa: BLE001 (the page must go on, whatever Prefect or the network does)
                logger.warning("Prefect was not told of the labels, the sweep will find them: %s", error)


def tell_if_due(settings: Settings) -> None:
    """Emit `antipode.preferences.added` if a deployment has enough new labels."""
    from prefect.client.orchestration import get_client
    from prefect.events import emit_event

    from tasks.reports.run_publishing import PREFERENCES_ADDED
    from tasks.service.sweep import due_deployments

    with get_client(sync_client=True) as client:
        due = due_deployments(client, settings, tell=logger.info)
    if due:
        names = [due_deployment.deployment.name for due_deployment in due]
        emit_event(PREFERENCES_ADDED, resource={"prefect.resource.id": PAGE_RESOURCE}, payload={"deployments": names})


def _import_prefect() -> None:
    """Import Prefect, which takes seconds, before the first label comes."""
    import tasks.reports.run_publishing
    import tasks.service.sweep  # noqa: F401
