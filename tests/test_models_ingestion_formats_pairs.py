"""Pairs whose better response has a column of its own: where their prompt is, and what is kept of them."""

from __future__ import annotations

from typing import Any

import pytest
from read_rows import dialogue, imported, refused, turns

from models.records import ImportedPair, ImportedResponse

HI = ("user", "Hi")
FIRST = (ImportedPair(0, 1, "first"),)


def test_llama_factorys_dialogue_and_bare_messages_are_a_pair() -> None:
    row = {
        "conversations": [{"from": "human", "value": "Hi"}],
        "chosen": {"from": "gpt", "value": "a"},
        "rejected": {"from": "gpt", "value": "b"},
    }
    found = imported(row, "preference")
    assert turns(found) == [HI] and found.pairs == FIRST
    assert [response.text for response in found.responses] == ["a", "b"]


@pytest.mark.parametrize(
    "names",
    [("score_chosen", "score_rejected"), ("chosen_score", "rejected_score"), ("chosen_rating", "rejected_rating"),
     ("chosen-rating", "rejected-rating")],
)  # fmt: skip
def test_ratings_and_models_of_both_sides_are_kept(names: tuple[str, str]) -> None:
    row = {
        "dataset": "x", "chosen": dialogue(HI, ("assistant", "a")), "rejected": dialogue(HI, ("assistant", "b")),
        names[0]: 5, names[1]: 2, "chosen_model": "m", "rejected-model": "n",
    }  # fmt: skip
    found = imported(row, "preference")
    assert found.responses == (ImportedResponse("a", "m", 5.0), ImportedResponse("b", "n", 2.0))


def test_messages_that_only_repeat_the_chosen_dialogue_are_no_loss() -> None:
    chosen = dialogue(HI, ("assistant", "a"))
    row = {"messages": chosen, "chosen": chosen, "rejected": dialogue(HI, ("assistant", "b"))}
    assert turns(imported(row, "preference")) == [HI]


def repeated(prompt: str, chosen: str, rejected: str) -> tuple[list[str], tuple[str, ...]]:
    row: dict[str, Any] = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    found = imported(row, "preference")
    return [response.text for response in found.responses], found.notes


def test_a_prompt_at_the_start_of_both_responses_is_cut_off_and_told() -> None:
    note = ("the prompt stood again at the start of both responses and is cut off there",)
    prompt = "Name a river."
    assert repeated(prompt, f"{prompt} The Danube.", f"{prompt}\nStone.") == (["The Danube.", "Stone."], note)
    assert repeated(prompt, f"{prompt} The Danube.", "Stone.") == ([f"{prompt} The Danube.", "Stone."], ())
    assert repeated(prompt, f"{prompt} The Danube.", prompt) == ([f"{prompt} The Danube.", prompt], ())
    assert repeated("Hi", "Hi there", "Hi you") == (["Hi there", "Hi you"], ()), "who greets repeats no prompt"


def test_dialogues_of_hh_rlhf_beside_a_prompt_are_parted() -> None:
    marked = {side: f"\n\nHuman: Hi\n\nAssistant: {side}" for side in ("chosen", "rejected")}
    found = imported({"prompt": "Hi", **marked}, "preference")
    assert turns(found) == [HI] and [response.text for response in found.responses] == ["chosen", "rejected"]


def test_stack_exchange_pairs_are_read_by_their_names() -> None:
    row = imported({"question": "Hi", "response_j": "a", "response_k": "b"}, "preference")
    assert [response.text for response in row.responses] == ["a", "b"] and row.pairs == FIRST


def test_ms_swifts_rejected_response_makes_the_response_the_chosen_one() -> None:
    row = {"query": "Hi", "response": "a", "rejected_response": "b", "system": "Be short.", "history": []}
    found = imported(row, "preference")
    assert [response.text for response in found.responses] == ["a", "b"] and found.pairs == FIRST


def test_what_only_one_side_says_before_its_response_is_refused() -> None:
    chosen = dialogue(("system", "Be short."), HI, ("assistant", "a"))
    row = {"chosen": chosen, "rejected": dialogue(HI, ("assistant", "b"))}
    assert "do not share their prompt" in refused(row, "preference")
    last = {"chosen": dialogue(HI, ("assistant", "a"), HI), "rejected": dialogue(HI, ("assistant", "b"), HI)}
    assert "ends with the user's turn" in refused(last, "preference")


def test_the_chosen_response_may_end_the_dialogue_beside_the_rejected_one() -> None:
    row = {"messages": dialogue(("user", "Hi"), ("assistant", "Hello.")), "rejected_response": "No."}
    found = imported(row, "preference")
    assert turns(found) == [("user", "Hi")]
    assert [one.text for one in found.responses] == ["Hello.", "No."]
    assert found.pairs == (ImportedPair(0, 1, "first"),)
    said = {"chosen_model": "m", "score_chosen": 5, "score_rejected": 1}
    chosen, rejected = imported(row | said, "preference").responses
    assert (chosen.model, chosen.score, rejected.score) == ("m", 5.0, 1.0)
