"""What the commands of labelling print, and the labelling page's server. Decides nothing."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict

from models.exchange.label_files import WrittenPairs
from models.labelling.quality import LabelQuality
from tasks.exchange import ExportResult
from tasks.label_import import LabelImport
from tasks.queries import label_end
from tasks.resources import open_database
from tasks.settings import Settings

LEASE_S = 15 * 60.0
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def show_labels(run_id: int, settings: Settings) -> None:
    """Print how a run that labels ended: what was judged, what it cost, what the preferences are, what to do next."""
    end = label_end(run_id, settings)
    print(f"{end.annotator or 'people'}: {end.judged:,} of {end.pairs:,} pairs of run {end.labelled_run_id} judged")
    if end.verdicts:
        print("  verdicts of this run: " + ", ".join(f"{count:,} {name}" for name, count in end.verdicts.items()))
    if end.requests:
        cost = f", cost {end.cost:,.4f}" if end.cost else ""
        print(f"  {end.requests:,} requests{cost}")
    if end.outcomes:
        print("  preferences by majority: " + ", ".join(f"{count:,} {name}" for name, count in end.outcomes.items()))
    run = f"--run {end.labelled_run_id}"
    next_steps = [f"antipode quality {run}", f"antipode export preferences.jsonl {run}"]
    if end.annotator is None:
        next_steps.insert(0, f"antipode web {run}")
    print("Next: " + "\n      ".join(next_steps))


def serve_page(queue_id: int, people: Sequence[str], host: str, port: int, *, secret: bytes) -> None:
    """Serve the labelling page until Ctrl-C; print everybody's sign-in link first."""
    from web.app import create_app
    from web.server import make_server
    from web.sign_in import sign_in_token

    with open_database(Settings()) as sessions:
        app = create_app(sessions, secret=secret, lease_s=LEASE_S)
        listening = _listen(host, port)
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        print("Labelling page; each link is one person's, who opens it signs in by it:")
        for name in people:
            print(f"  {name}: {address}/sign-in?token={sign_in_token(secret, name)}")
        if host not in LOOPBACK:
            print("The page answers other machines, without encryption: put a TLS proxy before it.", file=sys.stderr)
        print("Ctrl-C stops it; nothing is lost.", flush=True)
        with suppress(KeyboardInterrupt):
            make_server(app, host=host, port=port).run(sockets=[listening])
    print("stopped; labels are stored. Next: antipode quality")


def print_json(quality: LabelQuality) -> None:
    """Print the figures as JSON."""
    print(json.dumps(asdict(quality), ensure_ascii=False, indent=2))


def show_export(result: ExportResult) -> None:
    """Print what was exported and what made no row."""
    print(f"{result.snapshot.row_count:,} preferences in {result.path} (snapshot {result.snapshot.id})")
    print(f"  content hash {result.snapshot.content_hash}")
    undecided = {name: count for name, count in result.outcomes.items() if name not in {"first", "second"}}
    for name, count in (undecided | result.left_out).items():
        print(f"  not in it: {count:,} {name.replace('_', ' ')}")


def show_exported_pairs(written: WrittenPairs, tool: str) -> None:
    """Print what was written for a labelling tool and how labels come back."""
    print(f"{written.pair_count:,} pairs in {written.path}")
    if written.config_path is not None:
        print(f"settings for {tool} in {written.config_path}")
    print(f"Labels come back with: antipode import-labels FILE --format {tool}")


def show_label_import(result: LabelImport) -> None:
    """Print what an import of labels found, and where the rejected rows are."""
    print(f"{result.rows:,} rows read, {result.added:,} labels stored")
    for name, count in result.by_annotator.items():
        print(f"  {name}: {count:,}")
    if result.rejects_path is not None:
        print(f"{result.rejected:,} rows refused, with their reasons in {result.rejects_path}")
    if result.added:
        print("Next: antipode quality")


def _listen(host: str, port: int) -> socket.socket:
    """Take the port before links to it are printed."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise OSError(
            f"cannot listen on {host}, port {port} ({error.strerror}); give another --host or --port"
        ) from error
