"""Failures as one line that says what to do. Imports no library that the failing command has not imported."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, TypeGuard, get_args

from models.guesses import guess
from models.records import shortened
from tasks.settings import PREFIX, Settings
from tasks.terminal import printable, show

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

_NOT_TYPED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
COMMAND_LINE_MODEL = "Antipode"
OF_THE_ARGUMENTS = "error parsing CLI: "  # how pydantic-settings begins what argparse says
LONGEST_LINE = 1_000  # a message may repeat what it was given
WORDS = {  # for pydantic's of what was typed
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_parsing": "expected a number",
    "bool_parsing": "expected true or false",
    "missing": "required, but not given",
}
DEBUG_VARIABLE = "ANTIPODE_DEBUG"


def fail(line: str, *, status: int) -> int:
    """Print one line to stderr and return the exit status."""
    show(f"antipode: {line}", file=sys.stderr)
    return status


def argument_line(arguments: Sequence[str]) -> str | None:
    """What is wrong with the first argument that cannot be one: bytes that are not UTF-8, control characters."""
    for number, argument in enumerate(arguments, start=1):
        option = argument.partition("=")[0] if argument.startswith("-") else ""  # argparse prints it as it is
        if _NOT_TYPED.search(argument) or printable(option) != option:
            return f"argument {number} holds a control character, or a byte that is not UTF-8: {argument[:200]!r}"
    return None


def arguments_line(line: str, command: str, model: type[BaseModel]) -> str:
    """What argparse says, with the nearest of the command's settings to the first that it does not know."""
    said = line.removeprefix(OF_THE_ARGUMENTS)
    unknown = re.search(r"^unrecognized arguments:.*?(--[\w.-]+)", said)
    near = guess(unknown[1], ["--help", *_settings(model, "--")]) if unknown else ""
    return f"{said}; {near}{'See' if near else 'see'}: antipode {command} --help"


def list_line(line: str, error: Exception, arguments: Sequence[str]) -> str:
    """A list of numbers that pydantic-settings could not take apart, by its option; else the line.

    It takes for a number what Python does, 1_000 and nan too, and then reads it as JSON, which does not.
    """
    fault = error.__cause__
    if not isinstance(fault, json.JSONDecodeError):
        return line
    given = fault.doc.removeprefix("[").removesuffix("]")
    split = [part for argument in arguments for part in argument.split("=", 1)]
    option = next((name for name, value in pairwise(split) if value == given and name.startswith("--")), "")
    return f"{option and option + ': '}expected a number, or several by commas, got {shortened(repr(given), 200)}"


def _settings(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        section = next((kind for kind in (field.annotation, *get_args(field.annotation)) if _is_section(kind)), None)
        if section is not None:
            yield from _settings(section, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _is_section(kind: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and hasattr(kind, "model_fields")


def validation_line(error: ValidationError, arguments: Collection[str] = ()) -> str:
    """The first fault of a configuration, by the name it has on the command line; `arguments` have none before them."""
    fault = error.errors()[0]
    path = [str(part) for part in fault["loc"]]
    if fault["loc"] and isinstance(fault["loc"][-1], int):
        path.pop()  # an item of a list, which is given as one option
    # In the command line's own model the first part is the command; a configuration made by a command has none.
    name = ".".join(path[1:] if error.title == COMMAND_LINE_MODEL else path)
    message = WORDS.get(fault["type"]) or shortened(fault["msg"].removeprefix("Value error, "), LONGEST_LINE)
    shown = name.upper() if name in arguments else f"--{name}"
    if error.title == Settings.__name__:
        shown = f"{PREFIX}{name.upper()}"
    value = "" if fault["type"] in ("value_error", "missing") else f", got {shortened(repr(fault['input']), 200)}"
    near = _nearest_choice(fault) if fault["type"] == "literal_error" else ""
    return f"{shown + ': ' if name else ''}{message}{value}{'; ' + near.strip() if near else ''}"


def _nearest_choice(fault: ErrorDetails) -> str:
    """Which of the choices a wrong one was probably meant to be; a list has the wrong one in it."""
    given, choices = fault["input"], re.findall(r"'([^']*)'", fault["ctx"]["expected"])
    return guess(given, choices) if isinstance(given, str) else ""


def error_line(error: Exception) -> str:
    """An exception as one line that says what to do; with ANTIPODE_DEBUG=1 it is raised again, with its traceback."""
    if os.environ.get(DEBUG_VARIABLE):
        raise error
    if "sqlalchemy" in sys.modules and (line := _database_line(error)) is not None:
        return line
    if "httpx" in sys.modules and (line := _server_line(error)) is not None:
        return line
    message = (str(error).strip() or type(error).__name__).splitlines()[0]
    is_expected = isinstance(error, (ValueError, LookupError, OSError, RuntimeError))
    return message if is_expected else f"{type(error).__name__}: {message} (traceback: {DEBUG_VARIABLE}=1)"


def _database_line(error: Exception) -> str | None:
    from db.engine import fault_of, unwritable

    fault = fault_of(error)
    if fault is None:
        return None
    reason = shortened(fault.reason, 300)
    if not fault.is_unusable:
        hint = ""
        if "not a database" in reason or "malformed" in reason:
            hint = "; it is broken or something else: check ANTIPODE_DATABASE_URL, or move it away and antipode restore"
        if "prepared statement" in reason:  # of another connection, which a pooler has put in the place of ours
            hint = "; a pooler in front of it must pool sessions (PgBouncer: pool_mode = session); see: antipode doctor"
        return f"database {shown_url(Settings())}: {reason}{hint}"
    hint = "; check ANTIPODE_DATABASE_URL" if "connect" in reason else ""
    if "is full" in reason or "disk I/O" in reason or "No space left" in reason:
        hint = "; make room on its disk, then give the command again"
    if "unable to open" in reason or "readonly" in reason:
        hint = "; its folder must be there and let you write; check ANTIPODE_DATABASE_URL"
        if places := unwritable(Settings().database):
            hint = f"; let this user write to {' and '.join(map(str, places))}"
    return f"database {shown_url(Settings())} cannot be used: {reason}{hint}"


def _server_line(error: Exception) -> str | None:
    """A Prefect server that is gone: engines and judges have failures of their own, which name their server."""
    from httpx import TransportError

    if not isinstance(error, TransportError) or "prefect" not in sys.modules:
        return None
    from prefect.settings import get_current_settings

    from tasks.doctor.database import shown_address

    address = get_current_settings().api.url
    if not address or not str(error.request.url).startswith(address):
        return None
    return (
        f"Prefect's server at {shown_address(address)} does not answer ({error}); what is stored stays: start it, "
        "or name another in PREFECT_API_URL (none: a temporary one), and give the same command again"
    )


def shown_url(settings: Settings) -> str:
    """The database's address without its password."""
    from db import engine

    return engine.shown_url(settings.database)
