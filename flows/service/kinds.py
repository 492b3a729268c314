"""What the workbench can start: each kind's settings, the few that matter most, and where it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from models.records import MAX_ID
from tasks.config.alignment import AlignConfig
from tasks.config.curation import CurateConfig, OrderOfPairs
from tasks.config.evaluation import EvaluationConfig
from tasks.config.exchange import ExportConfig, ImportDataConfig, PairsConfig
from tasks.config.labels import LabelConfig, PeopleConfig
from tasks.config.rounds import LdAlignConfig
from tasks.config.section import Section


class QueueOfPairsConfig(PairsConfig):
    """Which pairs of a run wait for people, and for how many."""

    judgements_per_pair: int = Field(1, ge=1, le=20, description="So many different people judge each pair (1 to 20).")
    order: OrderOfPairs = "shuffled"
    seed: int = Field(0, ge=0, lt=2**53, description="Seed of the order in which pairs come (0 or more).")

    def labelling(self) -> LabelConfig:
        """As the labelling of people is configured."""
        people = PeopleConfig(judgements_per_pair=self.judgements_per_pair, order=self.order)
        return LabelConfig(seed=self.seed, annotator="people", pairs=self.section(), people=people)


class PromotionConfig(Section):
    """Which policy is put into use."""

    policy: int = Field(ge=1, le=MAX_ID, description="The policy's id (1 or more).")
    force: bool = Field(False, description="Even if it does not beat the policy in use by more than the noise.")


class RollbackConfig(Section):
    """The policy in use is taken out of it; the one before is in use again."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Something that can be started.

    `command`: what does it in a terminal; `main`: the settings that are asked for first; `defaults`: where a person who
    begins at the page is better served by another value than the configuration's. `deployment`: who runs it; None: it
    takes a moment, and is done at once.
    """

    title: str
    words: str
    command: str
    config: type[Section]
    main: tuple[str, ...]
    deployment: str | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)


KINDS: Mapping[str, Kind] = {
    "import": Kind(
        "Import prompts",
        "Reads prompts, or prompts with responses, from a file or a data set. The same content again adds nothing.",
        "antipode import FILE",
        ImportDataConfig,
        ("source", "name", "split", "limit"),
        "import/manual",
    ),
    "curate": Kind(
        "Start a run",
        "Samples candidate responses, embeds them, and selects per prompt the pairs that are worth a label.",
        "antipode curate --source.name SOURCE --model.name MODEL",
        CurateConfig,
        ("name", "source.name", "source.limit", "model.name", "generate.responses_per_prompt", "queue.is_opened"),
        "curate/manual",
        {"queue.is_opened": True},
    ),
    "queue": Kind(
        "Open a queue",
        "Puts the pairs of a run before people. The same pairs for as many people are the same queue.",
        "antipode web --run RUN",
        QueueOfPairsConfig,
        ("run", "judgements_per_pair", "limit", "order"),
    ),
    "label": Kind(
        "Label without people",
        "Has a judge, a reward model or the data set's own marks say which response of each pair is better.",
        "antipode label --pairs.run RUN --annotator judge",
        LabelConfig,
        ("pairs.run", "annotator", "judge.base_url", "judge.model", "judge.max_requests"),
        "label/manual",
    ),
    "export": Kind(
        "Export a data set",
        "Stores the preferences as they are now as a data set that never changes, and writes it for a trainer.",
        "antipode export preferences.jsonl --run RUN",
        ExportConfig,
        ("name", "run", "rule", "min_support", "shape"),
        "export/manual",
    ),
    "align": Kind(
        "Train a policy",
        "Fine-tunes a model on the chosen responses, trains it on the preferences, compares it with its start.",
        "antipode align --data.run RUN --model.name MODEL",
        AlignConfig,
        ("name", "data.run", "data.snapshot", "model.name", "train.method", "evaluate.annotator"),
        "align/manual",
    ),
    "ld_align": Kind(
        "Train without labels",
        "In each round the policy's own responses lose against golden ones, weighed by their latent distance.",
        "antipode ld-align --model.name MODEL",
        LdAlignConfig,
        ("name", "preset", "golden", "source.name", "model.name", "rounds.count"),
        "ld-align/manual",
    ),
    "evaluate": Kind(
        "Compare a policy",
        "Samples both models on prompts that neither was trained on, and has somebody compare the responses.",
        "antipode evaluate POLICY --evaluate.annotator judge",
        EvaluationConfig,
        ("policy", "against", "evaluate.annotator", "evaluate.source.name", "evaluate.responses_per_prompt"),
        "evaluate/manual",
    ),
    "promote": Kind(
        "Put a policy into use",
        "The next run may then sample from it: its model is called promoted.",
        "antipode promote POLICY",
        PromotionConfig,
        ("policy", "force"),
    ),
    "rollback": Kind(
        "Take the policy out of use",
        "The one that was in use before is in use again.",
        "antipode rollback",
        RollbackConfig,
        (),
    ),
}


def kind_of(what: str) -> Kind:
    """The kind of this name.

    Raises:
        LookupError: If there is none.
    """
    if what not in KINDS:
        raise LookupError(f"nothing called {what!r} can be started; there are: {', '.join(KINDS)}")
    return KINDS[what]
