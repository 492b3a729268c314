"""What a snapshot's card says, of what is stored: how its pairs were selected and labelled. Sessions first, no commit.

Models' licences are no part of it: a hub knows them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from db import runs
from db.engine import Session
from db.labels import judgements, labelling, snapshot_facts, snapshots
from models.exchange.card import Agreement, AnnotatorUse, ModelUse, SnapshotFacts, shown_model
from models.labelling.records import PairKey
from models.quality.quality import label_quality
from models.quality.records import AnnotatorJudgement, LabelledPair

_GENERATION = (
    "backend", "models", "when", "responses_per_prompt", "temperature", "top_p", "max_tokens", "stop", "system_prompt",
    "template_arguments",
)  # fmt: skip
_EMBEDDING = ("backend", "model", "context", "has_thoughts", "max_tokens")


def card_facts(session: Session, snapshot_id: int) -> SnapshotFacts:
    """All that a snapshot's card says; models by the names they were used by, without licences.

    Raises:
        LookupError: If there is no such snapshot.
    """
    info = snapshots.snapshot_info(session, snapshot_id)
    counts = snapshot_facts.count_rows(session, snapshot_id)
    query = dict(snapshots.snapshot_query(session, snapshot_id))
    if "annotators" in query:
        query["annotators"] = len(query["annotators"]) or "all"  # people's names stay here
    records = [runs.get_run(session, run_id) for run_id in counts.run_ids]
    annotators, agreement = _labels(session, snapshot_id, counts.run_ids, query.get("strategies") or ())
    return SnapshotFacts(
        name=info.name,
        content_hash=info.content_hash,
        made_on=info.created_at.date().isoformat(),
        row_count=info.row_count,
        query=query,
        code_versions=sorted({record.code_version for record in records}),
        strategies=counts.strategies,
        splits=counts.splits,
        models=[ModelUse(name, chosen, rejected) for name, (chosen, rejected) in counts.models.items()],
        sources=counts.sources,
        cut=counts.cut,
        support=counts.support,
        settings={record.id: _settings(record.config) for record in records},
        annotators=annotators,
        agreement=agreement,
    )


def _labels(
    session: Session, snapshot_id: int, run_ids: tuple[int, ...], strategies: tuple[str, ...]
) -> tuple[list[AnnotatorUse], Agreement]:
    """Who labelled the pairs of the runs before the snapshot was taken, and how far they agree."""
    pairs: dict[PairKey, LabelledPair] = {}
    for run_id in run_ids:
        pairs |= {pair.pair: pair for pair in labelling.labelled_pairs(session, run_id, strategies=strategies)}
    found = snapshot_facts.judgements_before(session, snapshot_id, list(pairs))
    annotators = judgements.annotators(session, {judgement.annotator_id for judgement in found})
    quality = label_quality(list(pairs.values()), found, list(annotators.values()), bins=1, suspect_count=0)
    alpha = quality.alpha
    names = {
        id_: (one.kind, None if one.kind == "person" else shown_model(one.name)) for id_, one in annotators.items()
    }
    return _uses(found, names), Agreement(alpha.value, alpha.low, alpha.high, quality.labelled_count)


def _uses(found: list[AnnotatorJudgement], names: Mapping[int, tuple[str, str | None]]) -> list[AnnotatorUse]:
    counts: Counter[tuple[str, str | None]] = Counter(names[one.annotator_id] for one in found)
    how_many = Counter(names.values())
    ordered = sorted(counts, key=lambda use: (use[0], use[1] or ""))
    return [AnnotatorUse(kind, name, how_many[kind, name], counts[kind, name]) for kind, name in ordered]


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """How a curation run selected, embedded and generated; nothing of servers and folders."""
    chosen: dict[str, Any] = {}
    for section, names in (("select", None), ("embed", _EMBEDDING), ("generate", _GENERATION)):
        values = config.get(section) or {}
        chosen |= {f"{section}.{name}": values[name] for name in names or values if name in values}
    if chosen.get("generate.when") == "never":  # by the other settings nothing was sampled
        chosen = {name: value for name, value in chosen.items() if name == "generate.when" or "generate." not in name}
    chosen |= {"model.name": (config.get("model") or {}).get("name") or None, "seed": config.get("seed")}
    for name in ("model.name", "embed.model"):
        if chosen.get(name):
            chosen[name] = shown_model(chosen[name])
    if models := chosen.get("generate.models"):
        chosen["generate.models"] = [shown_model(model) for model in models]
    return {name: value for name, value in chosen.items() if value is not None}
