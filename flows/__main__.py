"""The command line `antipode …` (= `python -m flows …`), generated from the configuration that the flows take.

Results go to stdout, progress and messages to stderr. A failure is one line and a non-zero exit status. Only the module
of the command that is given is loaded.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, NamedTuple, Self

SUMMARY = "Spend preference labels where they teach most: generate, embed, select the pairs worth a label, label them."
HELP = ("-h", "--help", "help")
VERSION = ("-V", "--version", "version")


class Command(NamedTuple):
    """Where a command is, and what it does."""

    module: str
    name: str
    description: str


COMMANDS = {
    "demo": Command("demo", "Demo", "the whole job on a small world made here"),
    "up": Command("service", "Up", "everything on this machine: Prefect server, worker, labelling page"),
    "import": Command("curation", "Import", "prompts and responses into the database"),
    "curate": Command("curation", "Curate", "generate, embed, index, select: one run"),
    "plan": Command("curation", "Plan", "what a size takes: GPUs, disk, database, money"),
    "pairs": Command("runs", "Pairs", "show or export the selected pairs of a run"),
    "runs": Command("runs", "Runs", "list the runs"),
    "label": Command("labels", "Label", "judges, reward models, data sets: labels for selected pairs"),
    "calibrate": Command("labels", "Calibrate", "how far a judge or reward model agrees with people"),
    "web": Command("labels", "Web", "the labelling page for people"),
    "queue": Command("queue", "Queue", "what people label: overlap, guidelines, known answers, adjudicators"),
    "people": Command("people", "People", "who labels: sign-in links, renewed or taken back"),
    "metrics": Command("service", "Metrics", "figures for Prometheus, and its token"),
    "quality": Command("quality", "Quality", "how far the labels can be trusted"),
    "head": Command("head", "Head", "what the labels so far are worth, and what they predict"),
    "export": Command("exchange", "Export", "preferences for a trainer, as a snapshot"),
    "push": Command("exchange", "Push", "a snapshot with its card to a hub"),
    "pull": Command("exchange", "Pull", "a pushed snapshot back, checked"),
    "export-pairs": Command("exchange", "ExportPairs", "pairs for Label Studio, Argilla or a file to fill in"),
    "import-labels": Command("exchange", "ImportLabels", "labels made elsewhere"),
    "align": Command("alignment", "Align", "preferences to an aligned policy"),
    "ld-align": Command("alignment", "LdAlign", "LD-Align or SPIN: rounds without labels"),
    "evaluate": Command("alignment", "Evaluate", "compare a policy with another model"),
    "questions": Command("alignment", "Questions", "MT-Bench's or Arena-Hard's protocol on your questions"),
    "study": Command("study", "Study", "do labels go further here: strategies and methods compared"),
    "benchmarks": Command("policies", "Benchmarks", "lm-eval on a policy"),
    "policies": Command("policies", "Policies", "list the trained policies"),
    "promote": Command("policies", "Promote", "put a policy into use"),
    "rollback": Command("policies", "Rollback", "take the policy in use out of it"),
    "sql": Command("database", "Sql", "ask the database in SQL, read-only"),
    "similar": Command("runs", "Similar", "what is most similar to a response, a prompt or a text"),
    "report": Command("runs", "Report", "write the report page of a run anew"),
    "sources": Command("listings", "Sources", "list what was imported"),
    "snapshots": Command("listings", "Snapshots", "list what was exported"),
    "deploy": Command("service", "Deploy", "deployments and schedules onto a Prefect server"),
    "worker": Command("service", "Worker", "run what a Prefect server asks for"),
    "docs": Command("service", "Docs", "serve this documentation on this machine"),
    "doctor": Command("doctor", "Doctor", "check this installation and say what to do"),
    "forget": Command("tidying", "Forget", "delete a source, run, queue, policy, person or snapshot for good"),
    "rename": Command("tidying", "Rename", "give one of them another name"),
    "vectors": Command("database", "Vectors", "check the vectors on disk, have damaged ones embedded anew"),
    "backup": Command("database", "Backup", "copy the database into a file"),
    "restore": Command("database", "Restore", "bring a backup into an empty database"),
    "upgrade": Command("runs", "Upgrade", "bring an older database to this version"),
}

# In the order in which they are shown; the first group is what a beginner needs.
GROUPS = {
    "to begin with": ("demo", "import", "curate", "web", "label", "quality", "export", "align"),
    "prompts and pairs": ("plan", "sources", "runs", "pairs", "similar", "report"),
    "labels": ("people", "queue", "calibrate", "head", "study"),
    "out and in": ("snapshots", "push", "pull", "export-pairs", "import-labels"),
    "policies": ("ld-align", "evaluate", "questions", "benchmarks", "policies", "promote", "rollback"),
    "database": ("sql", "vectors", "forget", "rename", "backup", "restore", "upgrade"),
    "service": ("up", "deploy", "worker", "metrics", "docs", "doctor"),
}


def main() -> None:
    """Run the command line; exit with 0, with 1 for a failure, with 2 for unusable arguments, with 130 for Ctrl-C."""
    try:
        _answer(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has read enough; what is still kept would be a fault at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _answer(arguments: list[str]) -> None:
    if arguments[:1] == ["help"] and len(arguments) > 1:
        arguments = [*arguments[1:], "--help"]
    if not arguments or arguments[0] in HELP:
        print(_overview())  # noqa: T201
    elif arguments[0] in VERSION:
        from importlib.metadata import version

        print(f"antipode {version('antipode')}")  # noqa: T201
    elif arguments[0] in COMMANDS and any(argument in HELP[:2] for argument in arguments[1:]):
        from flows.terminal.help import show_help

        show_help(arguments[0], _model(arguments[0]))
    elif arguments[0] in COMMANDS:
        _run(arguments)
    else:
        sys.exit(_unknown(arguments[0]))


def _run(arguments: list[str]) -> None:
    import logging

    from pydantic import ValidationError
    from pydantic_settings import CliApp, SettingsError

    from flows.processes.collection import rarely_collect
    from flows.terminal import failures
    from models.errors import is_interrupt
    from tasks.terminal import guard_logs

    rarely_collect()
    guard_logs()
    if (fault := failures.argument_line(arguments)) is not None:
        sys.exit(failures.fail(fault, status=2))
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # its library sets its level when loaded, in engines too
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # of its own one 14 MB more stay taken
    # The first logs its retries, the second that Ctrl-C interrupted a connection's close; failures are printed below.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    try:
        command_line = _command_line(arguments[0])
        CliApp.run(command_line, cli_args=arguments, **_given_elsewhere(arguments, command_line))
    except ValidationError as error:
        from flows.terminal.help import argument_names

        line = failures.validation_line(error, argument_names(_model(arguments[0])))
        sys.exit(failures.fail(line, status=2))
    except SettingsError as error:
        line = failures.list_line(told := failures.error_line(error), error, arguments)
        is_about_arguments = line != told or line.startswith(failures.OF_THE_ARGUMENTS)
        words = failures.arguments_line(line, arguments[0], _model(arguments[0]))
        sys.exit(failures.fail(words, status=2) if is_about_arguments else failures.fail(line, status=1))
    except BrokenPipeError:
        raise
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001 (the last place that can print a failure)
        if is_interrupt(error):
            sys.exit(_stopped())
        assert isinstance(error, Exception)
        sys.exit(failures.fail(failures.error_line(error), status=1))


def _given_elsewhere(arguments: list[str], command_line: type[Any]) -> dict[str, Any]:
    """What a file or an earlier run sets, under the command's name; nothing where none is named."""
    if not any(argument.startswith(("--config", "--like")) for argument in arguments):
        return {}
    from pydantic_settings import CliSettingsSource

    from flows.terminal.settings_files import given_elsewhere

    command = arguments[0]
    given = CliSettingsSource[Any](command_line, cli_parse_args=arguments)()
    return {command: given_elsewhere(command, given[command], _model(command))}


def _stopped() -> int:
    """Record that the runs which were opened and not begun are stopped, say so, and return the exit status."""
    from flows.terminal import failures
    from models.errors import is_interrupt

    try:
        if "tasks.runs" in sys.modules:  # else no run was opened
            from tasks.runs import stop_opened

            stop_opened()
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001 (the last place that can print a failure)
        if not is_interrupt(error):
            assert isinstance(error, Exception)
            return failures.fail(failures.error_line(error), status=1)
    return failures.fail("stopped; the same command again goes on where it was", status=130)


def _command_line(name: str) -> type[Any]:
    """The command line with this command alone; the modules of the others are not imported."""
    from pydantic import BaseModel, Field, create_model, model_validator
    from pydantic_settings import (
        BaseSettings,
        CliApp,
        CliSubCommand,
        PydanticBaseSettingsSource,
        SettingsConfigDict,
        get_subcommand,
    )

    from tasks.config.section import refuse_in_vain

    class CommandLine(BaseSettings):
        model_config = SettingsConfigDict(
            cli_prog_name="antipode",
            cli_hide_none_type=True,
            cli_avoid_json=True,
            cli_implicit_flags=True,
            cli_exit_on_error=False,  # argparse would print the arguments as they are
        )

        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: object, **__: object
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            """Take the command line alone: an environment variable called PAIRS is somebody else's."""
            return (init_settings,)

        @model_validator(mode="after")
        def _nothing_is_set_in_vain(self) -> Self:
            if isinstance(given := get_subcommand(self, is_required=False), BaseModel):
                refuse_in_vain(given)
            return self

        def cli_cmd(self) -> None:
            """Run the command."""
            CliApp.run_subcommand(self)

    model = _model(name)
    field = Field(alias=name, description=COMMANDS[name].description)
    fields: dict[str, Any] = {"command": (CliSubCommand[model], field)}  # type: ignore[misc, valid-type]
    return create_model("Antipode", __base__=CommandLine, **fields)


def _model(name: str) -> type[Any]:
    command = COMMANDS[name]
    model: type[Any] = getattr(importlib.import_module(f"flows.commands.{command.module}"), command.name)
    return model


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = ["usage: antipode COMMAND [SETTINGS]", "", SUMMARY]
    for group, names in GROUPS.items():
        lines += ["", f"{group}:", *(f"  {name:<{width}}  {COMMANDS[name].description}" for name in names)]
    return "\n".join((
        *lines,
        "",
        "antipode COMMAND --help shows examples and every setting of a command, with its default.",
        "antipode --version says which version this is.",
    ))  # fmt: skip


def _unknown(name: str) -> int:
    """Say that there is no such command; return the exit status."""
    from models.guesses import guess

    advice = f"{near}See" if (near := guess(name, COMMANDS)) else "see"
    print(f"antipode: there is no command {name!r}; {advice}: antipode --help", file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    main()
