"""What reaches a terminal: texts of data and of names, with what would move, hide or colour it shown as an escape.

A prompt that begins with ESC ] 0 ; names the window, one with U+202E reads backwards. Every line that is printed goes
through `show`, every table and bar through `tasks.console`, and every line of a log, every warning and every traceback
through what `guard_logs` sets up.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
import warnings
from types import TracebackType
from typing import Any, TextIO

from models.names import UNPRINTABLE


def printable(text: str) -> str:
    r"""The text with every such character in JSON's way of writing it, `\u001b`: JSON stays the JSON it was."""
    return UNPRINTABLE.sub(lambda match: json.dumps(match[0])[1:-1], text)


def show(line: str = "", *, end: str = "\n", file: TextIO | None = None, flush: bool = False) -> None:
    """Print a line to stdout, or to `file`; what its encoding lacks is escaped too."""
    stream = file or sys.stdout
    encoding = stream.encoding or "utf-8"
    text = printable(line).encode(encoding, "backslashreplace").decode(encoding)
    print(text, end=end, file=stream, flush=flush)


class EscapingStream:
    """A stream to write to, which passes on what is printable."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text, escaped."""
        show(text, end="", file=self._stream)
        return len(text)


def guard_logs() -> None:
    """Let all that this process logs, warns of or dies of from now on be printable, its traceback too."""
    sys.excepthook = _show_traceback
    factory = logging.getLogRecordFactory()
    if factory is not _guarded_record:
        global _factory  # noqa: PLW0603
        _factory = factory
        logging.setLogRecordFactory(_guarded_record)
    if warnings.formatwarning is not _guarded_warning:
        global _format_warning  # noqa: PLW0603
        _format_warning = warnings.formatwarning
        warnings.formatwarning = _guarded_warning


_factory = logging.getLogRecordFactory()
_format_warning = warnings.formatwarning


def _guarded_warning(*arguments: Any, **named: Any) -> str:
    return printable(_format_warning(*arguments, **named))


def _show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    show("".join(traceback.format_exception(kind, error, trace)), end="", file=sys.stderr)


def _guarded_record(*arguments: Any, **named: Any) -> logging.LogRecord:
    record = _factory(*arguments, **named)
    try:
        message = record.getMessage()
    except (TypeError, ValueError, KeyError):  # arguments that do not fit: the handler says so
        return record
    if (safe := printable(message)) != message:
        record.msg, record.args = safe, ()
    if record.exc_info and record.exc_info[0] is not None:
        record.exc_text = printable(logging.Formatter().formatException(record.exc_info))
    return record
