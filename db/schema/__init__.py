"""Tables, their natural keys, and views. SQL only: no engine, no model, no file. Importing it loads every table."""

from db.schema import counts, curation, labels, policies, studies, teams, tidying

__all__ = ["counts", "curation", "labels", "policies", "studies", "teams", "tidying"]
