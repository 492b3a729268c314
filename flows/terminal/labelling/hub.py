"""What the commands push and pull print and ask. Decides nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from flows.terminal.labelling.labels import show_test_rows
from tasks.settings import Settings
from tasks.terminal import show

if TYPE_CHECKING:
    from tasks.labels.publishing import Prepared, Pulled

KIB = 1024


def push_snapshot(snapshot: str, repository: str, *, is_public: bool, is_asked: bool) -> None:
    """Say what would go where, ask unless `is_asked` says that it may, and send it.

    Raises:
        ValueError: Nobody can be asked, or whoever was says no.
    """
    from tasks.labels.publishing import prepared, send

    with prepared(snapshot, repository, is_public=is_public, settings=Settings()) as push:
        if not push.standing.changed and not push.standing.surplus:
            show(f"{push.place.address} has this snapshot already (content hash {push.facts.content_hash})")
            return
        _show_what_goes(push, is_public=is_public)
        if not is_asked:
            _ask(push.place.address)
        show(f"sent: {send(push, is_public=is_public)}")
        show(f"  content hash {push.facts.content_hash}")
        show(f"Next: antipode pull {repository} preferences.jsonl --content_hash {push.facts.content_hash}")


def show_pulled(result: Pulled) -> None:
    """Print what was read back and what names it to its trainer."""
    show(f"{result.row_count:,} preferences of {result.name!r} in {result.path}, content hash as it should be")
    for reason, count in result.left_out.items():
        show(f"  not in it: {count:,} {reason}")
    show_test_rows(result.test_count)
    show(f"  content hash {result.content_hash}")
    show(f"For the trainer, also in {result.entry_path}:")
    show(result.entry)


def _show_what_goes(push: Prepared, *, is_public: bool) -> None:
    standing = push.standing
    is_private = standing.is_private if standing.is_there else not is_public
    state = f"{'' if standing.is_there else 'new, '}{'private' if is_private else 'open to everybody'}"
    show(f"{push.facts.row_count:,} preferences of {push.facts.name!r}, prompts and responses in full")
    show(f"  to {push.place.address} ({state})")
    show(f"  {', '.join(standing.changed) or 'no file'}: {push.size / KIB:,.1f} KiB")
    if standing.surplus:
        show(f"  in place of: {', '.join(standing.surplus)}")


def _ask(address: str) -> None:
    if not sys.stdin.isatty():
        raise ValueError("nothing was sent: nobody can be asked here; give --yes to send it")
    show(f"Send it to {address}? [y/N] ", end="", flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise ValueError("nothing was sent")
