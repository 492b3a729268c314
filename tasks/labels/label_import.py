"""Labels that were made elsewhere: checked row by row, stored, or refused with a reason. Knows no Prefect."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from db.engine import Session, batches
from db.labels import judgements, labelling, leases, preferences, queues
from models.exchange import ImportedJudgement
from models.exchange.label_files import LabelFormat, read_labels
from models.labelling import as_judgement
from models.labelling.records import AnnotatorIdentity, Judgement, Opinion, PairKey, person
from models.records import RejectedRow
from tasks.database import open_database
from tasks.rejects import Rejects, rejects_path
from tasks.settings import Settings

ROWS_PER_TRANSACTION = 5_000  # a tenth of a second with the turn; what each transaction costs by itself counts less
MOST_REASONS = 3
OTHER_REASONS = "other reasons"

RowOutcome = Literal["added", "corrected", "unchanged", "outdated", "unselected"]


@dataclass(frozen=True, slots=True)
class LabelImport:
    """The result of an import of labels; every row counts as one of `added` … `rejected`.

    `corrected`: took the place of an older label of the same annotator on the same pair, in the file or stored;
    `unchanged`: says what is stored; `outdated`: older than what is stored, which stays;
    `unselected`: one of the pairs that a ranking stands for, which no run has selected. `run_id`: the newest run whose
    pairs got labels, None where none did. `part`: what of the file was read, where it holds more.
    """

    rows: int
    added: int
    corrected: int
    unchanged: int
    outdated: int
    unselected: int
    rejected: int
    rejects_path: Path | None
    rejects_kept: int
    by_annotator: dict[str, int]
    reasons: dict[str, int]
    run_id: int | None
    part: str | None = None


def import_labels(path: Path, format: LabelFormat | None, settings: Settings) -> LabelImport:
    """Read a file of labels into the database; the annotators in it are people.

    A row is refused if its pair or its verdict is unknown. Of an annotator's labels on a pair the newest counts, by the
    times that the tool wrote, within a file and over all imports and the labelling page; a label without a time is as
    old as its file, the later row the newer. Snapshots that were taken stay as they are.

    Raises:
        SourceError: If the file cannot be read at all.
    """
    rows = read_labels(path, format)
    tally = _Tally()
    written_at = min(datetime.fromtimestamp(path.stat().st_mtime, UTC), datetime.now(UTC))
    from_file: set[tuple[AnnotatorIdentity, PairKey]] = set()
    with path.open("rb") as file:
        content_hash = hashlib.file_digest(file, "sha256").hexdigest()
    place = rejects_path(path.name.split(".")[0], content_hash, settings)
    with open_database(settings) as sessions, Rejects(place) as rejects:
        for batch in batches(rows, ROWS_PER_TRANSACTION):
            with sessions.begin() as session:
                # Before anything is read: another import, or the page, may be about to store the same labels.
                leases.take_turn(session)
                judgements.take_turn_of_judgements(session)
                imported = [row for row in batch if isinstance(row, ImportedJudgement)]
                checker = _Checker(session, imported, written_at, from_file)
                for row in batch:
                    checked = row if isinstance(row, RejectedRow) else checker.check(row)
                    if isinstance(checked, RejectedRow):
                        rejects.write(checked)
                    tally.count(checked)
                tally.by_annotator += checker.store()
                preferences.recompute(session, checker.stored_pairs)
                queues.labels_came(session, checker.pairs)
                tally.newest_run(labelling.newest_run_of(session, checker.pairs))
    return replace(tally.result(rejects), part=rows.part)


class _Tally:
    """What has become of the rows so far."""

    def __init__(self) -> None:
        self.by_annotator: Counter[str] = Counter()
        self._by_outcome: Counter[RowOutcome] = Counter()
        self._reasons: Counter[str] = Counter()
        self._run_id: int | None = None

    def count(self, checked: RowOutcome | RejectedRow) -> None:
        """Count a row; of the reasons to refuse one the first few are named."""
        if not isinstance(checked, RejectedRow):
            self._by_outcome[checked] += 1
            return
        is_named = checked.reason in self._reasons or len(self._reasons) < MOST_REASONS
        self._reasons[checked.reason if is_named else OTHER_REASONS] += 1

    def newest_run(self, run_id: int | None) -> None:
        """Remember a run whose pairs got labels, if it is the newest so far."""
        self._run_id = max((one for one in (self._run_id, run_id) if one is not None), default=None)

    def result(self, rejects: Rejects) -> LabelImport:
        """All of it."""
        return LabelImport(
            rows=self._by_outcome.total() + rejects.count,
            added=self._by_outcome["added"],
            corrected=self._by_outcome["corrected"],
            unchanged=self._by_outcome["unchanged"],
            outdated=self._by_outcome["outdated"],
            unselected=self._by_outcome["unselected"],
            rejected=rejects.count,
            rejects_path=rejects.path,
            rejects_kept=rejects.kept,
            by_annotator=dict(self.by_annotator),
            reasons=dict(self._reasons),
            run_id=self._run_id,
        )


class _Checker:
    """Checks the rows of a batch against the database and against each other, and stores what counts.

    Args:
        session: the transaction.
        rows: the batch.
        written_at: when the file was written, for rows that do not say when they were judged.
        from_file: whose label on which pair is this file's; grows by those of this batch.
    """

    def __init__(
        self,
        session: Session,
        rows: list[ImportedJudgement],
        written_at: datetime,
        from_file: set[tuple[AnnotatorIdentity, PairKey]],
    ) -> None:
        self._session, self._written_at, self._from_file = session, written_at, from_file
        self._by_id = labelling.find_pairs(session, sorted({row.pair_id for row in rows if row.pair_id is not None}))
        named_pairs = {pair for row in rows if (pair := _named_pair(row)) is not None}
        self._selected = labelling.selected_among(session, sorted(named_pairs)) | set(self._by_id.values())
        self._current: dict[tuple[AnnotatorIdentity, PairKey], Judgement] = {}
        for name in {row.annotator for row in rows}:
            annotator_id = judgements.find_person(session, person(name).name)
            if annotator_id is not None:
                by_pair = judgements.newest_by_person(session, annotator_id, sorted(self._selected))
                self._current |= {(person(name), pair): judgement for pair, judgement in by_pair.items()}
        self._stored = frozenset(self._current)
        self._taken: dict[tuple[AnnotatorIdentity, PairKey], bool] = {}  # to be stored → whether it says something new

    @property
    def pairs(self) -> list[PairKey]:
        """The pairs that have new judgements, or other ones."""
        return list(dict.fromkeys(pair for (_, pair), is_new in self._taken.items() if is_new))

    @property
    def stored_pairs(self) -> list[PairKey]:
        """The pairs whose judgements are stored anew: what says the same as the newer of two takes the older away."""
        return list(dict.fromkeys(pair for _, pair in self._taken))

    def check(self, row: ImportedJudgement) -> RowOutcome | RejectedRow:
        """What becomes of a row, or why it is refused."""
        if row.is_ranked and _named_pair(row) not in self._selected:
            return "unselected"
        try:
            key = person(row.annotator), (judgement := self._judgement(row)).pair
        except ValueError as error:
            return RejectedRow(row.row_number, str(error), json.dumps(row._asdict(), ensure_ascii=False, default=str))
        current = self._current.get(key)
        is_newer = current is None or _is_newer(judgement, current, is_later_row=key in self._from_file)
        is_same = current is not None and judgement.says_the_same(current)
        if is_newer:
            # What says the same is newer from now on, and stays as it was shown.
            if current is not None and is_same and current.left_response_id != judgement.left_response_id:
                judgement = replace(judgement, left_response_id=current.left_response_id)
            self._current[key] = judgement
            self._taken[key] = self._taken.get(key, False) or not is_same
            self._from_file.add(key)
        if current is None:
            return "added"
        if is_same:
            return "unchanged"
        return "corrected" if is_newer else "outdated"

    def store(self) -> Counter[str]:
        """Store what counts of the rows that were checked; returns how many labels of whom, corrected ones too."""
        counts: Counter[str] = Counter()
        for identity in dict.fromkeys(identity for identity, _ in self._taken):
            annotator_id = judgements.add_annotator(self._session, identity)
            own = [key for key in self._taken if key[0] == identity]
            new = [self._current[key] for key in own if key not in self._stored]
            judgements.add_judgements(self._session, annotator_id, new)
            known = [self._current[key] for key in own if key in self._stored]
            judgements.correct_judgements(self._session, annotator_id, known)
            counts[identity.name] += sum(self._taken[key] for key in own)
        return +counts

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
        # Of rows without a time the later one is the newer.
        judged_at = row.judged_at or self._written_at + timedelta(microseconds=row.row_number)
        match row.verdict:
            case "first" | "second" as verdict:
                return Judgement(
                    pair,
                    left,
                    verdict,
                    rationale=row.rationale,
                    seconds=row.seconds,
                    strength=row.strength,
                    judged_at=judged_at,
                )
            case shown:
                opinion = Opinion(shown, rationale=row.rationale, strength=row.strength)
                return replace(as_judgement(pair, left, opinion, seconds=row.seconds), judged_at=judged_at)


def _is_newer(judgement: Judgement, current: Judgement, *, is_later_row: bool) -> bool:
    """Whether it was given after the current one; at the same time, whether it is further down in the same file."""
    if judgement.judged_at is None or current.judged_at is None:
        return judgement.judged_at is None
    return judgement.judged_at > current.judged_at or (judgement.judged_at == current.judged_at and is_later_row)


def _named_pair(row: ImportedJudgement) -> PairKey | None:
    """The pair of the two response ids, if both are given and differ."""
    ids = (row.left_response_id, row.right_response_id)
    if ids[0] is None or ids[1] is None or ids[0] == ids[1]:
        return None
    return PairKey(min(ids[0], ids[1]), max(ids[0], ids[1]))
