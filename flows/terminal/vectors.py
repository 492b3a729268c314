"""What `antipode vectors` prints of one embedder's shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.terminal import show

if TYPE_CHECKING:
    from tasks.curation.vectors import EmbedderCheck

NAMED_RUNS = 20


def show_vectors(check: EmbedderCheck) -> None:
    """Print what is there, each broken shard by its name, and the runs that used one."""
    sound = check.shard_count - len(check.missing) - len(check.damaged)
    show(f"{check.model}, {check.of}, {check.store.place}: {sound:,} of {check.shard_count:,} shards sound")
    if check.index:
        show(f"  index: {check.index}")
    for state, shards in (("missing", check.missing), ("damaged", check.damaged)):
        for shard, count in shards.items():
            show(f"  {state} {shard}: {count:,} {check.of}")
    if check.run_ids:
        more = "" if len(check.run_ids) <= NAMED_RUNS else f" and {len(check.run_ids) - NAMED_RUNS:,} more"
        show(f"  used by run {', '.join(map(str, check.run_ids[:NAMED_RUNS]))}{more}")
