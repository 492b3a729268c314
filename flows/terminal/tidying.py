"""What goes and what stays when something is forgotten, as the command prints it, and its question."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flows.terminal.estimates import size
from tasks.settings import Settings
from tasks.terminal import show

if TYPE_CHECKING:
    from db.tidying.needs import Kept
    from db.tidying.targets import Kind
    from tasks.tidying.forgetting import Plan

MOST_HOLDERS = 6


def show_dry_run(kind: Kind, name: str, settings: Settings) -> None:
    """Print what would go, what stays and for whom, and what forbids it."""
    from tasks.database import looked_at
    from tasks.tidying.forgetting import plan

    with looked_at(settings) as looked:
        planned = plan(kind, name, looked)
    show(f"Dry run of forget: nothing is changed\n{_plan_words(planned)}")
    needs = planned.forgotten.needs
    for need in needs:
        show(f"  not yet: {need.words}; first: {need.first}")
    if not needs:
        show("Next: the same command without --dry-run")


def forget(kind: Kind, name: str, settings: Settings, *, is_agreed: bool) -> None:
    """Print what goes, ask, forget it; first finish what an earlier command was killed at.

    Raises:
        ValueError: If nobody is there to be asked and `is_agreed` is not set, or they said no.
    """
    from tasks.tidying import forgetting

    finished = forgetting.finish(settings)
    for what in finished:
        show(f"{what} was forgotten before; its last files are gone now")
    try:
        planned = forgetting.plan(kind, name, settings)
    except LookupError:
        if finished:
            return
        raise
    is_another = planned.target.words in finished  # the same command, given again
    if is_another:
        show(f"{planned.target.words} is another one by now: {planned.target.name}")
    forgetting.refuse_needed(planned)
    if is_another and is_agreed:
        raise ValueError(f"{planned.target.words} that is there now is not forgotten; to do it, give the command again")
    if not is_agreed:
        show(_plan_words(planned))
        _ask(planned)
    done = forgetting.forget(kind, name, settings)
    rows = sum(done.forgotten.rows.values())
    show(f"forgotten: {done.target.words}, {rows:,} rows, {_bytes(done)}{_others_words(done)}")
    show_pages(done)
    kept = f"{settings.artifact_root}{', copies on other hosts' if settings.artifact_url else ''}"
    show(f"Not reached: exports and tracking in {kept}, backups, what was pushed (docs/tidying.md)")


def _ask(planned: Plan) -> None:
    if not sys.stdin.isatty():
        raise ValueError(
            f"{planned.target.words} is not forgotten: there is no terminal to ask at; add --yes to do it unasked"
        )
    print(f"Forget {planned.target.words}? It cannot be undone. [y/N] ", end="", flush=True)  # noqa: T201
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise ValueError(f"{planned.target.words} is not forgotten, as you say")


def _plan_words(planned: Plan) -> str:
    """What goes and what stays, a line each."""
    forgotten = planned.forgotten
    counts = {name.replace("_", " "): f"{count:,}" for name, count in forgotten.rows.items()}
    width = max(map(len, counts.values()), default=1)
    lines = [f"with {planned.target.words} ({planned.target.name}) go:"]
    lines += [f"  {count:>{width}} {name}" for name, count in counts.items()]
    vectors = sum(map(len, forgotten.vectors.values()))
    if vectors:
        lines.append(f"  {vectors:,} vectors ({size(planned.vector_bytes)}), and indexes that hold them")
    if planned.file_bytes:
        lines.append(f"  {size(planned.file_bytes)} of reports, policies and the like")
    lines += [f"  stay: {_kept_words(one)}" for one in forgotten.kept]
    if forgotten.verdicts_kept:
        lines.append(f"  stay: {forgotten.verdicts_kept:,} verdicts, which are about texts that stay")
    return "\n".join(lines)


def _kept_words(kept: Kept) -> str:
    by_kind: dict[str, list[int]] = {}
    for kind, id_ in kept.holders:
        by_kind.setdefault(kind, []).append(id_)
    holders = [f"{kind} {_numbers(ids)}" for kind, ids in by_kind.items()]
    return f"{kept.count:,} {kept.table}" + (f", which {', '.join(holders)} needs" if holders else "")


def _numbers(ids: Sequence[int]) -> str:
    more = f" and {len(ids) - MOST_HOLDERS:,} more" if len(ids) > MOST_HOLDERS else ""
    return ", ".join(map(str, ids[:MOST_HOLDERS])) + more


def _bytes(done: Plan) -> str:
    return f"{size(done.vector_bytes + done.file_bytes)} of vectors and files"


def _others_words(done: Plan) -> str:
    stay = sum(one.count for one in done.forgotten.kept)
    return f"; {stay:,} prompts and responses stay, which others need" if stay else ""


def show_pages(done: Plan) -> None:
    """Say how pages come back that showed what is gone."""
    for kind, ids in (("run", done.forgotten.shown_runs), ("policy", done.forgotten.shown_policies)):
        if ids:
            pages = f"The page of {kind} {ids[0]}" if len(ids) == 1 else f"The pages of {kind} {_numbers(ids)}"
            verb, again = ("is", "it") if len(ids) == 1 else ("are", "each")
            id_ = ids[0] if len(ids) == 1 else "ID"
            show(f"{pages} showed some of it and {verb} gone: antipode report --{kind} {id_} writes {again} anew")
