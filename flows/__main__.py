"""The command line `antipode …` (= `python -m flows …`), generated from the configuration that the flows take.

Results go to stdout, progress and messages to stderr. A failure is one line and a non-zero exit status.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliApp,
    CliPositionalArg,
    CliSubCommand,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from flows import policy_terminal, quality_terminal, terminal
from flows.engine import prepare_prefect
from flows.label_commands import Export, ExportPairs, ImportLabels, Label, Quality, Web
from flows.policy_commands import Align, Benchmarks, Evaluate, LdAlign, Policies, Promote, Questions, Rollback
from models.selection import Strategy
from tasks.align_config import AlignConfig
from tasks.config import CurateConfig, ImportConfig, LabelConfig
from tasks.settings import Settings

Format = Literal["table", "jsonl", "csv", "parquet"]

DEMO_PROMPTS = 256
DEMO_ALIGNED_FROM = 64
DEMO_ANNOTATORS = 2
DEMO_NOISE = 1.0
DEMO_SFT_RATE, DEMO_DPO_RATE = 1e-4, 3e-4  # of a model of 3 million parameters
TABLE_ROWS = 20


class Import(ImportConfig):
    """Read prompts, or prompts with responses, from a file or a data set into the database."""

    source: CliPositionalArg[str] = Field(description="JSONL, JSON, CSV or Parquet file (.gz too), folder or hub name.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.ingestion import import_source

        config = ImportConfig.model_validate(self.model_dump(exclude={"source"}))
        terminal.show_import(import_source(self.source, config, Settings()))


class Curate(CurateConfig):
    """Generate, embed, select: one curation run. The same command again goes on where a stopped run was."""

    def cli_cmd(self) -> None:
        """Run the command."""
        run_id = _curate(CurateConfig.model_validate(self.model_dump()))
        terminal.show_run(run_id, Settings())


class Pairs(BaseModel):
    """Show or export the selected pairs of a run."""

    run: str = Field("last", description="Id or name of a run, or `last`.")
    strategy: Strategy | None = Field(None, description="Only this strategy's pairs.")
    limit: int | None = Field(None, ge=1, description="At most so many. A table shows 20 unless told otherwise.")
    format: Format = Field("table", description="How to write them.")
    output: Path | None = Field(None, description="File to write; empty: the terminal.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.queries import selected_pairs

        limit = TABLE_ROWS if self.limit is None and self.format == "table" and self.output is None else self.limit
        found = selected_pairs(self.run, strategy=self.strategy, limit=limit, settings=Settings())
        terminal.write_pairs(found, self.format, self.output)


class Runs(BaseModel):
    """List the runs, newest first."""

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.queries import run_summaries

        terminal.show_runs(run_summaries(Settings()))


class Similar(BaseModel):
    """Show the responses most similar to one, over everything that was embedded like it."""

    response_id: CliPositionalArg[int] = Field(description="Id of a response, as `antipode pairs` shows it.")
    count: int = Field(10, ge=1, description="How many to show (1 or more).")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.queries import similar_responses

        terminal.show_similar(similar_responses(self.response_id, self.count, Settings()))


class Report(BaseModel):
    """Write the report page of a run anew and print where it is."""

    run: str = Field("last", description="Id or name of a run, or `last`.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.queries import find_run
        from tasks.reporting import write_run_report

        print(write_run_report(find_run(self.run, Settings()), Settings()))


class Demo(BaseModel):
    """Run the whole job on the demo world: train its small model, sample, embed, select, label twice, align by DPO."""

    prompts: int = Field(DEMO_PROMPTS, ge=1, description="How many of the demo's prompts to use (1 or more).")
    seed: int = Field(0, ge=0, lt=2**53, description="Seed of the run; another one samples other responses.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.ingestion import import_demo_prompts
        from tasks.progress import say
        from tasks.quality import quality_of_run

        settings = Settings()
        import_demo_prompts(settings)
        config = CurateConfig.model_validate(
            {
                "name": "demo",
                "seed": self.seed,
                "source": {"name": "demo", "split": "train", "limit": self.prompts},
                # Small shards, so that the bars move.
                "generate": {"max_tokens": 96, "max_model_len": 512, "prompts_per_shard": 32},
                "embed": {"responses_per_shard": 256},
            }
        )
        run_id = _curate(config)
        for seed in range(DEMO_ANNOTATORS):
            _label(run_id, seed)
        terminal.show_pairs_of(run_id, settings)
        quality_terminal.show_agreement(quality_of_run(str(run_id), strategies=(), settings=settings))
        if self.prompts >= DEMO_ALIGNED_FROM:
            policy_terminal.show_policy(_align(run_id), settings)
        else:
            say(f"too few labels to align on; antipode demo --prompts {DEMO_ALIGNED_FROM} does")
        terminal.show_next(run_id, settings)


class Upgrade(BaseModel):
    """Bring a database that an older version made up to this version's schema. Make a backup first."""

    def cli_cmd(self) -> None:
        """Run the command."""
        from db.engine import make_engine
        from db.migrations import upgrade

        upgrade(make_engine(Settings().database))
        print("the database is at the newest schema")


class Antipode(BaseSettings):
    """Spend preference labels where they teach most: generate, embed, select the pairs worth a label, label them."""

    model_config = SettingsConfigDict(
        cli_prog_name="antipode", cli_hide_none_type=True, cli_avoid_json=True, cli_implicit_flags=True
    )

    demo: CliSubCommand[Demo] = Field(description="the whole job on a small world made here")
    import_: CliSubCommand[Import] = Field(alias="import", description="prompts and responses into the database")
    curate: CliSubCommand[Curate] = Field(description="generate, embed, select: one run")
    pairs: CliSubCommand[Pairs] = Field(description="show or export the selected pairs of a run")
    runs: CliSubCommand[Runs] = Field(description="list the runs")
    label: CliSubCommand[Label] = Field(description="judges, reward models, data sets: labels for selected pairs")
    web: CliSubCommand[Web] = Field(description="the labelling page for people")
    quality: CliSubCommand[Quality] = Field(description="how far the labels can be trusted")
    export: CliSubCommand[Export] = Field(description="preferences for a trainer, as a snapshot")
    export_pairs: CliSubCommand[ExportPairs] = Field(
        alias="export-pairs", description="pairs for Label Studio, Argilla or a file to fill in"
    )
    import_labels: CliSubCommand[ImportLabels] = Field(alias="import-labels", description="labels made elsewhere")
    align: CliSubCommand[Align] = Field(description="preferences to an aligned policy")
    ld_align: CliSubCommand[LdAlign] = Field(alias="ld-align", description="LD-Align or SPIN: rounds without labels")
    evaluate: CliSubCommand[Evaluate] = Field(description="compare a policy with another model")
    questions: CliSubCommand[Questions] = Field(description="MT-Bench's or Arena-Hard's protocol on your questions")
    benchmarks: CliSubCommand[Benchmarks] = Field(description="lm-eval on a policy")
    policies: CliSubCommand[Policies] = Field(description="list the trained policies")
    promote: CliSubCommand[Promote] = Field(description="put a policy into use")
    rollback: CliSubCommand[Rollback] = Field(description="take the policy in use out of it")
    similar: CliSubCommand[Similar] = Field(description="the responses most similar to one")
    report: CliSubCommand[Report] = Field(description="write the report page of a run anew")
    upgrade: CliSubCommand[Upgrade] = Field(description="bring an older database to this version")

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: object, **__: object
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take the command line alone: an environment variable called PAIRS is somebody else's."""
        return (init_settings,)

    def cli_cmd(self) -> None:
        """Run the chosen command."""
        CliApp.run_subcommand(self)


def main() -> None:
    """Run the command line; exit with 0, with 1 for a failure, with 2 for unusable arguments, with 130 for Ctrl-C."""
    # The first tells its retries, the second that Ctrl-C hit a connection's end; what matters is told below.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    try:
        CliApp.run(Antipode, cli_args=sys.argv[1:] or ["--help"])
    except ValidationError as error:
        sys.exit(terminal.fail(terminal.validation_line(error), status=2))
    except KeyboardInterrupt:
        sys.exit(terminal.fail("stopped; the same command again goes on where it was", status=130))
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 (the last place that can tell the user)
        sys.exit(terminal.fail(terminal.error_line(error), status=1))


def _curate(config: CurateConfig) -> int:
    """Run the flow in this process; only a command that needs Prefect waits two seconds for its import."""
    prepare_prefect()
    from flows.curate import curate

    return curate(config)


def _label(run_id: int, seed: int) -> None:
    """Let one of the demo's annotators, who all see its truth through noise, judge every pair."""
    from flows.label import label

    label(
        LabelConfig.model_validate(
            {
                "name": f"demo annotator {seed + 1}",
                "pairs": {"run": str(run_id)},
                "annotator": "rubric",
                "rubric": {"temperature": DEMO_NOISE, "seed": seed},
                "pairs_per_shard": 256,
            }
        )
    )


def _align(run_id: int) -> int:
    """Fine-tune and align the demo model on the demo's labels; its true utility says whether it became better."""
    from flows.align import align

    return align(
        AlignConfig.model_validate(
            {
                "name": "demo",
                "data": {"run": str(run_id)},
                "sft": {"learning_rate": DEMO_SFT_RATE},
                "train": {
                    "learning_rate": DEMO_DPO_RATE,
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
    )


if __name__ == "__main__":
    main()
