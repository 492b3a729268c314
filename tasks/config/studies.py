"""Configuration of studies: what is compared, on which data, at which budgets, how often."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from models.alignment.records import Method
from tasks.config.alignment import SftConfig, TrainConfig
from tasks.config.curation import MaxTokens, ModelConfig, StrategyFile, Temperature
from tasks.config.evaluation import EvaluateConfig, StudyBenchmarksConfig, StudyQuestionsConfig
from tasks.config.rounds import GuideConfig, RoundsConfig
from tasks.config.section import Added, Name, RunConfig, Section, StrategyName, set_over

StudyName = Literal[
    "label-efficiency", "pilot", "real-pairs", "real-candidates", "noise", "embedding-drift", "ld-align", "losses"
]
Labels = Literal["truth", "noisy", "stored"]
Learner = Literal["head", "alignment"]
Budget = Annotated[int, Field(ge=1, le=10_000_000)]

# What every study reads, and what each reads beside it: anything else is refused where it is set.
READ_BY_ALL = frozenset({"study", "name", "data", "seed"})
_TRAINING = frozenset({"model", "sft", "train", "evaluate"})
_OF_METHODS = _TRAINING | {"preset", "seeds", "methods", "benchmarks", "questions"}
_ARMS = frozenset({"strategies", "strategy_files", "seeds", "labels", "agreement"})
_SELECTION = _ARMS | {"budgets", "label_counts", "learner"}
READ_BY: dict[StudyName, frozenset[str]] = {
    "label-efficiency": _SELECTION | _TRAINING,
    "pilot": _SELECTION - {"learner"},
    "real-pairs": _ARMS | _TRAINING | {"preset", "share"},
    "real-candidates": _ARMS | _TRAINING | {"preset"},
    "noise": frozenset(),
    "embedding-drift": frozenset({"seeds", "model", "sft", "train"}),
    "ld-align": _OF_METHODS | {"rounds", "guide", "sampling"},
    "losses": _OF_METHODS,
}

# The papers' own settings, of their sections; what a paper does not say stays at its default. β is each method's own,
# which is 0.1 where a paper says it, but not IPO's (docs/decisions/0029).
# REAL: Phi-1.5's in 5.2 and 5.3, DPO as its authors released it. Pythia-2.8B has batches of 32, Llama-2-7B of 16.
_REAL = {"train": {"batch_size": 64, "max_length": 512, "optimizer": "rmsprop", "learning_rate": 5e-7}}
PAPERS: dict[StudyName, dict[str, dict[str, Any]]] = {
    "real-pairs": _REAL,
    "real-candidates": _REAL,
    # LD-Align 5.1, algorithm 1 and section 5.2, whose check takes two samples of a prompt
    "ld-align": {
        "train": {"batch_size": 64, "epochs": 2.0},
        "rounds": {"count": 3},
        "evaluate": {"responses_per_prompt": 2},
    },
    # ASFT, appendix
    "losses": {
        "train": {
            "batch_size": 4,
            "epochs": 2.0,
            "max_length": 2048,
            "optimizer": "adamw",
            "schedule": "cosine",
            "learning_rate": 1e-5,
        }
    },
}


class StudyDataConfig(Section):
    """What a study is made of: a curation run's prompts, responses, embeddings and labels."""

    run: str = Field("last", description="Id or name of the curation run whose responses are studied, or `last`.")
    annotators: tuple[str, ...] = Field((), description="Only labels of these annotators. Empty: of all.")
    gold: str = Field(
        "", description="Annotator whose labels are the truth, for `noise`. Empty: who takes references for gold."
    )
    held_out_share: float = Field(
        0.3,
        gt=0,
        lt=1,
        description="Share of the prompts that is only measured on, the same for every arm: none trains on it, no "
        "strategy chooses from it (0 to 1).",
    )


class OwnSamplesConfig(Section):
    """How a policy's own responses are sampled, in studies that train in rounds."""

    temperature: Temperature = 1.0
    max_tokens: MaxTokens = 256


class StudyConfig(RunConfig):
    """One study: arms compared at equal budgets, several times over."""

    key_prefix: ClassVar = ("study",)
    study: StudyName = Field(
        "label-efficiency",
        description="`label-efficiency`: what each strategy saves against random; `pilot`: should you select here, and "
        "how; `real-pairs`, `real-candidates`: REAL's comparisons; `noise`: agreement of labels against similarity; "
        "`embedding-drift`: how far training moves embeddings; `ld-align`: LD-Align against its rivals; `losses`: "
        "methods of alignment side by side.",
    )
    name: Name = Field("study", description="Name of the run, for you (1 to 200 characters).")
    preset: Added[Literal["own", "paper"]] = Field(
        "own",
        description="`paper`: the paper's settings for real-pairs, real-candidates, ld-align and losses, for what is "
        "not set. A form sets all of a section: there, choose the values yourself.",
    )
    data: StudyDataConfig = Field(StudyDataConfig(), description="What is studied.")
    strategies: tuple[StrategyName, ...] = Field(
        ("easy", "centroid", "hard", "longest_gap", "closest_lengths_easy", "max_min_lcb"),
        min_length=1,
        description="Strategies that are compared with `random`, shipped ones or your own.",
    )
    strategy_files: tuple[StrategyFile, ...] = Field(
        (), description="Python files on the machine that selects, run with its rights: each function is a strategy."
    )
    budgets: tuple[Budget, ...] = Field(
        (50, 100, 200), min_length=1, description="How many labels each arm gets; every one is tried (1 or more)."
    )
    label_counts: tuple[Budget, ...] = Field(
        (),
        description="At which numbers of labels the curves are measured that savings are read off. Empty: the "
        "budgets, and steps of √2 from a quarter of the smallest to twice the largest, as far as the data goes.",
    )
    seeds: int = Field(
        5, ge=2, le=1_000, description="How often everything is tried, each under its own seed (2 to 1000)."
    )
    seed: int = Field(0, ge=0, lt=2**53, description="The first of the seeds (0 or more).")
    labels: tuple[Labels, ...] = Field(
        ("truth", "noisy"),
        min_length=1,
        description="Who labels in the study. `truth`: the true utility or the data set's scores; `noisy`: the same "
        "seen through noise; `stored`: the labels in the database.",
    )
    agreement: float = Field(
        0.7, gt=0.5, lt=1, description="Share of the pairs on which two noisy annotators agree (0.5 to 1)."
    )
    share: float = Field(
        0.5, gt=0, le=1, description="real-pairs: the share of the pairs that each arm trains on (0 to 1)."
    )
    learner: Learner = Field(
        "head",
        description="What learns from the labels. `head`: a reward head on frozen embeddings, seconds a trial; "
        "`alignment`: a policy, by `train.method`.",
    )
    methods: tuple[Method, ...] = Field(
        ("sft", "dpo", "ipo", "orpo", "asft"), min_length=1, description="Methods that are compared."
    )
    model: ModelConfig = Field(ModelConfig(), description="The model that is trained.")
    sft: SftConfig = Field(SftConfig(), description="Supervised fine-tuning first: one start for all arms.")
    train: TrainConfig = Field(TrainConfig(), description="How policies are trained, the same for all arms.")
    evaluate: EvaluateConfig = Field(EvaluateConfig(), description="What policies are measured by.")
    benchmarks: Added[StudyBenchmarksConfig] = Field(
        StudyBenchmarksConfig(), description="Benchmarks of lm-eval, and what policies gain on them over the start."
    )
    questions: Added[StudyQuestionsConfig] = Field(
        StudyQuestionsConfig(), description="MT-Bench's or Arena-Hard's protocol on your question file."
    )
    rounds: RoundsConfig = Field(RoundsConfig(), description="The rounds.")
    guide: GuideConfig = Field(GuideConfig(), description="The guide of rounds.")
    sampling: OwnSamplesConfig = Field(OwnSamplesConfig(), description="The policies' own responses in rounds.")

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds under which everything is tried."""
        return tuple(range(self.seed, self.seed + self.seeds))

    @property
    def trains_policies(self) -> bool:
        """Whether the study trains policies, so that it has a number format."""
        return "train" in READ_BY[self.study] and (self.learner == "alignment" or "learner" not in READ_BY[self.study])

    def changed(self) -> dict[str, Any]:
        """The fields that are not at their default: what the study's command says."""
        fields = StudyConfig.model_fields  # a command has more of its own
        return {name: value for name in fields if (value := getattr(self, name)) != fields[name].default}

    @model_validator(mode="before")
    @classmethod
    def _fill_in_the_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("preset") != "paper":
            return values
        study = values.get("study", cls.model_fields["study"].default)
        settings = PAPERS[study] if study in get_args(StudyName) and study in PAPERS else {}
        return values | {name: set_over(of_paper, values.get(name, {})) for name, of_paper in settings.items()}

    def in_vain(self) -> str:
        """See `Section`."""
        changed = self.changed()
        unread = [name for name in self.unread_names() if name in changed]
        return f"study {self.study} does not read {', '.join(unread)}; leave it out" if unread else ""

    def unread_names(self) -> list[str]:
        """See `Section`."""
        read = READ_BY_ALL | READ_BY.get(self.study, frozenset(StudyConfig.model_fields))
        return [name for name in StudyConfig.model_fields if name not in read]

    @model_validator(mode="after")
    def _every_seed_is_one(self) -> Self:
        if self.seed + self.seeds > 2**53:
            raise ValueError(f"seed {self.seed}: the last of {self.seeds} seeds would be too large; give a smaller one")
        return self

    @model_validator(mode="after")
    def _everything_is_tried_once(self) -> Self:
        for name in ("strategies", "budgets", "labels", "methods"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name}: every one once, got {', '.join(map(str, values))}")
        return self
