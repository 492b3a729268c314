"""What a monitoring system asks: whether the site can work, and its figures in Prometheus' format.

The figures are counts and sums by kinds and numbers, no text and no name. Who asks for them has the token that is
derived from the installation's secret: behind a proxy everybody comes from this machine, so that is no proof.
"""

from __future__ import annotations

import hmac
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from threading import Lock
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Header, HTTPException, Request, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from db.engine import Session, Sessions, fault_of
from db.monitoring.figures import Figures, is_current, judgements_after, newest_judgement, read_figures
from web.access import CurrentSite

KEPT_S = 5.0  # several that ask at once cost the database one look

router = APIRouter()


def metrics_token(secret: bytes) -> str:
    """What Prometheus shows to be told the figures; a new secret makes a new one."""
    return hmac.digest(secret, b"antipode metrics", "sha256").hex()


class Metrics(Collector):
    """The figures as Prometheus reads them, kept for a few seconds.

    Labels are counted from the first look on, as counters are from the start of their process: one that is taken back
    would make a count of those stored go down, which Prometheus takes for a start at zero.
    """

    def __init__(self, sessions: Sessions, held_devices: Callable[[], Mapping[str, int]]) -> None:
        """`held_devices`: for each limit that guards a GPU, by how many stages it is held now."""
        self._sessions = sessions
        self._held_devices = held_devices
        self._lock = Lock()
        self._newest_id: int | None = None
        self._labels: Counter[str] = Counter()
        self._text, self._made_at = b"", 0.0
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """The figures in Prometheus' text format."""
        with self._lock:
            if not self._text or time.monotonic() - self._made_at > KEPT_S:
                self._text, self._made_at = generate_latest(self._registry), time.monotonic()
            return self._text

    def describe(self) -> list[Metric]:
        """Nothing is asked of the database before the first look."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read everything in one transaction."""
        with self._sessions() as session:
            figures = read_figures(session)
            self._count_new(session)
        yield from _of_work(figures)
        yield from _of_labels(figures, self._labels)
        yield from _of_policies(figures)
        held = GaugeMetricFamily("antipode_device_held", "Stages that hold a GPU now, by its limit.", labels=["limit"])
        for limit, count in self._held_devices().items():
            held.add_metric([limit], count)
        yield held

    def _count_new(self, session: Session) -> None:
        newest_id = newest_judgement(session)
        if self._newest_id is not None:
            self._labels.update(judgements_after(session, self._newest_id, newest_id))
        self._newest_id = max(newest_id, self._newest_id or 0)


def _of_work(figures: Figures) -> Iterator[Metric]:
    runs = GaugeMetricFamily("antipode_runs", "Runs by kind and status.", labels=["kind", "status"])
    for (kind, status), count in figures.runs.items():
        runs.add_metric([kind, status], count)
    yield runs
    requests = CounterMetricFamily("antipode_requests", "Requests to models behind servers.", labels=["kind"])
    cost = CounterMetricFamily("antipode_cost", "What they cost, in the unit of the prices given.", labels=["kind"])
    seconds = CounterMetricFamily("antipode_device_seconds", "Seconds for which runs held a GPU.", labels=["kind"])
    for kind, spent in figures.spent.items():
        requests.add_metric([kind], spent.requests)
        cost.add_metric([kind], spent.cost)
        seconds.add_metric([kind], spent.device_seconds)
    yield from (requests, cost, seconds)


def _of_labels(figures: Figures, labels: Mapping[str, int]) -> Iterator[Metric]:
    pairs = GaugeMetricFamily("antipode_queue_pairs", "Pairs of a queue.", labels=["queue"])
    waiting = GaugeMetricFamily("antipode_queue_waiting_pairs", "Pairs that wait for a person.", labels=["queue"])
    for id_, depth in figures.queues.items():
        pairs.add_metric([str(id_)], depth.pairs)
        waiting.add_metric([str(id_)], depth.waiting)
    yield from (pairs, waiting)
    stored = GaugeMetricFamily("antipode_judgements", "Judgements that are stored.", labels=["annotator_kind"])
    for kind, count in figures.judgements.items():
        stored.add_metric([kind], count)
    yield stored
    came = CounterMetricFamily(
        "antipode_labels", "Judgements that came since the page was first asked for this.", labels=["annotator_kind"]
    )
    for kind in figures.judgements.keys() | labels.keys():
        came.add_metric([kind], labels.get(kind, 0))
    yield came


def _of_policies(figures: Figures) -> Iterator[Metric]:
    policies = GaugeMetricFamily("antipode_policies", "Policies by status.", labels=["status"])
    for status, count in figures.policies.items():
        policies.add_metric([status], count)
    yield policies
    in_use = GaugeMetricFamily("antipode_policy_in_use", "1 for the policy in use.", labels=["policy_id"])
    if figures.policy_in_use is not None:
        in_use.add_metric([str(figures.policy_in_use)], 1)
    yield in_use


async def get_metrics(request: Request) -> Metrics:
    """The application's figures."""
    return cast(Metrics, request.app.state.metrics)


@router.get("/metrics")
def show_metrics(
    site: CurrentSite, metrics: Annotated[Metrics, Depends(get_metrics)], authorization: Annotated[str, Header()] = ""
) -> Response:
    """Tell the figures to who has the token."""
    scheme, _, token = authorization.partition(" ")
    expected = metrics_token(site.secret)
    is_known = hmac.compare_digest(token.strip().encode("utf-8", "surrogatepass"), expected.encode())
    if scheme.lower() != "bearer" or not is_known:
        detail = "the figures need a token: antipode metrics --token prints it"
        raise HTTPException(401, detail, {"WWW-Authenticate": "Bearer"})
    return Response(metrics.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)


@router.get("/ready")
def show_readiness(site: CurrentSite) -> dict[str, str]:
    """Say that the site can work: its database answers, at the schema that this version knows."""
    try:
        with site.sessions() as session:
            is_ready = is_current(session)
    except Exception as error:
        if fault_of(error) is None:
            raise
        raise HTTPException(503, "the database does not answer") from error
    if not is_ready:
        raise HTTPException(
            503, "the database has the schema of another version; start this page anew in that version, or upgrade"
        )
    return {"status": "ready"}
