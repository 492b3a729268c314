"""The state that Prefect shows of a flow stopped by Ctrl-C, named as the terminal and `antipode runs` name it."""

from __future__ import annotations

from typing import Any

INTERRUPTED = "interrupt signal"  # in Prefect's message of a KeyboardInterrupt


def tell_stopped(flow: Any, flow_run: Any, state: Any) -> None:
    """Set a flow run that crashed by Ctrl-C to `Stopped`; Prefect calls it when a flow has crashed."""
    if INTERRUPTED not in (state.message or ""):
        return
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import State
    from prefect.states import Cancelled

    stopped: State[None] = Cancelled(name="Stopped", message="stopped by Ctrl-C; the same command goes on where it was")
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run.id, stopped, force=True)
