"""What `antipode COMMAND --help` prints: examples, arguments, settings by section, each with its type in words."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeGuard, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo
from pydantic_settings import CliPositionalArg

from flows.terminal.examples import EXAMPLES
from flows.terminal.pager import paged
from tasks.terminal import show

ARGUMENT = get_args(CliPositionalArg[str])[1]  # what marks an argument that has no name before it
INDENT, COLUMN, WIDEST = 2, 30, 110
WORDS: dict[object, str] = {int: "WHOLE NUMBER", float: "NUMBER", str: "TEXT", Path: "PATH"}


class Setting(NamedTuple):
    """An argument or setting of a command, in words. `kind` is empty for a switch, `default` where there is none."""

    name: str
    kind: str
    about: str
    default: str
    is_required: bool
    is_argument: bool


@paged()
def show_help(name: str, model: type[BaseModel]) -> None:
    """Print a command's help; it fits the terminal."""
    width = min(shutil.get_terminal_size().columns, WIDEST)
    sections = list(settings_of(model))
    arguments = [setting for _, _, settings in sections for setting in settings if setting.is_argument]
    usage = " ".join(one.name if one.is_required else f"[{one.name}]" for one in arguments)
    show(f"usage: antipode {name}{' ' + usage if usage else ''} [SETTINGS]\n")
    show(textwrap.fill(" ".join((model.__doc__ or "").split()), width))
    show("\nexamples:")
    for command, purpose in EXAMPLES.get(name, ()):
        line = f"  antipode {name}{' ' + command if command else ''}"
        show(f"{line:<{width // 2}}  # {purpose}" if len(line) <= width // 2 else f"{line}\n      # {purpose}")
    for section, about, settings in sections:
        head = f"{section} ({about.rstrip('.')})" if about else section
        show("\n" + textwrap.fill(f"{head}:", width))
        for setting in settings:
            _show(setting, width)


def settings_of(model: type[BaseModel]) -> Iterator[tuple[str, str, list[Setting]]]:
    """What a command takes, by section: its name, what it is about, its settings; those without a name before first."""
    if arguments := [
        _setting(name.upper(), field, is_argument=True)
        for name, field in model.model_fields.items()
        if _is_argument(field)
    ]:
        yield "arguments", "", arguments
    for prefix, section, fields in _sections(model, ""):
        about = " ".join((section.__doc__ or "").split()) if prefix else ""
        settings = [_setting(f"--{prefix}{name}", field, is_argument=False) for name, field in fields]
        yield prefix.rstrip(".") or "settings", about, settings


def argument_names(model: type[BaseModel]) -> list[str]:
    """What is given without a name before it."""
    return [name for name, field in model.model_fields.items() if _is_argument(field)]


def type_in_words(annotation: Any) -> str:
    """What may be given: WHOLE NUMBER, TEXT, A,B,… of a list, a|b of a choice; JSON of what has names of its own."""
    kinds = [kind for kind in _kinds(annotation) if kind is not type(None)]
    kind = kinds[0]
    origin = get_origin(kind)
    if origin is Literal:
        return "|".join(str(choice.value if isinstance(choice, Enum) else choice) for choice in get_args(kind))
    if origin in (tuple, list):
        one = type_in_words(get_args(kind)[0])
        return f"{one},…"
    if origin is dict:
        return "JSON"
    return WORDS.get(kind, "TEXT")


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """The types of a union, without what is annotated to them."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        return tuple(kind for part in get_args(annotation) for kind in _kinds(part))
    return (annotation,)


def _sections(
    model: type[BaseModel], prefix: str
) -> Iterator[tuple[str, type[BaseModel], list[tuple[str, FieldInfo]]]]:
    """A model's own settings, then those of each section in it."""
    own, below = [], []
    for name, field in model.model_fields.items():
        section = next((kind for kind in _kinds(field.annotation) if _is_section(kind)), None)
        if section is not None:
            below.append((f"{prefix}{name}.", section))
        elif not _is_argument(field):
            own.append((_option(name, field), field))
    if own:
        yield prefix, model, own
    for name, section in below:
        yield from _sections(section, name)


def _is_section(kind: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _is_argument(field: FieldInfo) -> bool:
    return ARGUMENT in field.metadata


def _option(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else name


def _setting(name: str, field: FieldInfo, *, is_argument: bool) -> Setting:
    is_switch = _kinds(field.annotation)[0] is bool
    kind = "" if is_switch else type_in_words(field.annotation)
    default = _default_words(name, field, is_switch=is_switch)
    return Setting(name, kind, field.description or "", default, field.is_required(), is_argument)


def _show(setting: Setting, width: int) -> None:
    has_kind = setting.kind and (not setting.is_argument or "|" in setting.kind)
    head = " " * INDENT + setting.name + (f" {setting.kind}" if has_kind else "")
    default = f" (on unless {setting.default})" if not setting.kind else f" (default: {setting.default})"
    about = f"{setting.about}{default if setting.default else ''}"
    column = min(COLUMN, width // 3)
    lines = textwrap.wrap(about, max(width - column, 20), break_long_words=False, break_on_hyphens=False)
    if len(head) < column and lines:
        show(f"{head:<{column}}{lines.pop(0)}")
    else:
        show(textwrap.fill(head.replace("|", "| "), width, subsequent_indent=" " * (column + 2)).replace("| ", "|"))
    for line in lines:
        show(" " * column + line)


def _default_words(name: str, field: FieldInfo, *, is_switch: bool) -> str:
    """The default as it would be given; of a switch that is on, what turns it off."""
    if field.is_required():
        return ""
    default = field.get_default(call_default_factory=False)
    if is_switch:
        return f"--no-{name.removeprefix('--')}" if default else ""
    if default is None or default in ((), "", {}):
        return ""
    return ",".join(map(str, default)) if isinstance(default, tuple) else f"{default}"
