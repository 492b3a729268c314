"""What the commands of labelling print, and the labelling page's server. Decides nothing."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from flows.terminal.tables import rejected_line
from models.records import shortened
from tasks.config.labels import TO_BE_READ
from tasks.settings import Settings
from tasks.terminal import printable, show

if TYPE_CHECKING:
    from models.exchange.label_files import WrittenPairs
    from tasks.labels.exchange import ExportResult
    from tasks.labels.label_import import LabelImport
    from web.service import Service

QUEUES = "antipode web --every_queue"
LEASE_S = 15 * 60.0
WIDTH_OF_A_REPLY = 80
EVERY_ADDRESS = ("0.0.0.0", "::")
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def show_labels(run_id: int, settings: Settings) -> None:
    """Print how a run that labels ended: what was judged, what it cost, what the preferences are, what to do next."""
    from tasks.reports.run_ends import label_end

    end = label_end(run_id, settings)
    run = f"--run {end.labelled_run_id}"
    if end.annotator is None and end.waiting:
        show(f"{end.waiting:,} different pairs of run {end.labelled_run_id} wait for people\nNext: {QUEUES}")
        return
    if end.annotator is None:
        show(f"{end.pairs:,} different pairs of run {end.labelled_run_id} wait for people\nNext: antipode web {run}")
        return
    show(f"{end.annotator}: {end.judged:,} of {end.pairs:,} different pairs of run {end.labelled_run_id} judged")
    show(f"  new verdicts: {_counts(end.verdicts)}")
    if end.requests:
        show(f"  {end.requests:,} requests" + (f", cost {end.cost:,.4f}" if end.cost else ""))
    if end.unparsed_reply is not None:
        show(f"  {unparsed_line(end.unparsed, end.unparsed_reply)}")
    if end.waiting:
        show(f"  {end.waiting:,} other pairs wait for people: {QUEUES}")
    show(f"  preferences by majority of all annotators: {_counts(end.outcomes)}")
    if end.arms:
        show(f"  {end.arms}")
    if end.outcomes:
        show(f"Next: antipode quality {run}\n      antipode head {run}\n      antipode export preferences.jsonl {run}")
    else:
        show(f"Next: another annotator, such as you: antipode web --run {end.labelled_run_id}")


def unparsed_line(count: int, reply: str) -> str:
    """What to say of replies in which no verdict was found, with one of them."""
    return f"{count:,} without a verdict, such as {shortened(reply, WIDTH_OF_A_REPLY)!r}: no votes; {TO_BE_READ}"


def serve_page(
    queue_id: int | None,
    people: Sequence[str],
    lead: str | None,
    host: str,
    port: int,
    *,
    next_step: str,
    proxies: Sequence[str] = (),
) -> None:
    """Serve the labelling page until Ctrl-C; print everybody's sign-in link first, to one queue or to all of them.

    `lead` sees the workbench from now on; None: who does already. At the end `next_step` is printed. A Prefect server
    that is named gets an event when labels are enough to train on.
    """
    from flows.terminal.labelling.people import lead_lines, link_lines
    from flows.terminal.monitoring import what_is_held
    from tasks.database import open_database
    from tasks.labels.people import page_secret
    from web.app import create_app
    from web.documents import built_documents
    from web.server import make_server

    with open_database(Settings(), keeps_connections=True) as sessions, _watched() as on_labels:
        app = create_app(
            sessions,
            secret=page_secret(Settings()),
            lease_s=LEASE_S,
            on_labels=on_labels,
            service=_desk(),
            artifacts=Settings().artifact_root,
            logs=logs_address(),
            held_devices=what_is_held(),
            link_days=Settings().sign_in_days,
            page_url=Settings().page_url,
            documents=built_documents(),
        )
        listening = _listen(host, port)
        address = Settings().page_url or _address(host, port)
        show("Labelling page; each link is one person's, who opens it signs in by it:")
        for line in link_lines(sessions, people, Settings(), address=address, queue_id=queue_id):
            show(f"  {line}")
        show("The workbench, for whoever leads:")
        for line in lead_lines(sessions, lead, Settings(), address=address):
            show(f"  {line}")
        if host not in LOOPBACK:
            show("The page answers other machines, without encryption: put a TLS proxy before it.", file=sys.stderr)
        show("Ctrl-C stops it; nothing is lost.", flush=True)
        with suppress(KeyboardInterrupt):
            make_server(app, host=host, port=port, proxies=proxies).run(sockets=[listening])
    show(f"stopped; labels are stored. Next: {next_step}")


def show_export(result: ExportResult) -> None:
    """Print what was exported, what made no row, and what names the file to its trainer."""
    snapshot = result.snapshot
    if snapshot is not None:
        sides = f" as {2 * result.row_count:,} single responses" if result.record_count != result.row_count else ""
        show(f"{result.row_count:,} of {result.pair_count:,} pairs in {result.path}{sides} (snapshot {snapshot.id})")
    if result.feedback_count:
        show(f"{result.feedback_count:,} single responses with a yes or no in {result.path}")
    for reason, count in result.left_out.items():
        show(f"  not in it: {count:,} {reason}")
    show_test_rows(result.test_count)
    if snapshot is not None:
        show(f"  content hash {snapshot.content_hash}")
    show(f"For the trainer, also in {result.entry_path}:")
    show(result.entry)
    if snapshot is not None:
        name = shlex.quote(snapshot.name)
        show(f"Next: antipode align --data.snapshot {snapshot.id} --model.name MODEL (or train elsewhere, as above)")
        show(f"      antipode push {name} --repository OWNER/NAME")
    else:
        show("Next: train on it, as above")


def show_test_rows(count: int) -> None:
    """Say how many rows of a file a trainer may only measure on."""
    if count:
        show(f"  of a test split: {count:,}; measure on them, train on none (column `split`)")


def show_exported_pairs(written: WrittenPairs, tool: str) -> None:
    """Print what was written for a labelling tool and how labels come back."""
    show(f"{written.pair_count:,} pairs in {written.path}")
    if written.config_path is not None:
        show(f"settings for {tool} in {written.config_path}")
    show(f"Labels come back with: antipode import-labels FILE --format {tool}")


def show_label_import(result: LabelImport) -> None:
    """Print how many labels were imported, why rows were refused, and where those are."""
    if result.part is not None:
        show(f"read of it: {printable(result.part)}")
    if not result.rows:
        show("no label in the file: every verdict is empty, or it is another tool's file (--format)")
        return
    corrected = f", {result.corrected:,} corrected" if result.corrected else ""
    show(f"{result.rows:,} rows read, {result.added:,} labels stored{corrected}")
    if result.unchanged:
        show(f"  {result.unchanged:,} say what is stored already")
    if result.outdated:
        show(f"  {result.outdated:,} are older than the same person's stored verdict, which stays")
    if result.unselected:
        show(f"  {result.unselected:,} are pairs of rankings that no run has selected")
    for name, count in result.by_annotator.items():
        show(f"  {name}: {count:,}")
    for reason, count in result.reasons.items():
        show(f"  refused, {count:,} like: {reason}")
    if result.rejects_path is not None:
        show(rejected_line("refused", result.rejected, result.rejects_kept, result.rejects_path))
    if result.run_id is not None:
        show(f"Next: antipode quality --run {result.run_id}")


def _counts(counts: Mapping[str, int]) -> str:
    """Counts in words; `first` and `second` count together as decided, since the stored order means nothing."""
    decided = counts.get("first", 0) + counts.get("second", 0)
    undecided = {name.replace("_", " "): count for name, count in counts.items() if name not in {"first", "second"}}
    verdicts = {"decided": decided} | undecided if decided else undecided
    return ", ".join(f"{count:,} {name}" for name, count in verdicts.items()) or "none"


@contextmanager
def _watched() -> Iterator[Callable[[], None]]:
    """What is called when labels came: it has Prefect told, where a server of it is named."""
    if "PREFECT_API_URL" not in os.environ:
        yield lambda: None
        return
    from tasks.service.label_events import LabelWatch

    watch = LabelWatch(Settings())
    try:
        yield watch.labels_came
    finally:
        watch.close()


def logs_address() -> str | None:
    """Where Prefect shows a flow run, whose id follows; None where no server of it is named."""
    page = os.environ.get("PREFECT_UI_URL") or os.environ.get("PREFECT_API_URL", "").rstrip("/").removesuffix("/api")
    return f"{page.rstrip('/')}/runs/flow-run/" if page else None


def _desk() -> Service | None:
    """What starts runs from the page, where a Prefect server is named."""
    if "PREFECT_API_URL" not in os.environ:
        return None
    from flows.service.desk import Desk

    return Desk(Settings())


def _address(host: str, port: int) -> str:
    name = socket.getfqdn() if host in EVERY_ADDRESS else host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}"


def _listen(host: str, port: int) -> socket.socket:
    """Take the port before links to it are printed."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise OSError(
            f"cannot listen on {host}, port {port} ({error.strerror}); give another --host or --port"
        ) from error
