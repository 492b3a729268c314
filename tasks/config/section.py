"""What every group of settings is: frozen, strict, and shown by the Prefect UI in a person's order.

A field decides what comes out, unless its type says `Pace`: then it decides only how fast, and an unfinished run is
taken up whatever its value was. `Consent`: it decides whether a run that was stopped may go on, and no key knows of it.
`Added`: versions before did not have it, and no key knows of it where it is not set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from models.chat.secrets import plain_address
from models.names import on_one_line
from models.records import MAX_ID, STRATEGY_PATTERN, UNSTORABLE, Strategy, content_key, shortened

LONGEST_NAME = 200  # characters, of what is stored by a name that the user gave

Value = TypeVar("Value")


class _Pace:
    """Marks a field that decides how fast a run goes and what it may take, not what comes out."""


class _Consent:
    """Marks a field that lets a run go on where it would stop; it changes nothing of what comes out."""


class _Added:
    """Marks a field that versions before did not have: at its default, keys are what they were."""


def _named_like_a_strategy(name: str) -> str:
    if not re.fullmatch(STRATEGY_PATTERN, name):
        raise ValueError(
            f"expected the name of a strategy: a letter, then letters, digits, _ . or -, got {shortened(name, 60)!r}"
        )
    return name


Pace = Annotated[Value, _Pace()]
Consent = Annotated[Value, _Consent()]
Added = Annotated[Value, _Added()]
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME), AfterValidator(on_one_line)]
# Any name: what runs stored may be of a package that is no longer there. Who selects says which names there are.
StrategyName = Annotated[Strategy, AfterValidator(_named_like_a_strategy)]
ServerAddress = Annotated[str, AfterValidator(plain_address)]

FIRST_IN_FORM = ("study", "name", "source", "pairs", "annotator", "preset", "golden")
_WAYS_OF_A_SERVER = ("token_limit", "sends_seed", "system_role", "extra_body", "mode", "batch_discount", "batch_poll_s")
LAST_IN_FORM = (*_WAYS_OF_A_SERVER, "seed")


def in_form_order(names: Iterable[str]) -> list[str]:
    """The settings of a section as people read them: what a person sets first, a server's ways and the seed last."""
    order = (*FIRST_IN_FORM, None, *LAST_IN_FORM)
    rank = {name: at for at, name in enumerate(order)}
    return sorted(names, key=lambda name: rank.get(name, rank[None]))


def _in_order(schema: dict[str, Any]) -> None:
    """The Prefect UI shows a form's fields by their position."""
    for position, name in enumerate(in_form_order(schema.get("properties", {}))):
        schema["properties"][name]["position"] = position


class Section(BaseModel):
    """A frozen group of settings; an unknown name is refused."""

    # What was refused may hold a secret: the address of a server, say.
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True, json_schema_extra=_in_order
    )

    @field_validator("*")
    @classmethod
    def _can_be_stored(cls, value: Any) -> Any:
        """Refuse what no database holds, and a log or a file not either."""
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and UNSTORABLE.search(text):
                raise ValueError(f"expected a text without NUL and bytes that are not UTF-8, got {text!r}")
            if isinstance(text, int) and abs(text) > MAX_ID:
                raise ValueError(f"expected a number that a database holds, at most {MAX_ID}, got {text}")
        return value

    def in_vain(self) -> str:
        """What is set here and read by nothing, as a line that says what to do; empty where nothing is.

        Asked of settings that somebody gives, never of stored ones: a default that has changed since would make them
        so, and what was stored could not be read any more.
        """
        return ""

    def unread_names(self) -> Sequence[str]:
        """The settings that nothing reads as the others are, set or not; a run like an earlier one drops them."""
        return ()

    def without_pace(self) -> Self:
        """The settings that decide what comes out: every field of pace at its default."""
        changes: dict[str, object] = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, Section):
                changes[name] = value.without_pace()
            elif any(isinstance(mark, _Pace) for mark in field.metadata):
                changes[name] = field.get_default()
        return self.model_copy(update=changes)


def refuse_in_vain(config: BaseModel) -> None:
    """Refuse settings that nothing reads, in any section.

    Raises:
        ValueError: It says which they are and what to do.
    """
    if isinstance(config, Section) and (fault := config.in_vain()):
        raise ValueError(fault)
    for name in type(config).model_fields:
        if isinstance(section := getattr(config, name), Section):
            refuse_in_vain(section)


def set_over(preset: dict[str, Any], given: Any) -> Any:
    """What somebody set of a section, over a preset's settings; what is no section is left to validation."""
    if isinstance(given, Section):
        given = given.model_dump(exclude_unset=True)
    return preset | given if isinstance(given, dict) else given


class RunConfig(Section):
    """The configuration of a run, which is stored with it."""

    key_prefix: ClassVar[tuple[str, ...]] = ()

    def key_settings(self) -> dict[str, Any]:
        """The settings as the key has them."""
        return _without_consent(self)

    @property
    def key(self) -> str:
        """Content hash of what decides the result: an unfinished run of the same key is the same run."""
        return self.stored_keys()[0]

    def stored_keys(self, *data: object) -> tuple[str, ...]:
        """The key, and those of earlier versions: before 0.2 it was of the run's pace too.

        Args:
            data: What the run reads beside the database, as JSON.
        """
        of = (config.key_settings() for config in (self.without_pace(), self))
        key, old_key = (content_key(*self.key_prefix, settings, *data) for settings in of)
        return key, old_key


def _without_consent(section: Section) -> dict[str, Any]:
    """The settings as JSON, without those that only let a run go on, and what was added since and is not set."""
    values = section.model_dump(mode="json")
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if any(isinstance(mark, _Consent) for mark in field.metadata) or (
            value == field.get_default() and any(isinstance(mark, _Added) for mark in field.metadata)
        ):
            del values[name]
        elif isinstance(value, Section):
            values[name] = _without_consent(value)
    return values
