"""Forms from configurations: every setting with its kind, default and words; and what was filled in, checked."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from flows.service.kinds import Kind
from models.records import shortened
from tasks.config.section import Section, in_form_order, refuse_in_vain
from web.service import FieldKind, Form, FormField, FormSection, Suggested, Value

LONGEST_LINE = 1_000
# Files of code that a worker would run, or hand to its trainer: named where files are put, not at a page.
NAMED_ELSEWHERE = {"strategy_files", "accelerate_config"}
SUGGESTED: Mapping[str, Suggested] = {
    "source": "files",
    "source.name": "sources",
    "feedback_source": "sources",
    "evaluate.source.name": "sources",
    "run": "runs",
    "pairs.run": "runs",
    "data.run": "runs",
    "model.name": "models",
    "embed.model": "models",
    "against": "models",
    "policy": "policies",
}


def form_of(what: str, kind: Kind) -> Form:
    """The form of a kind of run or action."""
    sections = tuple(_sections(kind.config, "", kind))
    fields = {field.name: field for section in sections for field in section.fields}
    main = tuple(fields[name] for name in kind.main)
    rest = tuple(
        FormSection(section.name, section.words, tuple(one for one in section.fields if one.name not in kind.main))
        for section in sections
    )
    return Form(what, kind.title, kind.words, kind.command, main, tuple(one for one in rest if one.fields))


def config_of(kind: Kind, settings: Mapping[str, Any]) -> Section:
    """What was filled in as a configuration; texts with commas become lists where lists are wanted.

    Raises:
        ValueError: If a setting does not fit, is unknown, or is read by nothing; one line that names it.
    """
    given: dict[str, Any] = {}
    for name, value in _flat(settings):
        _put(given, name, value)
    for name, value in kind.defaults.items():
        _put(given, name, value, is_kept=True)
    try:
        config = kind.config.model_validate(_as_typed(kind.config, given, ""))
    except ValidationError as error:
        fault = error.errors()[0]
        name = ".".join(str(part) for part in fault["loc"])
        message = shortened(fault["msg"].removeprefix("Value error, "), LONGEST_LINE)
        raise ValueError(f"{name}: {message}" if name else message) from error
    refuse_in_vain(config)
    return config


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _put(given: dict[str, Any], name: str, value: Any, *, is_kept: bool = False) -> None:
    """Set what a name with dots means; `is_kept`: only where nothing is there."""
    *path, last = name.split(".")
    for part in path:
        given = given.setdefault(part, {})
        if not isinstance(given, dict):
            raise ValueError(f"{name}: {part} is one setting, not a section")
    if not (is_kept and last in given):
        given[last] = value


def _as_typed(config: type[BaseModel], given: dict[str, Any], prefix: str) -> dict[str, Any]:
    typed = dict(given)
    for name, value in given.items():
        field = config.model_fields.get(name)
        if name in NAMED_ELSEWHERE:
            raise ValueError(f"{prefix}{name}: it names code that is run; give it on the command line")
        if field is None:
            continue
        section = _section_of(field)
        if section is not None and not isinstance(value, dict):
            raise ValueError(f"{prefix}{name}: it is a section; give its settings by their whole names")
        if section is not None:
            typed[name] = _as_typed(section, value, f"{prefix}{name}.")
        elif isinstance(value, str) and _kind(field) == "several":
            typed[name] = _list_of(field, value)
    return typed


def _list_of(field: FieldInfo, value: str) -> Any:
    """A list that was given as a text, or what else was given as JSON."""
    if get_origin(_plain(field.annotation)) is tuple and not value.startswith("["):
        return [part.strip() for part in value.split(",") if part.strip()]
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"expected JSON, got {shortened(value, 60)!r}") from error


def _sections(config: type[BaseModel], prefix: str, kind: Kind) -> Iterator[FormSection]:
    """The section's own settings, then those of the sections in it."""
    inner: list[tuple[str, type[Section], str]] = []
    own: list[FormField] = []
    for name in in_form_order(config.model_fields):
        field = config.model_fields[name]
        if name in NAMED_ELSEWHERE:
            continue
        section = _section_of(field)
        if section is not None:
            inner.append((name, section, field.description or ""))
        else:
            own.append(_form_field(prefix + name, field, kind))
    yield FormSection(prefix.rstrip("."), "", tuple(own))
    for name, section, words in inner:
        for index, found in enumerate(_sections(section, f"{prefix}{name}.", kind)):
            yield FormSection(found.name, words, found.fields) if index == 0 else found


def _form_field(name: str, field: FieldInfo, kind: Kind) -> FormField:
    shown = _kind(field)
    default = None if field.is_required() else kind.defaults.get(name, field.default)
    bounds = {type(mark): mark for mark in field.metadata}
    low, high = bounds.get(Ge), bounds.get(Le)
    return FormField(
        name=name,
        kind=shown,
        default=_shown_default(field, default),
        words=field.description or "",
        choices=_choices(field),
        suggested=SUGGESTED.get(name),
        low=low.ge if isinstance(low, Ge) and isinstance(low.ge, int | float) else None,
        high=high.le if isinstance(high, Le) and isinstance(high.le, int | float) else None,
    )


def _shown_default(field: FieldInfo, default: Any) -> Value:
    if isinstance(default, tuple):
        return ", ".join(map(str, default))
    if isinstance(default, dict):
        return json.dumps(default)
    shown: Value = TypeAdapter(Any).dump_python(default, mode="json")
    return shown


def _kind(field: FieldInfo) -> FieldKind:
    plain = _plain(field.annotation)
    if _choices(field):
        return "choice"
    if plain is bool:
        return "switch"
    if plain is int:
        return "whole"
    if plain is float:
        return "number"
    return "text" if plain is str else "several"


def _choices(field: FieldInfo) -> tuple[str, ...]:
    plain = _plain(field.annotation)
    return tuple(_literals(plain)) if get_origin(plain) in {Literal, Union, types.UnionType} else ()


def _literals(annotation: Any) -> Iterator[str]:
    """The texts of a literal, or of literals that are one of several."""
    for part in get_args(annotation):
        if isinstance(part, str):
            yield part
        else:
            yield from _literals(part)


def _plain(annotation: Any) -> Any:
    """A type without `None` and without its annotations."""
    if hasattr(annotation, "__metadata__"):
        return _plain(annotation.__origin__)
    if get_origin(annotation) in {Union, types.UnionType}:
        parts = [part for part in get_args(annotation) if part is not type(None)]
        return _plain(parts[0]) if len(parts) == 1 else annotation
    return annotation


def _section_of(field: FieldInfo) -> type[Section] | None:
    plain = _plain(field.annotation)
    return plain if isinstance(plain, type) and issubclass(plain, Section) else None
