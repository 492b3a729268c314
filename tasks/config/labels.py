"""Configuration of labelling: which pairs, and who judges them."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from models.judging.prompts import JudgePrompt
from tasks.config.curation import OrderOfPairs, Overlap, Temperature, TokensPerBatch, overlap_in_vain
from tasks.config.exchange import PairsConfig
from tasks.config.section import Added, Consent, Name, Pace, RunConfig, Section, ServerAddress
from tasks.config.servers import AskedServer


class SourceLabelsConfig(Section):
    """What the data set says of its pairs."""

    criterion: str = Field(
        "",
        description="By what its pairs are compared, where it has several: better, safer. Empty: its one preference.",
    )


class ScoresConfig(Section):
    """Data set scores as labels."""

    min_ratio: float = Field(
        1.5, ge=1, description="The better score must be so many times the other; below it is a tie (1 or more)."
    )


class RubricConfig(Section):
    """The demo world's ground truth, seen through noise."""

    temperature: float = Field(1.0, ge=0, description="Noise of the choice (Bradley-Terry): 0 is none, or more.")
    seed: int = Field(0, ge=0, description="Another seed is another annotator (0 or more).")


class RewardModelConfig(Section):
    """A reward model: a sequence classifier with one score."""

    name: str | None = Field(None, description="Hub name or local folder of the classifier.")
    revision: str | None = Field(None, description="Hub revision (branch, tag or commit).")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Number format of weights and computation, as for model.dtype."
    )
    max_tokens: int = Field(2048, ge=1, description="Prompt and response of more tokens are skipped (1 or more).")
    tokens_per_batch: TokensPerBatch = 8192
    tie_margin: float = Field(0.0, ge=0, description="Scores that differ by no more are a tie (0 or more).")
    timeout_s: Pace[float] = Field(3600, gt=0, description="Seconds a shard may take before the model is given up.")


class JudgeConfig(AskedServer):
    """A language model behind an OpenAI-compatible server, asked in both orders."""

    base_url: ServerAddress | None = Field(None, description="Address of the server, such as http://localhost:8000/v1.")
    model: str | None = Field(None, description="The judge's name on that server.")
    prompt: JudgePrompt = Field(
        "alpaca_eval", description="`alpaca_eval`: one of the two, as REAL judged; `with_tie`: ties and both bad too."
    )
    has_rationale: bool = Field(False, description="Ask for one sentence of reason before the verdict.")
    is_constrained: bool = Field(False, description="vLLM: let the judge say nothing but a verdict.")
    temperature: Temperature = 0.0
    max_tokens: int = Field(256, ge=1, description="A reply is cut after so many tokens (1 or more).")
    seed: int = Field(0, ge=0, description="Seed sent with every request (0 or more).")
    concurrency: Pace[int] = Field(8, ge=1, description="Requests under way at once (1 or more).")
    requests_per_minute: Pace[float | None] = Field(None, gt=0, description="At most so many requests a minute.")
    timeout_s: Pace[float] = Field(120, gt=0, description="Seconds one attempt may take.")
    max_retries: Pace[int] = Field(5, ge=0, description="Further attempts after a failure that may pass (0 or more).")
    parse_retries: int = Field(2, ge=0, description="Further questions after a reply without a verdict (0 or more).")
    max_requests: int | None = Field(None, ge=1, description="Budget of this run: requests, retries too (1 or more).")
    max_cost: float | None = Field(None, gt=0, description="Budget of this run in the currency of the prices.")
    input_price: float = Field(0.0, ge=0, description="Price of a million prompt tokens (0: the price table's).")
    output_price: float = Field(0.0, ge=0, description="Price of a million reply tokens (0: the price table's).")

    def own_fields(self) -> dict[str, str]:
        """See `AskedServer`."""
        return {"structured_outputs": "is_constrained"} if self.is_constrained else {}

    @model_validator(mode="after")
    def _a_bare_verdict_has_no_reason(self) -> Self:
        if self.is_constrained and self.has_rationale:
            raise ValueError("a constrained judge says nothing but a verdict; unset is_constrained or has_rationale")
        return self


class PeopleConfig(Section):
    """People at the labelling page."""

    judgements_per_pair: int = Field(1, ge=1, le=20, description="So many different people judge each pair (1 to 20).")
    overlap: Overlap = 1.0
    order: OrderOfPairs = "shuffled"

    def in_vain(self) -> str:
        """See `Section`."""
        return overlap_in_vain(self.overlap, self.judgements_per_pair)


CheapAnnotator = Literal["gold", "source", "scores", "rubric", "judge", "reward_model"]
AnnotatorChoice = Literal[CheapAnnotator, "people", "routed"]
# What makes a judge say a verdict that can be read.
TO_BE_READ = "raise --judge.max_tokens, take another --judge.prompt or model, or for vLLM --judge.is_constrained"
OF_MACHINES = ("source", "scores", "rubric", "reward_model", "judge")  # the sections of annotators that need no people


class RoutedConfig(Section):
    """Pairs whose winner is expected go to a cheap annotator, the rest to people."""

    cheap: CheapAnnotator = Field(
        "judge", description="Who labels the pairs whose winner is expected; see its section."
    )
    min_probability: float = Field(
        0.9,
        ge=0.5,
        lt=1,
        description="A pair goes there if the labels so far are so sure of its winner (0.5, every pair, to below 1).",
    )


class AnnotatorsConfig(RunConfig):
    """Which pairs, and every annotator that needs no people."""

    seed: int = Field(0, ge=0, lt=2**53, description="Seed of the sides on which responses are shown (0 or more).")
    pairs: PairsConfig = Field(PairsConfig(), description="Which pairs.")
    source: Added[SourceLabelsConfig] = Field(SourceLabelsConfig(), description="For `source`.")
    scores: ScoresConfig = Field(ScoresConfig(), description="For `scores`.")
    rubric: RubricConfig = Field(RubricConfig(), description="For `rubric`.")
    reward_model: RewardModelConfig = Field(RewardModelConfig(), description="For `reward_model`.")
    judge: JudgeConfig = Field(JudgeConfig(), description="For `judge`.")
    pairs_per_shard: Pace[int] = Field(64, ge=1, description="Pairs labelled between two writes (1 or more).")

    def check_reachable(self, machine: CheapAnnotator | None, other: str) -> None:
        """Refuse an annotator that cannot be asked.

        Args:
            machine: who is asked; None for people.
            other: what may be given instead of a judge.

        Raises:
            ValueError: If a judge has no address or no model, a reward model no name.
        """
        if machine == "judge" and not (self.judge.base_url and self.judge.model):
            raise ValueError(
                f"a judge needs an address and a model, got judge.base_url {self.judge.base_url!r} and judge.model "
                f"{self.judge.model!r}; set both, or take another annotator: {other}"
            )
        if machine == "reward_model" and not self.reward_model.name:
            raise ValueError("annotator reward_model needs --reward_model.name: a hub name or a folder")

    def unread(self, sections: Collection[str], annotator: str) -> str:
        """That one of these sections is set, though nobody reads it; empty where none is."""
        for section in sections:
            if getattr(self, section) != type(self).model_fields[section].default:
                return (
                    f"{section} is set, but the annotator is {annotator}; give --annotator {section}, or leave "
                    f"the settings of {section} out"
                )
        return ""


class LabelConfig(AnnotatorsConfig):
    """One labelling run: selected pairs → judgements → preferences."""

    name: Name = Field("labels", description="Name of the run, for you (1 to 200 characters).")
    annotator: AnnotatorChoice = Field(
        "judge",
        description="Who says which response is better. `gold`: a reference response wins; `source`: what the data set "
        "says; `scores`: its scores; `rubric`: the demo world's truth; `judge`: a language model; `reward_model`: a "
        "classifier; `people`: a queue for the labelling page; `routed`: a cheap one of these where the labels so far "
        "are sure, people elsewhere.",
    )
    min_agreement: Consent[float | None] = Field(
        None,
        ge=0,
        le=1,
        description="Label only if the annotator's newest calibration (antipode calibrate) agrees with the trusted one "
        "at least so: the lower end of its interval (0 to 1). Empty: whether it was calibrated or not.",
    )
    people: PeopleConfig = Field(PeopleConfig(), description="For `people`, and those of `routed`.")
    routed: Added[RoutedConfig] = Field(RoutedConfig(), description="For `routed`.")
    key_prefix: ClassVar = ("label",)

    @property
    def machine(self) -> CheapAnnotator | None:
        """The annotator that labels without people: the one that is set, or the cheap one of `routed`."""
        if self.annotator == "routed":
            return self.routed.cheap
        return None if self.annotator == "people" else self.annotator

    def of_machine(self) -> LabelConfig:
        """The same with the machine alone as the annotator. Only of a configuration that has one."""
        assert self.machine is not None
        changes = {"annotator": self.machine, "people": PeopleConfig(), "routed": RoutedConfig()}
        return self.model_copy(update=changes)

    def in_vain(self) -> str:
        """See `Section`."""
        if self.annotator == "people" and self.min_agreement is not None:
            return "min_agreement is for annotators that can be calibrated, not for people; leave it out"
        return self.unread(self.unread_names(), self.annotator)

    def unread_names(self) -> list[str]:
        """See `Section`."""
        used = {self.annotator} | ({self.routed.cheap, "people"} if self.annotator == "routed" else set())
        sections = [name for name in (*OF_MACHINES, "people", "routed") if name not in used]
        return [*sections, "min_agreement"] if self.annotator == "people" else sections

    @model_validator(mode="after")
    def _the_annotator_is_reachable(self) -> Self:
        is_routed = self.annotator == "routed"
        other = "--routed.cheap scores, rubric or another" if is_routed else "--annotator people"
        self.check_reachable(self.machine, other)
        return self


class CalibrateConfig(AnnotatorsConfig):
    """How far an annotator agrees with a trusted one, on the pairs that the trusted one has judged."""

    name: Name = Field("calibration", description="Name of the run, for you (1 to 200 characters).")
    annotator: CheapAnnotator = Field(
        "judge",
        description="Who is compared: `judge` (a language model), `reward_model`, `rubric`, `scores`, `source` or "
        "`gold`, as for antipode label.",
    )
    against: str = Field("people", min_length=1, description="Who is trusted: a person's name, or `people`: all.")
    min_agreement: Consent[float | None] = Field(
        None,
        gt=0,
        lt=1,
        description="The bar that it is to clear: what antipode label --min_agreement will ask for (0 to 1).",
    )
    key_prefix: ClassVar = ("calibrate",)

    def labelling(self) -> LabelConfig:
        """What asks the annotator."""
        shared = {name: getattr(self, name) for name in AnnotatorsConfig.model_fields}
        return LabelConfig(annotator=self.annotator, **shared)

    def in_vain(self) -> str:
        """See `Section`."""
        return self.unread([name for name in OF_MACHINES if name != self.annotator], self.annotator)

    @model_validator(mode="after")
    def _the_annotator_is_reachable(self) -> Self:
        self.check_reachable(self.annotator, "--annotator scores, rubric or another")
        return self
