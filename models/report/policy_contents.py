"""What the page of a policy says: frozen records of plain data. Knows nothing of HTML, pictures or tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from models.alignment.records import MetricPoint
from models.evaluation.gate import Look
from models.evaluation.measurements import Divergences, Drift, RewardSummary
from models.guide import GuideCheck
from models.report.contents import NextStep


@dataclass(frozen=True, slots=True)
class Rate:
    """A share between 0 and 1 with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class EvaluationFigures:
    """One annotator's verdicts on a policy's responses against a baseline's.

    Attributes:
        win: comparisons the policy won; with `tie` and `lose` all that count.
        rate: the policy's win rate as the caller counts ties.
        length_controlled: the win rate with the responses' lengths held equal, None where it was not measured.
        seed: that the responses were sampled with, None where it is not known.
        compared_at: when the comparison was finished.
        look: which look of the gate at the baseline it is, with the gate's own interval of the win rate.
    """

    annotator: str
    baseline: str
    win: int
    tie: int
    lose: int
    rate: Rate
    length_controlled: Rate | None
    prompt_count: int
    seed: int | None
    compared_at: datetime
    look: Look | None


@dataclass(frozen=True, slots=True)
class TextScore:
    """A figure of the policy's responses as texts, such as BLEU."""

    name: str
    policy: float


@dataclass(frozen=True, slots=True)
class Gate:
    """What the gate says of a policy, and why. `next_step`: what would decide where it did not pass, if anything."""

    verdict: Literal["passed", "not passed", "in use"]
    reason: str
    next_step: NextStep | None = None

    @property
    def words(self) -> str:
        """The verdict as one line; the reason of one in use says so itself."""
        return self.reason if self.verdict == "in use" else f"{self.verdict}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Cost:
    """What the training took; `tokens_per_second` counts response tokens."""

    seconds: float
    tokens_per_second: float
    peak_memory_mb: float


@dataclass(frozen=True, slots=True)
class ResponseExample:
    """One prompt answered by both, and the verdict in words, seen from the policy: "win", "tie", "lose"."""

    prompt: str
    baseline: str
    policy: str
    verdict: str


@dataclass(frozen=True, slots=True)
class PolicyContents:
    """Everything the page says. A section whose data are empty or None is left out.

    Attributes:
        round: of curation, labels and alignment; 0 where the policy belongs to none.
        snapshot: name or number of the preferences trained on, None where there are none.
        content_hash: of the snapshot's content, its first 12 digits are shown.
        config: (name, value) in the order to be shown.
        points: metrics along training; values that are not finite are counted, not drawn.
        held_out: what the evaluation measured on held-out prompts, None where none did.
        measured_on: how many prompts are held out to measure it on, in words.
        metrics: name -> last value measured along training; read where there is no evaluation.
        kl: how far the policy lies from the model its run began with, both ways; None where it was not measured.
        drift: context of the embeddings ("response", "prompt_and_response") -> how far they moved.
        guide: what the guide that weighed the training was found to do, None where none was looked at (LD-Align).
        latent_distances: round -> distances of the guide's latents (LD-Align), one a response.
        gate: what the gate says, None where nobody asked it.
    """

    policy_id: int
    name: str
    method: str
    round: int
    base_model: str
    baseline: str | None = None
    snapshot: str | None = None
    content_hash: str | None = None
    config: Sequence[tuple[str, str]] = ()
    points: Sequence[MetricPoint] = ()
    held_out: RewardSummary | None = None
    measured_on: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    evaluations: Sequence[EvaluationFigures] = ()
    text_scores: Sequence[TextScore] = ()
    kl: Divergences | None = None
    drift: Mapping[str, Drift] = field(default_factory=dict)
    guide: GuideCheck | None = None
    latent_distances: Mapping[int, Sequence[float]] = field(default_factory=dict)
    gate: Gate | None = None
    cost: Cost | None = None
    examples: Sequence[ResponseExample] = ()

    @property
    def figures(self) -> dict[str, float]:
        """Name -> value at the end of training; margin, loss and accuracy are means over held-out prompts."""
        if self.held_out is None:
            return dict(self.metrics)
        return {name: value for name, value in self.held_out.as_dict().items() if value is not None}
