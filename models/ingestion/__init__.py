"""Ingestion: a source (file, local or hub data set) in, rows with prompts and responses out. Stores nothing."""

from models.ingestion.formats import SOURCE_FORMATS, SourceFormat
from models.ingestion.rows import SourceError
from models.ingestion.source import SourceReader, read_source

__all__ = ["SOURCE_FORMATS", "SourceError", "SourceFormat", "SourceReader", "read_source"]
