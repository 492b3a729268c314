"""Configuration of the flows: frozen sections, one description a field, the one home of every default."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.embedding import Context
from models.exchange.trainers import TrainerFormat, TrainerShape
from models.ingestion import SourceFormat
from models.labelling.judge_prompts import JudgePrompt
from models.labelling.votes import Rule
from models.records import SamplingParameters, content_key
from models.selection import Strategy

MAX_CANDIDATES = 64

GeneratorBackend = Literal["auto", "vllm", "transformers", "openai", "scripted"]
EmbedderBackend = Literal["transformers", "vllm", "hashed"]


FIRST_IN_FORM, LAST_IN_FORM = ("name", "source", "pairs", "annotator", "preset", "golden"), ("seed",)


def _in_order(schema: dict[str, Any]) -> None:
    """The Prefect UI shows a form's fields by their position: what a person sets first, the seed last."""
    rank = {name: at for at, name in enumerate(FIRST_IN_FORM)} | dict.fromkeys(LAST_IN_FORM, 99)
    names = sorted(schema.get("properties", {}), key=lambda name: rank.get(name, 50))
    for position, name in enumerate(names):
        schema["properties"][name]["position"] = position


class Section(BaseModel):
    """A frozen group of settings; an unknown name is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, json_schema_extra=_in_order)


class SourceConfig(Section):
    """Which prompts a run takes."""

    name: str | None = Field(None, description="Name of an imported source. Empty: every prompt in the database.")
    split: str | None = Field(None, description="Only rows of this split, where the source has splits.")
    limit: int | None = Field(None, ge=1, description="At most so many prompts, in the order of import (1 or more).")
    has_references: bool = Field(False, description="Reference responses (of an SFT data set) may be paired too.")


class ModelConfig(Section):
    """The base model: the one that is to be aligned. It embeds, and generates unless other generators are named."""

    name: str = Field(
        "demo",
        min_length=1,
        description="Hub name, local folder, `demo`: the small model made on this machine, `policy:ID`: a trained "
        "policy, or `promoted`: the policy in use.",
    )
    revision: str | None = Field(None, description="Hub revision (branch, tag or commit).")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Number format of weights and computation; `auto`: bfloat16 where this machine's device has "
        "instructions for it, else float32.",
    )


class GenerateConfig(Section):
    """How candidate responses are made."""

    backend: GeneratorBackend = Field(
        "auto", description="Engine. `auto`: vLLM where it is installed, else transformers. `openai`: any such server."
    )
    models: tuple[str, ...] = Field((), description="Generators, each gives its own responses. Empty: the base model.")
    when: Literal["missing", "always", "never"] = Field(
        "missing",
        description="`missing`: for prompts that brought fewer than 2 responses of their own; `always`: for every "
        "prompt, own responses stay candidates; `never`: own responses only.",
    )
    responses_per_prompt: int = Field(8, ge=1, le=MAX_CANDIDATES, description="K, per generator (1 to 64).")
    temperature: float = Field(1.0, ge=0, le=2, description="Sampling temperature (0 to 2).")
    top_p: float = Field(1.0, gt=0, le=1, description="Nucleus sampling: the share of probability kept (0 to 1).")
    max_tokens: int = Field(256, ge=1, description="A response is cut after so many tokens (1 or more).")
    stop: tuple[str, ...] = Field((), description="Texts that end a response; they are not part of it.")
    system_prompt: str | None = Field(None, description="System message before every prompt.")
    extra_tries: int = Field(
        0, ge=0, le=10, description="Times that duplicates among a prompt's responses are drawn anew (0 to 10)."
    )
    prompts_per_shard: int = Field(256, ge=1, description="Prompts generated for between two writes (1 or more).")
    base_url: str | None = Field(None, description="Address of the OpenAI-compatible server, such as .../v1.")
    concurrency: int = Field(16, ge=1, description="Requests under way at once to such a server (1 or more).")
    timeout_s: float = Field(3600, gt=0, description="Seconds a shard (openai: a request) may take.")
    max_model_len: int | None = Field(
        None, ge=1, description="vLLM: longest prompt plus response, in tokens (1 or more)."
    )
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1, description="vLLM: share of the GPU's memory (0 to 1).")

    @model_validator(mode="after")
    def _server_needs_an_address(self) -> Self:
        if (self.backend == "openai") != (self.base_url is not None):
            raise ValueError(
                f"generate.base_url belongs to generate.backend openai, got backend {self.backend!r} and base_url "
                f"{self.base_url!r}; set both or neither"
            )
        return self

    def sampling(self) -> SamplingParameters:
        """The part of the section that decides what a generator samples."""
        return SamplingParameters(self.temperature, self.top_p, self.max_tokens, self.stop, self.system_prompt)


class EmbedConfig(Section):
    """How responses are embedded (REAL eq. 7)."""

    backend: EmbedderBackend = Field(
        "transformers", description="Engine. `hashed`: feature hashing, a dry run without a model."
    )
    model: str | None = Field(None, description="Model that embeds. Empty: the base model, as in the paper.")
    context: Context = Field("response", description="What the model reads: the response alone, or after its prompt.")
    max_tokens: int = Field(512, ge=1, description="A response is cut after so many tokens (1 or more).")
    tokens_per_batch: int = Field(8192, ge=1, description="Tokens in one forward pass, padding included (1 or more).")
    responses_per_shard: int = Field(4096, ge=1, description="Responses embedded between two writes (1 or more).")
    timeout_s: float = Field(3600, gt=0, description="Seconds one shard may take before the engine is given up.")


class SelectConfig(Section):
    """Which pairs are worth a label."""

    scope: Literal["prompt", "source_pairs"] = Field(
        "prompt",
        description="`prompt`: one pair a prompt from its candidates. `source_pairs`: of the pairs the source made, "
        "the least similar (easy), most similar (hard) or a random share.",
    )
    strategies: tuple[Strategy, ...] = Field(
        ("easy", "hard", "centroid", "random"), min_length=1, description="Strategies; each selects its own pairs."
    )
    share: float = Field(0.5, gt=0, le=1, description="source_pairs: the share of pairs each strategy keeps (0 to 1).")

    @model_validator(mode="after")
    def _source_pairs_have_no_centroids(self) -> Self:
        if self.scope == "source_pairs" and "centroid" in self.strategies:
            raise ValueError(
                "select.strategies: centroid needs several candidates a prompt, scope source_pairs has two; "
                "give --select.strategies easy,hard,random"
            )
        return self


class QueueConfig(Section):
    """A queue for the labelling page, opened when the pairs are selected: people find it in the morning."""

    is_opened: bool = Field(False, description="Put the selected pairs into a queue for the labelling page.")
    strategies: tuple[Strategy, ...] = Field((), description="Only pairs of these strategies. Empty: of all.")
    judgements_per_pair: int = Field(1, ge=1, le=20, description="So many different people judge each pair (1 to 20).")

    @model_validator(mode="after")
    def _only_an_open_queue_has_settings(self) -> Self:
        if not self.is_opened and (self.strategies or self.judgements_per_pair != 1):
            raise ValueError("a queue that is not opened has no settings; set queue.is_opened, or leave queue out")
        return self


class SampleConfig(Section):
    """What sampling needs: which model, how, under which seed."""

    seed: int = Field(0, ge=0, lt=2**53, description="Seed of every random choice in the run (0 or more).")
    model: ModelConfig = Field(ModelConfig(), description="The base model.")
    generate: GenerateConfig = Field(GenerateConfig(), description="How responses are made.")


class CurateConfig(SampleConfig):
    """One curation run: prompts → responses → embeddings → selected pairs."""

    name: str = Field(
        "curation", min_length=1, max_length=200, description="Name of the run, for you (1 to 200 characters)."
    )
    source: SourceConfig = Field(SourceConfig(), description="Which prompts.")
    embed: EmbedConfig = Field(EmbedConfig(), description="How responses are embedded.")
    select: SelectConfig = Field(SelectConfig(), description="How pairs are selected.")
    queue: QueueConfig = Field(QueueConfig(), description="Whether people are asked for labels at once.")

    @property
    def key(self) -> str:
        """Content hash: an unfinished run of the same configuration is the same run."""
        return content_key(self.model_dump(mode="json"))

    @property
    def generator_models(self) -> tuple[str, ...]:
        """The models that generate."""
        return self.generate.models or (self.model.name,)

    @model_validator(mode="after")
    def _candidates_can_be_paired(self) -> Self:
        count = self.generate.responses_per_prompt * len(self.generator_models)
        if len(set(self.generator_models)) < len(self.generator_models):
            raise ValueError(f"generate.models: every model once, got {', '.join(self.generator_models)}")
        if self.generate.when != "never" and not 2 <= count <= MAX_CANDIDATES:
            raise ValueError(
                f"selection needs 2 to {MAX_CANDIDATES} responses a prompt, "
                f"{len(self.generator_models)} generator(s) × responses_per_prompt "
                f"{self.generate.responses_per_prompt} give {count}; change --generate.responses_per_prompt"
            )
        return self

    @model_validator(mode="after")
    def _the_queue_holds_what_is_selected(self) -> Self:
        if missing := [name for name in self.queue.strategies if name not in self.select.strategies]:
            raise ValueError(
                f"queue.strategies names {', '.join(missing)}, select.strategies only "
                f"{', '.join(self.select.strategies)}; add it there, or leave it out here"
            )
        return self


class PairsConfig(Section):
    """Which pairs are labelled."""

    run: str = Field("last", description="Id or name of the curation run whose pairs are labelled, or `last`.")
    strategies: tuple[Strategy, ...] = Field((), description="Only pairs of these strategies. Empty: of all.")
    limit: int | None = Field(None, ge=1, description="At most so many pairs, by prompt (1 or more).")


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
    tokens_per_batch: int = Field(8192, ge=1, description="Tokens in one forward pass, padding included (1 or more).")
    tie_margin: float = Field(0.0, ge=0, description="Scores that differ by no more are a tie (0 or more).")
    timeout_s: float = Field(3600, gt=0, description="Seconds a shard may take before the model is given up.")


class JudgeConfig(Section):
    """A language model behind an OpenAI-compatible server, asked in both orders."""

    base_url: str | None = Field(None, description="Address of the server, such as http://localhost:8000/v1.")
    model: str | None = Field(None, description="The judge's name on that server.")
    prompt: JudgePrompt = Field(
        "alpaca_eval", description="`alpaca_eval`: one of the two, as REAL judged; `with_tie`: ties and both bad too."
    )
    has_rationale: bool = Field(False, description="Ask for one sentence of reason before the verdict.")
    is_constrained: bool = Field(False, description="vLLM: let the judge say nothing but a verdict.")
    temperature: float = Field(0.0, ge=0, le=2, description="Sampling temperature (0 to 2).")
    max_tokens: int = Field(256, ge=1, description="A reply is cut after so many tokens (1 or more).")
    seed: int = Field(0, ge=0, description="Seed sent with every request (0 or more).")
    concurrency: int = Field(8, ge=1, description="Requests under way at once (1 or more).")
    requests_per_minute: float | None = Field(None, gt=0, description="At most so many requests a minute.")
    timeout_s: float = Field(120, gt=0, description="Seconds one attempt may take.")
    max_retries: int = Field(5, ge=0, description="Further attempts after a failure that may pass (0 or more).")
    parse_retries: int = Field(2, ge=0, description="Further questions after a reply without a verdict (0 or more).")
    max_requests: int | None = Field(None, ge=1, description="Budget of this run: requests, retries too (1 or more).")
    max_cost: float | None = Field(None, gt=0, description="Budget of this run in the currency of the prices.")
    input_price: float = Field(0.0, ge=0, description="Price of a million prompt tokens (0 or more).")
    output_price: float = Field(0.0, ge=0, description="Price of a million reply tokens (0 or more).")

    @model_validator(mode="after")
    def _a_bare_verdict_has_no_reason(self) -> Self:
        if self.is_constrained and self.has_rationale:
            raise ValueError("a constrained judge says nothing but a verdict; unset is_constrained or has_rationale")
        return self

    @model_validator(mode="after")
    def _a_cost_needs_prices(self) -> Self:
        if self.max_cost is not None and not self.input_price + self.output_price:
            raise ValueError("judge.max_cost needs judge.input_price and judge.output_price, both are 0")
        return self


class PeopleConfig(Section):
    """People at the labelling page."""

    judgements_per_pair: int = Field(1, ge=1, le=20, description="So many different people judge each pair (1 to 20).")


AnnotatorChoice = Literal["gold", "source", "scores", "rubric", "judge", "reward_model", "people"]


class LabelConfig(Section):
    """One labelling run: selected pairs → judgements → preferences."""

    name: str = Field(
        "labels", min_length=1, max_length=200, description="Name of the run, for you (1 to 200 characters)."
    )
    seed: int = Field(0, ge=0, lt=2**53, description="Seed of the sides on which responses are shown (0 or more).")
    pairs: PairsConfig = Field(PairsConfig(), description="Which pairs.")
    annotator: AnnotatorChoice = Field(
        "judge",
        description="Who says which response is better. `gold`: a reference response wins; `source`: what the data set "
        "says; `scores`: its scores; `rubric`: the demo world's truth; `judge`: a language model; `reward_model`: a "
        "classifier; `people`: a queue for the labelling page.",
    )
    scores: ScoresConfig = Field(ScoresConfig(), description="For `scores`.")
    rubric: RubricConfig = Field(RubricConfig(), description="For `rubric`.")
    reward_model: RewardModelConfig = Field(RewardModelConfig(), description="For `reward_model`.")
    judge: JudgeConfig = Field(JudgeConfig(), description="For `judge`.")
    people: PeopleConfig = Field(PeopleConfig(), description="For `people`.")
    pairs_per_shard: int = Field(64, ge=1, description="Pairs labelled between two writes (1 or more).")

    @property
    def key(self) -> str:
        """Content hash: an unfinished run of the same configuration is the same run."""
        return content_key("label", self.model_dump(mode="json"))

    @model_validator(mode="after")
    def _settings_belong_to_the_annotator(self) -> Self:
        for section in ("scores", "rubric", "reward_model", "judge", "people"):
            if section != self.annotator and getattr(self, section) != type(self).model_fields[section].default:
                raise ValueError(
                    f"{section} is set, but the annotator is {self.annotator}; give --annotator {section}, or leave "
                    f"the settings of {section} out"
                )
        return self

    @model_validator(mode="after")
    def _the_annotator_is_reachable(self) -> Self:
        if self.annotator == "judge" and not (self.judge.base_url and self.judge.model):
            raise ValueError(
                f"a judge needs an address and a model, got judge.base_url {self.judge.base_url!r} and judge.model "
                f"{self.judge.model!r}; set both, or take another annotator: --annotator people"
            )
        if self.annotator == "reward_model" and not self.reward_model.name:
            raise ValueError("annotator reward_model needs --reward_model.name: a hub name or a folder")
        return self


class PreferencesConfig(Section):
    """Which preferences."""

    run: str = Field("last", description="Id or name of a curation run, `last`, or `all`: of every run.")
    strategies: tuple[Strategy, ...] = Field((), description="Only pairs of these strategies. Empty: of all.")
    rule: Rule = Field(
        "majority",
        description="What makes a preference of judgements. `majority`: more than half of the votes; `unanimous`: all; "
        "`weighted`: votes weighed by each annotator's accuracy (Dawid and Skene).",
    )
    annotators: tuple[str, ...] = Field((), description="Only votes of these annotators. Empty: of all.")
    min_support: float = Field(0.0, ge=0, le=1, description="Least share of the votes behind a preference (0 to 1).")


class ExportConfig(PreferencesConfig):
    """Which preferences leave, and in what form."""

    name: str = Field("preferences", min_length=1, max_length=200, description="Name of the snapshot, for you.")
    shape: TrainerShape = Field("conversational", description="`conversational`: messages; `standard`: plain texts.")
    format: TrainerFormat | None = Field(
        None, description="File of JSON lines, Parquet file, or folder of `datasets`. Empty: by the file's ending."
    )


class ImportConfig(Section):
    """What to import, and how to read it."""

    name: str | None = Field(
        None, min_length=1, max_length=200, description="Name of the source in the database. Empty: the file's name."
    )
    format: SourceFormat | None = Field(None, description="Shape of the rows. Empty: recognised from the first rows.")
    prompt_column: str | None = Field(None, description="Column that holds the prompt, if it has an unusual name.")
    split: str | None = Field(None, description="Split of a data set, such as train; stored with every row.")
    subset: str | None = Field(None, description="Subset (config) of a hub data set that has several.")
    limit: int | None = Field(None, ge=1, description="Read at most so many rows (1 or more).")
