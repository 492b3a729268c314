"""Whose files may be there: all that is stored and has some. Sessions first, no commit."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.schema import curation, policies
from db.tidying.forgetting import Forgotten


def owners(session: Session) -> Forgotten:
    """Everything that has files of its own, told as if all of it were to go: its files are named in the same way."""
    source, run, policy, folder = curation.Source, curation.Run, policies.Policy, policies.GuideCheck.folder
    return Forgotten(
        rows={},
        runs=dict(session.execute(select(run.id, run.kind)).tuples().all()),
        policies=dict(session.execute(select(policy.id, policy.key)).tuples().all()),
        sources=[
            (name, content_hash) for name, content_hash in session.execute(select(source.name, source.content_hash))
        ],
        locations=session.scalars(select(source.location).distinct()).all(),
        embedder_keys=session.scalars(select(curation.Embedder.key)).all(),
        guide_folders=[one for one in session.scalars(select(folder).where(folder.is_not(None)).distinct()) if one],
    )
