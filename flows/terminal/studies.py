"""What the end of a study prints: its answer, its main tables, where the report is, the next step. Decides nothing."""

from __future__ import annotations

from flows.terminal.tables import make_console, print_rows
from tasks.settings import Settings
from tasks.studies.reporting import report_files, study_report
from tasks.terminal import show

MAIN_SECTIONS = 2  # the most important come first; the others are in the report


def show_study(run_id: int, settings: Settings) -> None:
    """Print what a study found."""
    report = study_report(run_id)
    console, findings, files = make_console(), report.findings, report_files(run_id, settings)
    show(f"{findings.question}\n{findings.answer}\n")
    for section in findings.sections[:MAIN_SECTIONS]:
        for table in section.tables:
            print_rows(console, table.columns, table.rows, text_columns=table.text_columns, title=table.title)
            if table.note:
                show(f"{table.note}\n")
    for trial, reason in report.failures:
        show(f"could not be done: {trial}: {reason}")
    for label, value in report.all_facts:
        show(f"  {label}: {value}")
    show(f"\nReport    {files.page.resolve()}\n          also .md and .json beside it\n\nNext:")
    show(f'  antipode sql "SELECT * FROM study_results WHERE run_id = {run_id}"')
    show(f"  {report.command}")
