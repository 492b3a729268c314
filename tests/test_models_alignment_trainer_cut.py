"""Real trainings on responses that were cut: none teaches to stop where nobody stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from alignment_jobs import PAIRS, curve, make_job, save_llama, trained

from models.alignment.records import Example, Method
from models.alignment.scorer import LogpScorer
from models.alignment.tokens import end_ids, tokenize_examples
from models.records import Prompt


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_llama(tmp_path_factory.mktemp("cut"))


def end_logps(model: str, examples: Sequence[Example], side: str) -> torch.Tensor:
    """The log-probability of the end right after each response's text."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    found = []
    for example in examples:
        alone = Example(example.prompt, getattr(example, side), is_chosen_cut=True)
        row = tokenize_examples(tokenizer, [alone], max_length=120)[0][0]
        with torch.no_grad():
            logits = network(torch.tensor([row.prompt_ids + row.chosen_ids])).logits[0, -1]
        found.append(logits.log_softmax(dim=-1)[end_ids(tokenizer)[0]])
    return torch.stack(found)


def with_reference(model: str, examples: Sequence[Example]) -> tuple[Example, ...]:
    scorer = LogpScorer(model, revision=None, dtype="float32", device="cpu", tokens_per_batch=4096)
    chosen, rejected = (
        [found.logps for found in scorer.score([one.score_requests[side] for one in examples], 120) if found]
        for side in (0, 1)
    )
    return tuple(
        replace(example, reference_chosen_logps=own, reference_rejected_logps=other)
        for example, own, other in zip(examples, chosen, rejected, strict=True)
    )


@pytest.mark.parametrize("method", ["sft", "dpo", "spin"])
def test_a_policy_trained_on_cut_responses_does_not_learn_to_stop_at_the_cut(
    method: Method, model: str, tmp_path: Path
) -> None:
    whole = [Example(Prompt.from_text(prompt), *texts) for prompt, *texts in PAIRS]
    change = {}
    for name, is_cut in (("whole", False), ("cut", True)):
        examples = with_reference(model, [replace(one, is_chosen_cut=is_cut) for one in whole])
        folder = trained(make_job(tmp_path / name, model, examples, method=method, epochs=8))
        change[name] = end_logps(str(folder / "model"), examples, "chosen") - end_logps(model, examples, "chosen")
        if method != "sft":
            assert curve(folder)["held_out", "margin"][0] == pytest.approx(0, abs=1e-4), "the reference scored the same"
    assert change["whole"].mean() > 0.3, "who stopped teaches to stop"
    assert change["cut"].mean() < 0.0, "at a cut there was no end to learn"


def test_a_cut_rejected_response_does_not_teach_to_go_on(model: str, tmp_path: Path) -> None:
    whole = [Example(Prompt.from_text(prompt), *texts) for prompt, *texts in PAIRS]
    fell = {}
    for name, is_cut in (("whole", False), ("cut", True)):
        examples = with_reference(model, [replace(one, is_rejected_cut=is_cut) for one in whole])
        folder = trained(make_job(tmp_path / name, model, examples, epochs=8))
        fell[name] = (
            end_logps(model, examples, "rejected") - end_logps(str(folder / "model"), examples, "rejected")
        ).mean()
    assert fell["whole"] > fell["cut"] + 0.3
