"""What the end of a curation prints."""

from __future__ import annotations

from curation_steps import configured, curate, row
from stored_rows import add
from surroundings import on_sqlite

from db import runs
from flows.terminal.runs import SHOWN_REASONS, show_pairs_of


@on_sqlite
def test_a_server_that_has_words_for_every_prompt_does_not_fill_the_screen(settings, sessions, capsys):
    add(sessions, *(row(number, f"Prompt {number}?") for number in range(1, 11)))
    run_id = curate(configured())
    with sessions.begin() as session:
        frequent = dict.fromkeys((1, 2, 3), "refused for tiny: [policy] 1")
        runs.set_skipped(session, run_id, frequent | {number: f"refused: {number}" for number in range(4, 11)})
    show_pairs_of(run_id, settings)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if "without a pair" in line]
    assert len(lines) == SHOWN_REASONS + 1
    assert lines[0] == "3 prompts without a pair: refused for tiny: [policy] 1"
    assert lines[-1] == "3 prompts without a pair, for 3 other reasons"
