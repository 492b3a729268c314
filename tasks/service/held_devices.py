"""Which GPUs are held now, as Prefect's concurrency limits say it."""

from __future__ import annotations

import logging

PREFIX = "gpu-"  # of the limits that workers make: `flows.service.worker`
TIMEOUT_S = 5.0
MOST_LIMITS = 200  # Prefect gives no more in one answer

logger = logging.getLogger(__name__)


def held_devices() -> dict[str, int]:
    """For each limit that guards a GPU, how many stages hold it; empty where the server does not answer."""
    from httpx import HTTPError
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError

    try:
        with get_client(sync_client=True, httpx_settings={"timeout": TIMEOUT_S}) as client:
            limits = client.read_global_concurrency_limits(limit=MOST_LIMITS)
    except (HTTPError, PrefectHTTPStatusError, RuntimeError) as error:
        logger.warning("Prefect did not say which GPUs are held: %s", error)
        return {}
    return {limit.name: limit.active_slots for limit in limits if limit.name.startswith(PREFIX)}
