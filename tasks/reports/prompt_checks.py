"""What the checks of a run's prompts and pairs found, in a line each: for the terminal, the page and Prefect."""

from __future__ import annotations

from db.engine import Session
from db.findings.contaminations import contaminations_by_file
from db.findings.labelled_pairs import count_labelled_alike
from db.findings.prompts import PromptGroup, prompt_groups_of
from models.records import shortened
from tasks.run_kinds import CURATION

SHOWN_GROUPS, SHOWN_PROMPTS, PROMPT_WIDTH = 3, 2, 60
_WORDS = {"prompt": "by shared words", "response": "by words in a response", "similar": "by embedding"}


def check_lines(session: Session, run_id: int) -> list[str]:
    """What was found: groups of nearly the same prompts, benchmarks, pairs that are nearly labelled; none if nothing.

    Where benchmarks were named and none was found, this is said.
    """
    config = CURATION.load_config(session, run_id)
    lines = []
    groups = prompt_groups_of(session, run_id, shown=SHOWN_GROUPS, examples=SHOWN_PROMPTS)
    if groups.count:
        what = "one of each is used" if config.select.one_prompt_a_group else "all are used"
        lines.append(
            f"{groups.prompts:,} prompts are nearly the same as others, in {groups.count:,} "
            f"group{'s' if groups.count > 1 else ''} (cosine ≥ {config.select.prompt_similarity:g}), {what}; "
            f"the largest: {'; '.join(map(_group, groups.largest))}"
        )
    found = {one.file: one for one in contaminations_by_file(session, run_id)}
    for file in config.contamination.files:
        if file not in found:
            lines.append(f"nothing of the benchmark {file} is in the run")
            continue
        kinds = ", ".join(f"{count:,} {_WORDS[kind]}" for kind, count in found[file].by_kind.items())
        what = "left out" if config.contamination.are_left_out else "used all the same"
        prompts = "1 prompt is" if found[file].prompts == 1 else f"{found[file].prompts:,} prompts are"
        lines.append(f"{prompts} in the benchmark {file} ({kinds}), {what}")
    alike, left_out = count_labelled_alike(session, run_id)
    if alike:
        pairs = "1 pair differs" if alike == 1 else f"{alike:,} pairs differ"
        what = f"{left_out:,} of them left out" if left_out else "selected all the same"
        lines.append(f"{pairs} as a labelled pair does (cosine ≥ {config.select.labelled_similarity:g}), {what}")
    return lines


def _group(group: PromptGroup) -> str:
    examples = ", ".join(f"“{shortened(text, PROMPT_WIDTH)}”" for text in group.examples)
    return f"{group.size:,} such as {examples}"
