"""The settings of an earlier run, for another one like it. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from db import runs
from tasks.config.exchange import PreferencesConfig
from tasks.config.section import RunConfig, Section
from tasks.database import looked_at, open_database
from tasks.run_kinds import ALIGNMENT, ALIGNMENT_IN_ROUNDS, CURATION, LABELLING, STUDY, RunKind
from tasks.settings import Settings

_KINDS: dict[str, RunKind[Any]] = {
    kind.name: kind for kind in (CURATION, LABELLING, ALIGNMENT, ALIGNMENT_IN_ROUNDS, STUDY)
}


@dataclass(frozen=True, slots=True)
class EarlierSettings:
    """A run and its configuration, as it was stored: names whose meaning changes stand for what they meant then."""

    run_id: int
    name: str
    config: RunConfig


def earlier_settings(kind: str, run: str, settings: Settings) -> EarlierSettings:
    """The settings of a run of a kind, given as an id, a name (its newest) or `last`.

    Raises:
        LookupError: If there is none.
    """
    with looked_at(settings) as looked, open_database(looked) as sessions, sessions() as session:
        found = runs.find_of_kind(session, kind, run)
        return EarlierSettings(found.id, found.name, _KINDS[kind].read(found.config))


def taken_over(earlier: RunConfig, given: Mapping[str, Any]) -> dict[str, Any]:
    """What another run takes of an earlier one's settings, as JSON, where these are given for it, as they were typed.

    Left out is what the preset set, for another preset sets its own; the β of another method; the snapshot, where
    preferences are chosen anew; and what nothing reads beside what is given.
    """
    values = earlier.model_dump(mode="json")
    if "preset" in values:
        choices = {name: values[name] for name in ("study", "preset") if name in values}
        _leave_out_equal(values, earlier, type(earlier).model_validate(choices))
    before, now = (_inner(one, "train").get("method") for one in (dict(earlier), given))
    if now not in {None, before}:
        values["train"].pop("beta", None)
    if PreferencesConfig.model_fields.keys() & _inner(given, "data").keys():
        values["data"].pop("snapshot", None)
    for path in (*unread(earlier), *unread(_with(earlier, given))):
        *sections, name = path.split(".")
        holder = values
        for section in sections:
            holder = holder.get(section, {})
        holder.pop(name, None)
    return values


def unread(section: Section, path: str = "") -> Iterator[str]:
    """The settings that nothing reads as the others are, by their names on the command line."""
    yield from (f"{path}{name}" for name in section.unread_names())
    for name in type(section).model_fields:
        if isinstance(inner := getattr(section, name), Section):
            yield from unread(inner, f"{path}{name}.")


def _inner(values: Mapping[str, Any], section: str) -> dict[str, Any]:
    """A section's values; what is none is left to validation."""
    inner = values.get(section)
    return dict(inner) if isinstance(inner, Section | Mapping) else {}


def _leave_out_equal(values: dict[str, Any], section: Section, base: Section, *, is_inner: bool = False) -> None:
    """Leave out of the values of all inner sections what is as in `base`."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Section):
            _leave_out_equal(values[name], value, getattr(base, name), is_inner=True)
        elif is_inner and value == getattr(base, name):
            del values[name]


def _with(section: Section, given: Mapping[str, Any]) -> Section:
    """The section with what is given in its place, not validated: enough to see what is read beside it."""
    changes: dict[str, Any] = {}
    for name in type(section).model_fields.keys() & given.keys():
        before, value = getattr(section, name), given[name]
        if not isinstance(before, Section):
            changes[name] = value
        elif isinstance(value, Mapping):
            changes[name] = _with(before, value)
    return section.model_copy(update=changes)
