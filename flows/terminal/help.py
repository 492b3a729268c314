"""What `antipode COMMAND --help` prints: examples, arguments, settings by section, each with its type in words."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo
from pydantic_settings import CliPositionalArg

from flows.terminal.examples import EXAMPLES
from flows.terminal.pager import paged
from tasks.terminal import show

ARGUMENT = get_args(CliPositionalArg[str])[1]  # what marks an argument that has no name before it
INDENT, COLUMN, WIDEST = 2, 30, 110
WORDS: dict[object, str] = {int: "WHOLE NUMBER", float: "NUMBER", str: "TEXT", Path: "PATH"}


@paged()
def show_help(name: str, model: type[BaseModel]) -> None:
    """Print a command's help; it fits the terminal."""
    width = min(shutil.get_terminal_size().columns, WIDEST)
    arguments = [(field_name.upper(), field) for field_name, field in model.model_fields.items() if _is_argument(field)]
    usage = " ".join(argument if field.is_required() else f"[{argument}]" for argument, field in arguments)
    show(f"usage: antipode {name}{' ' + usage if usage else ''} [SETTINGS]\n")
    show(textwrap.fill(" ".join((model.__doc__ or "").split()), width))
    show("\nexamples:")
    for command, purpose in EXAMPLES.get(name, ()):
        line = f"  antipode {name}{' ' + command if command else ''}"
        show(f"{line:<{width // 2}}  # {purpose}" if len(line) <= width // 2 else f"{line}\n      # {purpose}")
    if arguments:
        show("\narguments:")
        for argument, field in arguments:
            _show_field(argument, field, width, is_argument=True)
    for prefix, section, fields in _sections(model, ""):
        about = f" ({' '.join((section.__doc__ or '').split()).rstrip('.')})" if prefix else ""
        show("\n" + textwrap.fill(f"{prefix.rstrip('.') or 'settings'}{about}:", width))
        for field_name, field in fields:
            _show_field(f"--{prefix}{field_name}", field, width, is_argument=False)


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


def _show_field(name: str, field: FieldInfo, width: int, *, is_argument: bool) -> None:
    is_switch = _kinds(field.annotation)[0] is bool
    type_words = "" if is_switch else type_in_words(field.annotation)
    has_type = type_words and (not is_argument or "|" in type_words)
    head = " " * INDENT + name + (f" {type_words}" if has_type else "")
    about = f"{field.description or ''}{_default_words(name, field, is_switch=is_switch)}"
    column = min(COLUMN, width // 3)
    lines = textwrap.wrap(about, max(width - column, 20), break_long_words=False, break_on_hyphens=False)
    if len(head) < column and lines:
        show(f"{head:<{column}}{lines.pop(0)}")
    else:
        show(textwrap.fill(head.replace("|", "| "), width, subsequent_indent=" " * (column + 2)).replace("| ", "|"))
    for line in lines:
        show(" " * column + line)


def _default_words(name: str, field: FieldInfo, *, is_switch: bool) -> str:
    if field.is_required():
        return ""
    default = field.get_default(call_default_factory=False)
    if is_switch:
        off = f"--no-{name.removeprefix('--')}"
        return f" (on unless {off})" if default else ""
    if default is None or default in ((), "", {}):
        return ""
    value = ",".join(map(str, default)) if isinstance(default, tuple) else f"{default}"
    return f" (default: {value})"
