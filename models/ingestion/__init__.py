"""Ingestion: a source (file, local or hub data set) in, rows with prompts and responses out. Stores nothing."""

from models.ingestion.formats import FORMATS, SOURCE_FORMATS, Columns, SourceFormat, Survey
from models.ingestion.rows import SourceError
from models.ingestion.source import SourceReader, is_asked_of_the_hub, read_source, survey_source

__all__ = [
    "FORMATS",
    "SOURCE_FORMATS",
    "Columns",
    "SourceError",
    "SourceFormat",
    "SourceReader",
    "Survey",
    "is_asked_of_the_hub",
    "read_source",
    "survey_source",
]
