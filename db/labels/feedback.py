"""What people said of single responses: a yes or no that was imported with them. Sessions first, no commit."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import batches
from db.labels.snapshots import BATCH, splits_of
from db.prompts import prompt_from_json
from db.schema import curation
from models.exchange import UnpairedRow
from models.guesses import guess
from models.thoughts import composed


def feedback_rows(session: Session, source: str | None, *, has_thoughts: bool) -> Iterator[UnpairedRow]:
    """Stream the responses with a yes or no, by prompt: those that an imported source brought, or all of them.

    With `has_thoughts` the text is thought and answer as one, else the answer.

    Raises:
        LookupError: There is no source of this name.
    """
    response, generator, prompt = curation.Response, curation.Generator, curation.Prompt
    query = (
        select(prompt.id, prompt.messages, response.id, response.text, response.thought, response.is_desirable,
               response.is_cut, generator.model)
        .join(prompt, prompt.id == response.prompt_id)
        .join(generator, generator.id == response.generator_id)
        .where(response.is_desirable.is_not(None))
        .order_by(prompt.id, response.id)
    )  # fmt: skip
    if source is not None:
        source_ids = session.scalars(select(curation.Source.id).filter_by(name=source)).all()
        if not source_ids:
            near = guess(source, session.scalars(select(curation.Source.name).distinct()))
            advice = f"{near}{'Import' if near else 'import'} it, or leave --feedback_source out"
            raise LookupError(f"there is no source {source!r}; {advice}")
        brought = select(curation.SourceResponse.response_id).where(curation.SourceResponse.source_id.in_(source_ids))
        query = query.where(response.id.in_(brought))
    for batch in batches(session.execute(query, execution_options={"yield_per": BATCH}), BATCH):
        splits = splits_of(session, {row[0] for row in batch})
        for prompt_id, messages, response_id, text, thought, is_desirable, is_cut, model in batch:
            yield UnpairedRow(
                prompt=prompt_from_json(messages),
                text=composed(thought, text) if has_thoughts else text,
                is_desirable=is_desirable,
                prompt_id=prompt_id,
                response_id=response_id,
                model=model,
                split=splits.get(prompt_id),
                is_cut=is_cut,
            )
