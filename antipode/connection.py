"""An installation as a notebook sees it: its tables as pandas frames, its runs started as processes of their own."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import astuple, fields
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from antipode.started_run import StartedRun

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.settings import Settings

LONGEST_QUESTION_S = 600.0
OWN_PACKAGES = ("db", "models", "tasks", "flows")


class HiddenPackageError(ImportError):
    """A folder of the user's hides a package of Antipode's."""


def connect(artifact_root: str | Path | None = None, database_url: str | None = None) -> Connection:
    """The installation of these places; what is not given is taken from the environment, as the command line does.

    Raises:
        HiddenPackageError: If a folder here has the name of one of Antipode's packages.
        DatabaseOutdatedError: If another version made the database.
    """
    _require_own_packages()
    from tasks.database import open_database
    from tasks.settings import Settings

    given = {"artifact_root": artifact_root, "database_url": database_url}
    settings = Settings.model_validate(Settings().model_dump() | {k: v for k, v in given.items() if v is not None})
    with open_database(settings):
        return Connection(settings)


class Connection:
    """What `connect` gives. Frames are read when they are asked for; times are in UTC."""

    def __init__(self, settings: Settings) -> None:
        """Take the places of an installation whose database is at this version's schema."""
        self._settings = settings

    def __repr__(self) -> str:
        from db.engine import shown_url

        return f"antipode.connect(database_url={shown_url(self._settings.database)!r})"

    def runs(self) -> DataFrame:
        """One row a run, newest first (view `run_summary`)."""
        return self._view("run_summary")

    def pairs(self, run: int | str = "last") -> DataFrame:
        """One row a selected pair of a run, given by its id, its name or `last` (view `selected_pairs`).

        Raises:
            LookupError: If there is no such run.
        """
        return self._view("selected_pairs", run)

    def labels(self, run: int | str = "last") -> DataFrame:
        """One row a pair of a run, `outcome` missing where nobody judged it (view `labelled_pairs`).

        Raises:
            LookupError: If there is no such run.
        """
        return self._view("labelled_pairs", run)

    def policies(self) -> DataFrame:
        """One row a policy, newest first (view `policy_summary`)."""
        return self._view("policy_summary")

    def queues(self) -> DataFrame:
        """One row a queue of the labelling page, newest first: its pairs, and how many are done."""
        from tasks.reports.installation_queries import QueueInfo, queue_rows

        return _frame(map(astuple, queue_rows(self._settings)), [field.name for field in fields(QueueInfo)])

    def sources(self) -> DataFrame:
        """One row an imported file or data set, newest first, with how many rows and different prompts came of it."""
        from tasks.reports.installation_queries import SourceSummary, source_rows

        return _frame(map(astuple, source_rows(self._settings)), [field.name for field in fields(SourceSummary)])

    def sql(self, query: str) -> DataFrame:
        """The answer to one SELECT; nothing can be changed (docs/database.md).

        Raises:
            QueryError: If it is refused, or takes more than ten minutes.
        """
        from db.read_only import ask

        with ask(query, self._settings.database, timeout_s=LONGEST_QUESTION_S) as answer:
            return _frame(answer.rows, answer.columns)

    def curate(self, **settings: Any) -> StartedRun:
        """Start a curation in a process of its own; `source={"name": "mine"}` is `--source.name mine`.

        Raises:
            ValidationError: If a setting does not exist, or has a value that does not fit.
            ValueError: If a setting is read by nothing beside the others.
            Exception: Whatever keeps such a run from beginning: a model, prompts or a source that there is not.
        """
        from tasks.config.curation import CurateConfig
        from tasks.config.section import refuse_in_vain
        from tasks.curation.choices import check_curation

        config = CurateConfig.model_validate(settings)
        refuse_in_vain(config)
        check_curation(config, self._settings)
        return StartedRun.begin("curate", settings, self._settings)

    def _view(self, view: str, run: int | str | None = None) -> DataFrame:
        from db.read_only import view_statement
        from tasks.reports.run_queries import find_run

        run_id = None if run is None else find_run(str(run), self._settings)
        return self.sql(view_statement(view, run_id))


def _frame(rows: Iterable[tuple[Any, ...]], columns: Iterable[str]) -> DataFrame:
    """A frame in which times are times and what `is_` and `has_` say is true or false, each where all values fit."""
    import pandas as pd

    rows = list(rows)
    frame = pd.DataFrame(rows, columns=list(columns))
    for at, name in enumerate(frame.columns):  # a name may be there twice
        values = [row[at] for row in rows]
        if name.endswith("_at"):
            with suppress(TypeError, ValueError):  # of one's own columns any may be called so
                times = pd.Series([_time(value) for value in values], dtype=object)
                frame.isetitem(at, pd.to_datetime(times, utc=True).array)
        elif name.startswith(("is_", "has_")) and all(value in (None, 0, 1) for value in values):
            frame.isetitem(at, pd.array([None if value is None else bool(value) for value in values], dtype="boolean"))
    return frame


def _time(value: Any) -> datetime | None:
    """A time of a text; TypeError or ValueError if it is none."""
    return value if isinstance(value, datetime | None) else datetime.fromisoformat(value)


def _require_own_packages() -> None:
    """See that the packages beside this one are those that are imported: a notebook's folder comes first."""
    root = Path(__file__).resolve().parents[1]
    for name in OWN_PACKAGES:
        spec = find_spec(name)
        places = list(spec.submodule_search_locations or ()) if spec else []
        if not places or Path(places[0]).resolve() != root / name:
            found = places[0] if places else "nothing"
            raise HiddenPackageError(
                f"the package {name} is {found}, which hides Antipode's; start the notebook in another folder, or "
                "rename that one"
            )
