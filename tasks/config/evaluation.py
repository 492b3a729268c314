"""Configuration of what measures a policy: comparisons, held-out data, question files."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from tasks.config.curation import (
    AnswersConfig,
    GeneratorBackend,
    MaxTokens,
    ModelConfig,
    SampleConfig,
    SourceConfig,
    Temperature,
    TopP,
)
from tasks.config.labels import JudgeConfig, LabelConfig, RewardModelConfig, RubricConfig
from tasks.config.section import Added, RunConfig, Section, ServerAddress

EvaluationAnnotator = Literal["none", "judge", "reward_model", "rubric", "people"]


_ANNOTATOR_SECTIONS = ("rubric", "reward_model", "judge")


class TruthConfig(RubricConfig):
    """The demo world's truth, without noise unless it is asked for."""

    temperature: float = Field(0.0, ge=0, description="Noise of the choice (Bradley-Terry): 0 is none, or more.")


class EvaluateConfig(AnswersConfig):
    """What a policy is measured by."""

    annotator: EvaluationAnnotator = Field(
        "none",
        description="Who compares the policy's responses with the start model's: `judge`, `reward_model`, `rubric` "
        "(the demo world's truth), `people` (a queue for the labelling page), or `none`.",
    )
    rubric: TruthConfig = Field(TruthConfig(), description="For `rubric`.")
    reward_model: RewardModelConfig = Field(RewardModelConfig(), description="For `reward_model`.")
    judge: JudgeConfig = Field(JudgeConfig(), description="For `judge`, asked in both orders.")
    source: SourceConfig = Field(
        SourceConfig(), description="Prompts to sample for. Empty: those of the held-out preferences."
    )
    responses_per_prompt: int = Field(1, ge=1, le=32, description="Responses of each model a prompt (1 to 32).")
    temperature: Temperature = 0.7
    top_p: TopP = 1.0
    backend: GeneratorBackend = Field("auto", description="Engine, as for generate.backend; no server's.")
    reward_beta: float = Field(
        0.1, gt=0, description="β of the implicit reward (REAL eq. 10), the same for every method."
    )
    has_drift: bool = Field(True, description="How far embeddings moved (REAL appendix B.1).")

    @model_validator(mode="after")
    def _the_annotator_is_configured(self) -> Self:
        if self.backend in {"openai", "scripted"}:
            raise ValueError(f"evaluate.backend loads a folder: auto, vllm or transformers, not {self.backend}")
        if self.annotator in _ANNOTATOR_SECTIONS:
            self.labelling(0)
        return self

    def in_vain(self) -> str:
        """See `Section`."""
        for section in self.unread_names():
            if getattr(self, section) != type(self).model_fields[section].default:
                return f"evaluate.{section} is set, but evaluate.annotator is {self.annotator}"
        return ""

    def unread_names(self) -> list[str]:
        """See `Section`."""
        return [section for section in _ANNOTATOR_SECTIONS if section != self.annotator]

    def labelling(self, seed: int) -> LabelConfig:
        """The annotator as a labelling run would be configured."""
        is_configured = self.annotator in _ANNOTATOR_SECTIONS
        section = {self.annotator: getattr(self, self.annotator).model_dump()} if is_configured else {}
        return LabelConfig.model_validate({"seed": seed, "annotator": self.annotator, **section})


class EvaluationConfig(Section):
    """A policy compared with another model, on the prompts that its own run holds out."""

    policy: int = Field(ge=1, description="The policy's id, as `antipode policies` shows it (1 or more).")
    against: str = Field(
        "start",
        min_length=1,
        description="`start`: the fine-tuned model its run began with; `promoted`: the policy in use; `policy:ID`; "
        "or a model's name.",
    )
    seed: int = Field(0, ge=0, lt=2**53, description="Seed of the sampling (0 or more).")
    evaluate: EvaluateConfig = Field(EvaluateConfig(), description="Who compares, on what.")

    @model_validator(mode="after")
    def _somebody_compares(self) -> Self:
        if self.evaluate.annotator == "none":
            raise ValueError("nobody compares; give --evaluate.annotator judge, reward_model, rubric or people")
        return self


class ProtocolJudgeConfig(JudgeConfig):
    """A judge that explains before its mark."""

    max_tokens: MaxTokens = 2048

    def in_vain(self) -> str:
        """See `Section`."""
        for name in ("prompt", "has_rationale", "is_constrained"):
            if getattr(self, name) != type(self).model_fields[name].default:
                return f"judge.{name} is for pairs, the protocol has its own question; leave it out"
        return ""


class BenchmarksConfig(Section):
    """Tasks of lm-eval (extra `lm-eval`)."""

    tasks: tuple[str, ...] = Field(
        (), description="lm-eval's names of tasks. Empty: TruthfulQA, PIQA, HellaSwag, ARC, OpenBookQA, GSM8K."
    )
    limit: int | None = Field(None, ge=1, description="At most so many questions a task (1 or more).")
    batch_size: str = Field("auto", description="As lm-eval takes it.")
    include_path: str | None = Field(None, description="Folder with tasks of your own.")


class StudyBenchmarksConfig(BenchmarksConfig):
    """Tasks of lm-eval that every policy of a study is measured by."""

    tasks: tuple[str, ...] = Field((), description="lm-eval's names of tasks, each with an accuracy. Empty: none.")

    @model_validator(mode="after")
    def _every_task_is_asked_once(self) -> Self:
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"benchmarks.tasks: every one once, got {', '.join(self.tasks)}")
        return self

    def in_vain(self) -> str:
        """See `Section`."""
        idle = [] if self.tasks else _changed(self)
        return f"no benchmark is named; give benchmarks.tasks, or leave out {', '.join(idle)}" if idle else ""


class ProtocolConfig(AnswersConfig):
    """How MT-Bench and Arena-Hard have a question file answered and graded."""

    protocol: Literal["mt_bench", "arena_hard"] = Field(
        "mt_bench",
        description="`mt_bench`: each answer a grade of 1 to 10; `arena_hard`: two games against a baseline.",
    )
    against: str | None = Field(None, description="arena_hard: the baseline, a model's name or `policy:ID`.")
    temperature: Temperature = 0.0
    has_category_temperatures: Added[bool] = Field(
        False,
        description="MT-Bench's temperatures by category: writing, roleplay 0.7; stem, humanities 0.1; extraction, "
        "math, coding, reasoning 0. Other categories take `temperature`.",
    )
    max_tokens: MaxTokens = 1024
    judge: ProtocolJudgeConfig = Field(ProtocolJudgeConfig(), description="The judge.")
    strong_weight: float = Field(
        3.0, ge=1, description="arena_hard: how often a much better answer counts (1 or more)."
    )
    resamples: int = Field(1000, ge=100, description="arena_hard: resamples behind the interval (100 or more).")


class QuestionsConfig(ProtocolConfig, RunConfig):
    """A question file answered by a policy and graded by a judge, as MT-Bench and Arena-Hard do."""

    key_prefix: ClassVar = ("questions",)
    seed: int = Field(0, ge=0, lt=2**53, description="Seed of the answers and of the interval (0 or more).")
    model: ModelConfig = Field(ModelConfig(), description="Who answers, such as `policy:3`.")
    answers: Added[Path | None] = Field(
        None, description="File of the answers, as MT-Bench or Arena-Hard write them: no model is asked for any."
    )
    against_answers: Added[Path | None] = Field(None, description="arena_hard: the same of the baseline's answers.")
    base_url: ServerAddress | None = Field(None, description="For backend openai: address of the server.")

    @model_validator(mode="after")
    def _everybody_is_named(self) -> Self:
        if not (self.judge.base_url and self.judge.model):
            raise ValueError("a judge needs an address and a model; set judge.base_url and judge.model")
        if (self.protocol == "arena_hard") != (self.against is not None or self.against_answers is not None):
            raise ValueError("arena_hard compares with a baseline and mt_bench does not: give `against` for arena_hard")
        if self.against_answers is not None and self.against is not None:
            raise ValueError("the baseline's answers are in a file; leave out `against`, or `against_answers`")
        self.sampling()
        return self

    def in_vain(self) -> str:
        """See `Section`."""
        if self.answers is not None and self.model != ModelConfig():
            return "answers of a file are asked of no model; leave out `model`, or `answers`"
        return ""

    def sampling(self) -> SampleConfig:
        """How the answers are made."""
        return SampleConfig(seed=self.seed, model=self.model, generate=self.generate())


class StudyQuestionsConfig(ProtocolConfig):
    """A question file that every policy of a study answers, and how the answers are graded."""

    file: Path | None = Field(
        None, description="Questions as MT-Bench or Arena-Hard write them, JSON or JSONL. Empty: none are asked."
    )
    against: str | None = Field(
        None,
        description="arena_hard: the baseline, a model's name or `policy:ID`. Empty: the model that all begin with.",
    )

    @model_validator(mode="after")
    def _everything_is_there(self) -> Self:
        if self.file is None:
            return self
        if self.backend in {"openai", "scripted"}:
            raise ValueError(f"questions.backend loads a folder: auto, vllm or transformers, not {self.backend}")
        self.of_model(ModelConfig(name="any"), start="any", seed=0)  # the protocols' own rules
        return self

    def in_vain(self) -> str:
        """See `Section`."""
        idle = _changed(self) if self.file is None else []
        return f"no questions are given; give questions.file, or leave out {', '.join(idle)}" if idle else ""

    def of_model(self, model: ModelConfig, *, start: str, seed: int) -> QuestionsConfig:
        """A run that has a model answer; `start` is the baseline of arena_hard where none is named."""
        values = self.model_dump(exclude={"file"})
        if self.protocol == "arena_hard":
            values["against"] = self.against or start
        return QuestionsConfig.model_validate(values | {"model": model, "seed": seed})


def _changed(section: Section) -> list[str]:
    """The settings that are not at their defaults."""
    return [name for name, field in type(section).model_fields.items() if getattr(section, name) != field.default]
