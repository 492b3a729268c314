"""The command `antipode demo`: the whole job on the demo world, with the settings that suit its small model."""

from __future__ import annotations

from pydantic import AliasChoices, BaseModel, Field

from flows.processes.engine import prepare_prefect
from flows.terminal.labelling.quality import show_agreement
from flows.terminal.policies import show_policy
from flows.terminal.runs import show_next, show_pairs_of
from tasks.config.alignment import AlignConfig
from tasks.config.curation import CurateConfig
from tasks.config.labels import LabelConfig
from tasks.settings import Settings
from tasks.terminal import show

PROMPTS = 256
ALIGNED_FROM = 64
ANNOTATORS = 2
NOISE = 1.0
SFT_RATE, DPO_RATE = 1e-4, 3e-4  # of a model of 2.5 million parameters


class Demo(BaseModel):
    """Run the whole job on the demo world: sample, embed, select, label twice, align by DPO."""

    prompts: int = Field(PROMPTS, ge=1, description="How many of the demo's prompts to use (1 or more).")
    seed: int = Field(0, ge=0, lt=2**53, description="Seed of the run; another one samples other responses.")
    remake_model: bool = Field(
        False,
        validation_alias=AliasChoices("remake-model", "remake_model"),
        description="Train the demo model anew, in the place of the one that Antipode brings, and do nothing else.",
    )

    def cli_cmd(self) -> None:
        """Run the command."""
        if self.remake_model:
            _remake_model()
            return
        from tasks.curation.ingestion import import_demo_prompts
        from tasks.labels.quality import quality_of_run
        from tasks.progress import say

        settings = Settings()
        import_demo_prompts(settings)
        run_id = _curate(curation(self.prompts, self.seed))
        for seed in range(ANNOTATORS):
            _label(run_id, seed)
        show_pairs_of(run_id, settings)
        show_agreement(quality_of_run(run_id, strategies=(), settings=settings), run_id)
        if self.prompts >= ALIGNED_FROM:
            show_policy(_align(run_id), settings)
        else:
            say(f"too few labels to align on; antipode demo --prompts {ALIGNED_FROM} does")
        show_next(run_id, settings, is_demo=True)


def curation(prompts: int, seed: int) -> CurateConfig:
    """How the demo curates."""
    return CurateConfig.model_validate(
        {
            "name": "demo",
            "seed": seed,
            "source": {"name": "demo", "split": "train", "limit": prompts},
            # For a model of this size vLLM's start takes longer than all the sampling. Small shards: the bars move.
            "generate": {"backend": "transformers", "max_tokens": 96, "prompts_per_shard": 64},
            "embed": {"responses_per_shard": 256},
        }
    )


def annotation(run_id: int, seed: int) -> LabelConfig:
    """How one of the demo's annotators, who all see its truth through noise, judges every pair."""
    return LabelConfig.model_validate(
        {
            "name": f"demo annotator {seed + 1}",
            "pairs": {"run": str(run_id)},
            "annotator": "rubric",
            "rubric": {"temperature": NOISE, "seed": seed},
            "pairs_per_shard": 256,
        }
    )


def alignment(run_id: int) -> AlignConfig:
    """How the demo fine-tunes and aligns on its labels; its true utility says whether the model became better."""
    return AlignConfig.model_validate(
        {
            "name": "demo",
            "data": {"run": str(run_id)},
            "sft": {"learning_rate": SFT_RATE},
            "train": {
                "learning_rate": DPO_RATE,
                "examples_per_device": 32,
                "max_length": 256,
                "evaluate_every": 10,
            },
            "evaluate": {
                "annotator": "rubric",
                "source": {"name": "demo", "split": "test"},
                "responses_per_prompt": 4,
                "temperature": 1,
                "max_tokens": 96,
                "backend": "transformers",
            },
        }
    )


def _remake_model() -> None:
    """Train the demo model by its recipe and put it where the package has it."""
    from models.demo import MODEL_FOLDER
    from models.demo.language_model import make_demo_model
    from tasks.progress import step_progress

    with step_progress("demo model", "training steps") as on_step:
        make_demo_model(MODEL_FOLDER, progress=on_step)
    show(f"made anew: {MODEL_FOLDER}\nNext: antipode demo")


def _curate(config: CurateConfig) -> int:
    """Run the flow in this process. Imports Prefect here: it takes two seconds, which --remake-model does not need."""
    prepare_prefect()
    from flows.curate import curate

    return curate(config)


def _label(run_id: int, seed: int) -> None:
    from flows.label import label

    label(annotation(run_id, seed))


def _align(run_id: int) -> int:
    from flows.align import align

    return align(alignment(run_id))
