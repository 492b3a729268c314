"""Labels that were made elsewhere: checked row by row, stored, or refused with a reason. Knows no Prefect."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from db.engine import Session, batches
from db.labels import judgements, labelling, leases, preferences, queues
from models.exchange import ImportedJudgement
from models.exchange.label_files import LabelFormat, read_labels
from models.labelling import as_judgement
from models.labelling.records import AnnotatorIdentity, Judgement, Opinion, PairKey
from models.records import RejectedRow
from tasks.curation.ingestion import ROWS_PER_TRANSACTION
from tasks.database import open_database
from tasks.labels.people import person
from tasks.rejects import Rejects, rejects_path
from tasks.settings import Settings

MOST_REASONS = 3
OTHER_REASONS = "other reasons"


@dataclass(frozen=True, slots=True)
class LabelImport:
    """The result of an import of labels. `run_id`: the newest run whose pairs got labels, None where none did."""

    rows: int
    added: int
    rejected: int
    rejects_path: Path | None
    rejects_kept: int
    by_annotator: dict[str, int]
    reasons: dict[str, int]
    run_id: int | None


def import_labels(path: Path, format: LabelFormat | None, settings: Settings) -> LabelImport:
    """Read a file of labels into the database; the annotators in it are people.

    A row is refused if its pair or its verdict is unknown, or its annotator has judged the pair already.

    Raises:
        SourceError: If the file cannot be read at all.
    """
    row_count = added = 0
    by_annotator: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    run_ids: list[int] = []
    rows = read_labels(path, format)
    with path.open("rb") as file:
        content_hash = hashlib.file_digest(file, "sha256").hexdigest()
    place = rejects_path(path.name.split(".")[0], content_hash, settings)
    with open_database(settings) as sessions, Rejects(place) as rejects:
        for batch in batches(rows, ROWS_PER_TRANSACTION):
            row_count += len(batch)
            with sessions.begin() as session:
                # Before anything is read: another import, or the page, may be about to store the same labels.
                leases.take_turn(session)
                judgements.take_turn_of_judgements(session)
                checker = _Checker(session, [row for row in batch if isinstance(row, ImportedJudgement)])
                for row in batch:
                    checked = row if isinstance(row, RejectedRow) else checker.check(row)
                    if isinstance(checked, RejectedRow):
                        rejects.write(checked)
                        is_named = checked.reason in reasons or len(reasons) < MOST_REASONS
                        reasons[checked.reason if is_named else OTHER_REASONS] += 1
                for identity, new_judgements in checker.accepted.items():
                    annotator_id = judgements.add_annotator(session, identity)
                    count = judgements.add_judgements(session, annotator_id, new_judgements)
                    by_annotator[identity.name] += count
                    added += count
                preferences.recompute(session, checker.pairs)
                queues.labels_came(session, checker.pairs)
                newest = labelling.newest_run_of(session, checker.pairs)
                run_ids += [] if newest is None else [newest]
    return LabelImport(
        rows=row_count,
        added=added,
        rejected=rejects.count,
        rejects_path=rejects.path,
        rejects_kept=rejects.kept,
        by_annotator=dict(by_annotator),
        reasons=dict(reasons),
        run_id=max(run_ids, default=None),
    )


class _Checker:
    """Checks the rows of a batch against the database and against each other."""

    def __init__(self, session: Session, rows: list[ImportedJudgement]) -> None:
        self._by_id = labelling.find_pairs(session, sorted({row.pair_id for row in rows if row.pair_id is not None}))
        named_pairs = {pair for row in rows if (pair := _named_pair(row)) is not None}
        self._selected = labelling.selected_among(session, sorted(named_pairs)) | set(self._by_id.values())
        self._judged: set[tuple[AnnotatorIdentity, PairKey]] = set()
        for name in {row.annotator for row in rows}:
            annotator_id = judgements.find_person(session, person(name).name)
            if annotator_id is not None:
                showings = judgements.judged_showings(session, annotator_id, sorted(self._selected))
                self._judged |= {(person(name), pair) for pair, _ in showings}
        self.accepted: dict[AnnotatorIdentity, list[Judgement]] = {}

    @property
    def pairs(self) -> list[PairKey]:
        """The pairs that have new judgements."""
        return [judgement.pair for new_judgements in self.accepted.values() for judgement in new_judgements]

    def check(self, row: ImportedJudgement) -> RejectedRow | None:
        """Accept a row, or say why not."""
        try:
            identity = person(row.annotator)
            judgement = self._judgement(row)
            if (identity, judgement.pair) in self._judged:
                raise ValueError(f"{identity.name} has judged this pair already")
        except ValueError as error:
            return RejectedRow(row.row_number, str(error), json.dumps(asdict(row), ensure_ascii=False))
        self._judged.add((identity, judgement.pair))
        self.accepted.setdefault(identity, []).append(judgement)
        return None

    def _judgement(self, row: ImportedJudgement) -> Judgement:
        named_pair = _named_pair(row)
        pair = named_pair if row.pair_id is None else self._by_id.get(row.pair_id)
        if pair is None:
            fault = "no pair is named" if row.pair_id is None else f"there is no pair {row.pair_id}"
            raise ValueError(f"{fault}; give a pair_id as `antipode pairs` shows it, or both response ids")
        if pair not in self._selected:
            raise ValueError(f"no run has selected the responses {pair[0]} and {pair[1]} as a pair")
        if named_pair is not None and named_pair != pair:
            raise ValueError(
                f"pair {row.pair_id} is of the responses {pair[0]} and {pair[1]}, "
                f"not {named_pair[0]} and {named_pair[1]}"
            )
        left = row.left_response_id if row.left_response_id is not None else pair.first_response_id
        match row.verdict:
            case "first" | "second" as verdict:
                return Judgement(pair, left, verdict, rationale=row.rationale, seconds=row.seconds)
            case shown:
                return as_judgement(pair, left, Opinion(shown, rationale=row.rationale), seconds=row.seconds)


def _named_pair(row: ImportedJudgement) -> PairKey | None:
    """The pair of the two response ids, if both are given and differ."""
    ids = (row.left_response_id, row.right_response_id)
    if ids[0] is None or ids[1] is None or ids[0] == ids[1]:
        return None
    return PairKey(min(ids[0], ids[1]), max(ids[0], ids[1]))
