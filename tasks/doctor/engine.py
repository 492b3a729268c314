"""Whether models can be loaded where ANTIPODE_ENGINE says."""

from __future__ import annotations

import os

from models.processes.ray_cluster import NoClusterError, RayMissingError, look, require_ray
from tasks.doctor.machine import Finding
from tasks.settings import Settings

RAY_TIMEOUT_S = 15.0


def engine_place_findings(settings: Settings) -> list[Finding]:
    """The Ray cluster, where models are to be loaded on one."""
    if settings.engine == "local":
        return []
    try:
        require_ray("ANTIPODE_ENGINE=ray")
    except RayMissingError as error:
        return [Finding("Ray", "problem", str(error), "pip install -e '.[ray]', or unset ANTIPODE_ENGINE")]
    if "RAY_ADDRESS" not in os.environ:
        return [Finding("Ray", "ok", "each run starts a cluster of this machine alone; RAY_ADDRESS names another")]
    try:
        return [Finding("Ray", "ok", str(look(RAY_TIMEOUT_S)))]
    except NoClusterError as error:
        token = "the same ~/.ray/auth_token on all of them, and here RAY_AUTH_MODE=token"
        advice = f"ray status, on a host of it; {token}; or correct RAY_ADDRESS"
        return [Finding("Ray", "problem", str(error), advice)]
