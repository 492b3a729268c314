"""Configuration of a curation: frozen sections, one description a field, the one home of every default."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, model_validator

from models.embedding import Context
from models.labelling.queue_orders import QueueOrder
from models.records import MAX_CANDIDATES, MAX_PAIRS, UNSTORABLE, SamplingParameters
from tasks.config.contamination import ContaminationConfig
from tasks.config.guard import GuardConfig
from tasks.config.index import IndexConfig
from tasks.config.section import Added, Name, Pace, RunConfig, Section, ServerAddress, StrategyName
from tasks.config.servers import AskedServer

OF_SEVERAL = frozenset({"centroid", "closest_lengths_easy", "max_min_lcb"})  # shipped strategies that two cannot feed
MIN_OWN_RESPONSES = 2  # a prompt that brought so many needs no sampling
DEMO_SOURCE = "demo"
# What the call that applies a chat template takes beside the template's own variables.
NOT_OF_THE_TEMPLATE = frozenset({
    "conversation", "chat_template", "add_generation_prompt", "continue_final_message", "tokenize", "padding",
    "truncation", "max_length", "return_tensors", "return_dict", "return_assistant_tokens_mask", "tokenizer_kwargs",
})  # fmt: skip


def _that_are_storable(arguments: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
    if reserved := sorted(NOT_OF_THE_TEMPLATE & set(arguments or {})):
        raise ValueError(f"expected what a chat template asks for, got {', '.join(reserved)}; leave it out")
    if any(map(UNSTORABLE.search, _texts_in(arguments))):
        raise ValueError("expected template arguments without NUL and bytes that are not UTF-8")
    return arguments


def _texts_in(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    for part in parts:
        yield from _texts_in(part)


GeneratorBackend = Literal["auto", "vllm", "transformers", "openai", "scripted"]
EmbedderBackend = Literal["transformers", "vllm", "hashed"]
Temperature = Annotated[float, Field(ge=0, le=2, description="Sampling temperature (0 to 2).")]
TopP = Annotated[float, Field(gt=0, le=1, description="Nucleus sampling: the share of probability kept (0 to 1).")]
MaxTokens = Annotated[int, Field(ge=1, description="A response is cut after so many tokens (1 or more).")]
MaxModelLen = Annotated[
    int | None, Field(ge=1, description="vLLM: longest prompt plus response, in tokens (1 or more).")
]
Overlap = Added[
    Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="judgements_per_pair people judge this share of the pairs, drawn by the seed, and one person "
            "each of the others (above 0 and up to 1).",
        ),
    ]
]
OrderOfPairs = Added[
    Annotated[
        QueueOrder,
        Field(
            description="Which pairs come first, by what the labels so far let expect: `uncertain` (either response "
            "may win), `easiest` (the winner is clear). `shuffled`: none. It is settled when the queue is opened."
        ),
    ]
]
TemplateArguments = Annotated[dict[str, JsonValue] | None, AfterValidator(_that_are_storable)]
StrategyFile = Annotated[str, Field(min_length=1, max_length=4_000)]
TokensPerBatch = Pace[
    Annotated[int, Field(ge=1, description="Tokens in one forward pass, padding included, at most (1 or more).")]
]


class SourceConfig(Section):
    """Which prompts a run takes."""

    name: str | None = Field(None, description="Name of an imported source. Empty: every prompt in the database.")
    split: str | None = Field(None, description="Only rows of this split, where the source has splits.")
    limit: int | None = Field(None, ge=1, description="At most so many prompts, in the order of import (1 or more).")
    has_references: bool = Field(False, description="Reference responses (of an SFT data set) may be paired too.")


class ModelConfig(Section):
    """The base model: the one that is to be aligned. It embeds, and generates unless other generators are named."""

    name: str = Field(
        "",
        description="Hub name, local folder, `policy:ID`: a trained policy, `promoted`: the policy in use, or `demo`: "
        "the small model that Antipode brings, which is also what answers the demo's own prompts. Empty: none.",
    )
    revision: str | None = Field(None, description="Hub revision (branch, tag or commit).")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Number format of weights and computation; `auto`: bfloat16 where this machine's device has "
        "instructions for it, else float32.",
    )


class GenerateConfig(AskedServer):
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
    responses_per_prompt: int = Field(
        8, ge=1, le=MAX_CANDIDATES, description=f"K, per generator (1 to {MAX_CANDIDATES})."
    )
    temperature: Temperature = 1.0
    top_p: TopP = 1.0
    max_tokens: MaxTokens = 256
    stop: tuple[str, ...] = Field((), description="Texts that end a response; they are not part of it.")
    system_prompt: str | None = Field(
        None,
        description="System message before every prompt that is sampled for and brings none; it is part of the prompt "
        "from then on. Responses that a prompt brought were not written under it, and are no candidates beside it.",
    )
    template_arguments: Added[TemplateArguments] = Field(
        None,
        description='What the chat template is given beside the dialogue, as JSON: {"enable_thinking": false}. '
        "`openai`: sent as chat_template_kwargs, which vLLM reads.",
    )
    extra_tries: int = Field(
        0, ge=0, le=10, description="Times that duplicates among a prompt's responses are drawn anew (0 to 10)."
    )
    prompts_per_shard: Pace[int] = Field(256, ge=1, description="Prompts generated for between two writes (1 or more).")
    base_url: ServerAddress | None = Field(None, description="Address of the OpenAI-compatible server, such as .../v1.")
    concurrency: Pace[int] = Field(16, ge=1, description="Requests under way at once to such a server (1 or more).")
    timeout_s: Pace[float] = Field(3600, gt=0, description="Seconds a shard (openai: a request) may take.")
    max_requests: int | None = Field(
        None, ge=1, description="openai: budget of this run in requests, retries too (1 or more)."
    )
    max_cost: float | None = Field(None, gt=0, description="openai: budget of this run in the currency of the prices.")
    input_price: float = Field(0.0, ge=0, description="openai: price of a million prompt tokens (0: price table).")
    output_price: float = Field(0.0, ge=0, description="openai: price of a million response tokens (0: price table).")
    max_model_len: MaxModelLen = None
    gpu_memory_utilization: Pace[float] = Field(
        0.9, gt=0, le=1, description="vLLM: share of the GPU's memory (0 to 1)."
    )
    tensor_parallel_size: Pace[Added[int]] = Field(1, ge=1, description="vLLM: GPUs of a model (1 or more).")

    @model_validator(mode="after")
    def _server_needs_an_address(self) -> Self:
        if (self.backend == "openai") != (self.base_url is not None):
            raise ValueError(
                f"generate.base_url belongs to generate.backend openai, got backend {self.backend!r} and base_url "
                f"{self.base_url!r}; set both or neither"
            )
        return self

    def in_vain(self) -> str:
        """See `Section`."""
        for name in ("max_requests", "max_cost", "input_price", "output_price", *AskedServer.model_fields):
            if self.backend != "openai" and getattr(self, name) != type(self).model_fields[name].default:
                return f"generate.{name} is for generate.backend openai, got backend {self.backend!r}; leave it out"
        if self.tensor_parallel_size > 1 and self.backend in {"scripted", "transformers"}:
            return f"generate.tensor_parallel_size is for vLLM, got generate.backend {self.backend!r}; leave it out"
        return ""

    def own_fields(self) -> dict[str, str]:
        """See `AskedServer`."""
        template = {"chat_template_kwargs": "template_arguments"} if self.template_arguments else {}
        return {"top_p": "top_p", "stop": "stop"} | template

    def sampling(self) -> SamplingParameters:
        """The part of the section that decides what a generator samples."""
        return SamplingParameters(
            self.temperature,
            self.top_p,
            self.max_tokens,
            self.stop,
            self.system_prompt,
            self.form.identity,
            self.template_arguments or None,
        )


class AnswersConfig(Section):
    """How a policy's answers are sampled, where they are looked at."""

    backend: GeneratorBackend = Field("auto", description="Engine, as for generate.backend.")
    temperature: Temperature = 1.0
    max_tokens: MaxTokens = 256
    max_model_len: MaxModelLen = None

    def generate(self) -> GenerateConfig:
        """The section as a run's that samples for every prompt."""
        shared = GenerateConfig.model_fields.keys() & type(self).model_fields.keys()
        fields: dict[str, Any] = {"responses_per_prompt": 1} | {name: getattr(self, name) for name in shared}
        return GenerateConfig(when="always", **fields)


class EmbedConfig(Section):
    """How responses are embedded (REAL eq. 7)."""

    backend: EmbedderBackend = Field(
        "transformers", description="Engine. `hashed`: feature hashing, a dry run without a model."
    )
    model: str | None = Field(None, description="Model that embeds. Empty: the base model, as in the paper.")
    context: Context = Field(
        "response",
        description="What the model reads: the response alone, after the token that begins a text (BOS, or the chat "
        "template's first), or after its prompt.",
    )
    has_thoughts: Added[bool] = Field(
        False, description="What a reasoning model thought is embedded too, before its answer; else the answer alone."
    )
    max_tokens: MaxTokens = 512
    tokens_per_batch: TokensPerBatch = 8192
    responses_per_shard: Pace[int] = Field(4096, ge=1, description="Responses embedded between two writes (1 or more).")
    timeout_s: Pace[float] = Field(3600, gt=0, description="Seconds one shard may take before the engine is given up.")


class SelectConfig(Section):
    """Which pairs are worth a label."""

    scope: Literal["prompt", "source_pairs"] = Field(
        "prompt",
        description="`prompt`: pairs of each prompt from its candidates. `source_pairs`: of the pairs the source made, "
        "the share that is least similar (easy), most similar (hard), random or most unlike in length (longest_gap).",
    )
    strategies: tuple[StrategyName, ...] = Field(
        ("easy", "hard", "centroid", "random"),
        min_length=1,
        description="Strategies; each selects its own pairs: `easy`, `centroid`; the baselines `hard`, `random`, "
        "`longest_gap` (the two responses that differ most in length) and `closest_lengths_easy` (easy among pairs of "
        "like length); `max_min_lcb`, which learns from the labels so far; or one of your own: an installed package's "
        "(entry points `antipode.strategies`), or a function of `strategy_files`.",
    )
    strategy_files: Added[tuple[StrategyFile, ...]] = Field(
        (), description="Python files on the machine that selects, run with its rights: each function is a strategy."
    )
    pairs_per_prompt: Added[int] = Field(
        1,
        ge=1,
        le=MAX_PAIRS,
        description=f"prompt: so many pairs of each prompt by each strategy, fewer where there are fewer (1 to "
        f"{MAX_PAIRS}). Pairs of one prompt are dependent, which intervals take into account.",
    )
    pairs_are_disjoint: Added[bool] = Field(
        False, description="prompt: no response is in two pairs of one prompt and strategy."
    )
    budget: Added[int | None] = Field(
        None,
        ge=1,
        description="prompt: at most so many pairs by each strategy, all on the same prompts, first on those where "
        "these strategies have no label yet (1 or more). Empty: every prompt.",
    )
    budget_over: Added[Literal["random", "even"]] = Field(
        "random",
        description="Which prompts a budget is spent on: `random`: any; `even`: evenly over clusters of "
        "prompts that are alike.",
    )
    share: float = Field(0.5, gt=0, le=1, description="source_pairs: the share of pairs each strategy keeps (0 to 1).")
    has_cut: bool = Field(
        False, description="Responses that were cut at generate.max_tokens may be paired too, as far as they go."
    )
    prompt_similarity: Added[float] = Field(
        0.95,
        gt=0,
        le=1,
        description="Prompts this near by embedding are one group, nearly the same (cosine without the prompts' mean, "
        "0 to 1).",
    )
    one_prompt_a_group: Added[bool] = Field(False, description="Pairs are selected of one prompt a group, the first.")
    labelled_similarity: Added[float] = Field(
        0.98,
        gt=0,
        le=1,
        description="A pair whose two responses differ as those of a labelled pair do is nearly labelled (absolute "
        "cosine of the differences, 0 to 1).",
    )
    skips_labelled: Added[bool] = Field(False, description="Pairs that are nearly labelled are left out.")

    @model_validator(mode="after")
    def _source_pairs_have_no_centroids(self) -> Self:
        several = next((name for name in self.strategies if name in OF_SEVERAL), None)
        if self.scope == "source_pairs" and several:
            raise ValueError(
                f"select.strategies: {several} needs several candidates a prompt, scope source_pairs has two; "
                "give --select.strategies easy,hard,random,longest_gap"
            )
        return self

    def in_vain(self) -> str:
        """See `Section`."""
        for name in ("pairs_per_prompt", "budget", "pairs_are_disjoint"):
            if self.scope == "source_pairs" and (value := getattr(self, name)) != type(self).model_fields[name].default:
                return (
                    f"select.{name} {value} is for scope prompt; source_pairs keeps a share: give --select.share, and "
                    f"leave {name} out"
                )
        if self.budget is None and self.budget_over != type(self).model_fields["budget_over"].default:
            return f"select.budget_over {self.budget_over} spends a budget: give --select.budget too"
        return ""

    @model_validator(mode="after")
    def _a_budget_pays_for_a_prompt(self) -> Self:
        if self.budget is not None and self.budget < self.pairs_per_prompt:
            raise ValueError(
                f"select.budget {self.budget} pays for no prompt of select.pairs_per_prompt {self.pairs_per_prompt}; "
                "raise the one or lower the other"
            )
        return self


def overlap_in_vain(overlap: float, judgements_per_pair: int) -> str:
    """Why an overlap changes nothing, if it does not."""
    if overlap != 1 and judgements_per_pair == 1:
        return f"overlap {overlap} needs several judgements a pair; give judgements_per_pair 2 or more, or leave it out"
    return ""


class QueueConfig(Section):
    """A queue for the labelling page, opened when the pairs are selected: people find it in the morning."""

    is_opened: bool = Field(False, description="Put the selected pairs into a queue for the labelling page.")
    strategies: tuple[StrategyName, ...] = Field((), description="Only pairs of these strategies. Empty: of all.")
    judgements_per_pair: int = Field(1, ge=1, le=20, description="So many different people judge each pair (1 to 20).")
    overlap: Overlap = 1.0
    order: OrderOfPairs = "shuffled"

    def in_vain(self) -> str:
        """See `Section`."""
        if not self.is_opened and self != QueueConfig():
            return "a queue that is not opened has no settings; set queue.is_opened, or leave queue out"
        return overlap_in_vain(self.overlap, self.judgements_per_pair)


class SampleConfig(Section):
    """What sampling needs: which model, how, under which seed."""

    seed: int = Field(0, ge=0, lt=2**53, description="Seed of every random choice in the run (0 or more).")
    model: ModelConfig = Field(ModelConfig(), description="The base model.")
    generate: GenerateConfig = Field(GenerateConfig(), description="How responses are made.")


class CurateConfig(SampleConfig, RunConfig):
    """One curation run: prompts → responses → embeddings → selected pairs."""

    name: Name = Field("curation", description="Name of the run, for you (1 to 200 characters).")
    source: SourceConfig = Field(SourceConfig(), description="Which prompts.")
    embed: EmbedConfig = Field(EmbedConfig(), description="How responses are embedded.")
    guard: GuardConfig = Field(GuardConfig(), description="Which responses are left out of the pairing.")
    index: Added[IndexConfig] = Field(IndexConfig(), description="How the index of embeddings is kept.")
    select: SelectConfig = Field(SelectConfig(), description="How pairs are selected.")
    contamination: Added[ContaminationConfig] = Field(
        ContaminationConfig(), description="Whether benchmarks are among the prompts."
    )
    queue: QueueConfig = Field(QueueConfig(), description="Whether people are asked for labels at once.")

    def key_settings(self) -> dict[str, Any]:
        """The settings as the key has them: a run that takes cut responses has the key it had when all runs did.

        Likewise a run whose guard leaves nothing out: it selects what every run did before there was a guard.
        """
        settings = super().key_settings()
        if self.select.has_cut:
            del settings["select"]["has_cut"]
        if not self.guard.active_rules(self.select.scope) and self.guard.has_default_rules:
            del settings["guard"]
        return settings

    @property
    def generator_models(self) -> tuple[str, ...]:
        """The models that generate."""
        return self.generate.models or ("scripted" if self.generate.backend == "scripted" else self.model.name,)

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
