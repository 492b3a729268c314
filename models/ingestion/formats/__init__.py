"""Formats: what the columns of a row mean. A row that fits becomes an ImportedRow, any other a RejectedRow.

Texts are taken as they are: nothing is trimmed, repaired or deduplicated, and what is changed or left out is noted with
the row. A column that a format does not read is named; one that seems to hold a part of the row is a reason to refuse.
"""

from models.ingestion.formats.columns import Columns, advice
from models.ingestion.formats.records import SOURCE_FORMATS, SourceFormat
from models.ingestion.formats.registry import (
    AS_THEY_ARE,
    FORMATS,
    Survey,
    parse_row,
    parse_rows,
    recognised_format,
    survey,
)

__all__ = [
    "AS_THEY_ARE",
    "FORMATS",
    "SOURCE_FORMATS",
    "Columns",
    "SourceFormat",
    "Survey",
    "advice",
    "parse_row",
    "parse_rows",
    "recognised_format",
    "survey",
]
