"""What the end of a curation prints."""

from __future__ import annotations

import re

from curation_steps import configured, curate, row
from stored_rows import add
from surroundings import on_sqlite

from db import runs
from flows.terminal.runs import SHOWN_REASONS, show_pairs_of


@on_sqlite
def test_the_end_of_a_run_says_how_far_similarity_follows_length(settings, sessions, capsys):
    texts = ("stay", "stay put", "stay put here", "a longer and another text altogether, of other words")
    add(sessions, *(row(number, f"Prompt {number}?", *texts, f"{number}") for number in range(1, 6)))
    run_id = curate(configured(select={"strategies": ["easy", "longest_gap"]}, generate={"when": "never"}))
    show_pairs_of(run_id, settings)
    shown = " ".join(capsys.readouterr().out.split())
    assert "strategy pairs similarity length flagged shared" in shown
    assert re.search(r"easy 5 −?0\.\d{3} 0\.\d\d 0\.0 % \d+\.\d % ", shown)
    assert re.search(r"longest_gap 5 −?0\.\d{3} 0\.02 0\.0 % \d+\.\d % ", shown)  # 1 of 52 letters
    assert re.search(r"Rank correlation of similarity with the difference in length: [−+]0\.\d\d \[", shown)


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
    assert lines[1] == "1 prompt without a pair: refused: 4"
    assert lines[-1] == "3 prompts without a pair, for 3 other reasons"
