"""Two samples held against the golden responses of the evaluation source, by a judge on a real server."""

from __future__ import annotations

import re

import pytest
from alignment_world import MEASURED, QUICK, TINY_GUIDE, chosen_prompts, ld_align_config, merged, prefer, tiny_model
from chat_server import ChatServer, completion, serving
from installed import installed
from stored_rows import add

from models.demo.corpus import demo_prompts, reference_response
from models.records import ImportedResponse, ImportedRow, Prompt
from tasks.alignment.opening import open_ld_align_run
from tasks.config.studies import StudyConfig
from tasks.errors import NothingToDoError
from tasks.studies.methods.latent_space import latent_figures
from tasks.studies.methods.ld_align import LD_ALIGN


def nearer_in_length(body, _number):
    """A judge that compares lengths with the reference, and in any other question prefers the left side."""
    texts = re.findall(r"(?:reference|Answer \w):\n~+\n(.*?)\n~+", body["messages"][-1]["content"], re.DOTALL)
    if len(texts) < 3:
        return completion("A")
    reference, left, right = map(len, texts)
    gaps = abs(left - reference), abs(right - reference)
    return completion("tie" if gaps[0] == gaps[1] else "AB"[gaps[0] > gaps[1]])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Settings, a judging server, and a tiny model; preferences, and two sources that nobody compared answers of."""
    folder = tmp_path_factory.mktemp("latent-space")
    with installed(folder) as (settings, sessions), serving(ChatServer()) as server:
        server.reply = nearer_in_length
        prefer(sessions, train=6, held_out=3)
        taken = chosen_prompts(train=6, held_out=3)
        own = [text for text in demo_prompts("train") if text not in taken][:6]
        rows = [
            ImportedRow(at, Prompt.from_text(text), (ImportedResponse(reference_response(text), is_reference=True),))
            for at, text in enumerate(own[:3])
        ]
        plain = [ImportedRow(at, Prompt.from_text(text), ()) for at, text in enumerate(own[4:])]
        add(sessions, *plain, name="plain", content_hash="1" * 64)
        add(sessions, *rows, ImportedRow(3, Prompt.from_text(own[3]), ()), name="golden")
        for at, (name, texts) in enumerate(
            (("trained", taken[:2]), ("late", (taken[0], own[4], own[0])), ("held-out", (taken[0], taken[-1])))
        ):
            mixed = [ImportedRow(number, Prompt.from_text(text), ()) for number, text in enumerate(texts)]
            add(sessions, *mixed, name=name, content_hash=str(at + 2) * 64)
        yield settings, server, tiny_model(folder / "model"), own


def evaluated(server, source):
    judge = {"base_url": server.url, "model": "judge", "prompt": "with_tie", "max_retries": 0, "parse_retries": 0}
    asked = {"annotator": "judge", "judge": judge, "source": {"name": source}}
    return MEASURED | {"temperature": 1.0, "responses_per_prompt": 2} | asked


def test_a_judge_holds_two_samples_against_the_references_of_the_evaluation_source(world):
    _, server, model, own = world
    run_id = open_ld_align_run.fn(ld_align_config(model, evaluate=evaluated(server, "golden")))
    figures = latent_figures(run_id)
    asked = [body["messages"][-1]["content"] for body in server.bodies]
    compared = [text for text in asked if "The reference:" in text]
    for text in compared:
        assert any(reference_response(prompt) in text for prompt in own[:3])
    couples = figures["couples"]
    assert couples and len(compared) == 2 * len(couples), "each in both orders"
    assert figures["without_golden"] == 1 and len(couples) + figures["equal"] == 3
    for couple in couples:
        first, second = couple["length_nearness"]
        assert couple["closer"] == ([0.5, 0.5] if first == second else [float(first > second), float(first < second)])
        assert couple["scores"] == [0.5, 0.5], "a taste for a side is none"


def study(server, model, source, **changes):
    sections = {
        "study": "ld-align",
        "model": {"name": model, "dtype": "float32"},
        "sft": {"epochs": 0},
        "train": QUICK,
        "guide": TINY_GUIDE | {"base": "scratch"},
        "evaluate": evaluated(server, source),
        "methods": ("ld_align",),
    }
    return StudyConfig.model_validate(merged(sections, changes))


def test_prompts_without_any_golden_response_are_refused_before_anything_is_trained(world):
    settings, server, model, _ = world
    with pytest.raises(ValueError, match="none of the 2 prompts of plain has one; import its references"):
        LD_ALIGN.check(study(server, model, "plain"), settings)
    LD_ALIGN.check(study(server, model, "golden"), settings)
    LD_ALIGN.check(study(server, model, "plain", methods=("sft", "dpo")), settings)
    LD_ALIGN.check(study(server, model, None), settings)


def test_only_prompts_that_are_compared_on_count_as_having_a_golden_response(world):
    settings, server, model, _ = world

    def check(source, limit):
        config = study(server, model, source, data={"held_out_share": 0.1})
        asked = config.evaluate.source.model_copy(update={"limit": limit})
        evaluate = config.evaluate.model_copy(update={"source": asked})
        LD_ALIGN.check(config.model_copy(update={"evaluate": evaluate}), settings)

    with pytest.raises(NothingToDoError, match="no prompt is left to measure on"):
        check("trained", None)
    with pytest.raises(ValueError, match="none of the 1 prompts of late has one"):
        check("late", 1)
    check("late", 2)
    check("held-out", 1)
