"""What the end of a study prints: its answer, its tables, where the report is. Decides nothing."""

from __future__ import annotations

from flows.terminal.tables import make_console, print_rows
from tasks.settings import Settings
from tasks.terminal import show


def show_study(run_id: int, settings: Settings) -> None:
    """Print what a study found."""
    from tasks.studies.publishing import report_files, study_report

    report = study_report(run_id)
    console = make_console()
    show(f"{report.findings.question}\n{report.findings.answer}")
    for section in report.findings.sections:
        for table in section.tables:
            print_rows(console, table.columns, table.rows, text_columns=table.text_columns, title=table.title)
    for label, value in report.all_facts:
        show(f"  {label}: {value}")
    for path in report_files(run_id, settings):
        show(f"Report  {path.resolve()}")
