"""Every command with its arguments and settings, as the command line itself reads them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from pydantic import BaseModel

from flows.__main__ import COMMANDS, GROUPS
from flows.terminal.examples import EXAMPLES
from flows.terminal.help import Setting, settings_of
from tasks.settings import Settings


def command_pages() -> Iterator[tuple[str, str]]:
    """Name and text of each page: one of all commands, one for each group, and the environment's variables."""
    yield "commands/index.md", _overview()
    for group, names in GROUPS.items():
        heads = [f"# Commands: {group}", *(_command(name) for name in names)]
        yield f"commands/{group_page(group)}", "\n\n".join(heads) + "\n"
    yield "environment.md", _environment()


def group_page(group: str) -> str:
    """The file of a group's page."""
    return f"{group.replace(' ', '-')}.md"


def as_cell(text: str) -> str:
    """Text as it may stand in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def _overview() -> str:
    lines = [
        "# Commands",
        "`antipode COMMAND --help` shows the same on the terminal. Settings with a dot belong to a section: "
        "`--generate.temperature 0.7`; a YAML or JSON file of them is taken by `--config FILE` where a command has it.",
    ]
    for group, names in GROUPS.items():
        rows = [f"| [`{name}`]({group_page(group)}#{name}) | {COMMANDS[name].description} |" for name in names]
        lines += [f"## {group.capitalize()}", "\n".join(["| command | what it does |", "|---|---|", *rows])]
    return "\n\n".join(lines) + "\n"


def _command(name: str) -> str:
    command = COMMANDS[name]
    model: type[BaseModel] = getattr(importlib.import_module(f"flows.commands.{command.module}"), command.name)
    examples = [f"# {purpose}\nantipode {name} {words}".rstrip() for words, purpose in EXAMPLES[name]]
    lines = [f"## {name}", " ".join((model.__doc__ or "").split()), "\n".join(["```sh", *examples, "```"])]
    for section, about, settings in settings_of(model):
        lines += [f"**{section}** {about}".strip(), _table(settings)]
    return "\n\n".join(lines)


def _table(settings: list[Setting]) -> str:
    rows = [f"| `{setting.name}` | {_kind(setting)} | {as_cell(_escaped(setting.about))} |" for setting in settings]
    return "\n".join(["| setting | value | meaning |", "|---|---|---|", *rows])


def _kind(setting: Setting) -> str:
    words = [", ".join(f"`{choice}`" for choice in setting.kind.split("|"))] if setting.kind else ["switch"]
    if setting.is_required:
        words.append("required")
    if setting.default:
        words.append(f"default `{as_cell(setting.default)}`" if setting.kind else f"on unless `{setting.default}`")
    return "; ".join(words)


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", "\\*")


def _environment() -> str:
    prefix = str(Settings.model_config["env_prefix"])
    rows = [
        f"| `{prefix}{name.upper()}` | {as_cell(field.description or '')} | "
        f"{'none' if field.default is None else f'`{field.default}`'} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join([
        "# Environment variables",
        "",
        "Read by every command; what a run does is in its settings instead. `ANTIPODE_DEBUG=1` shows tracebacks.",
        "",
        "| variable | meaning | default |",
        "|---|---|---|",
        *rows,
        "",
    ])  # fmt: skip
