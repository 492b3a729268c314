"""Log-probabilities of pairs against the obvious way: one sequence at a time, full logits, log_softmax, gather."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.alignment.logps import prepare_sharing, response_logps, sharing_obstacle, summed_logps
from models.alignment.pair_batches import collate, collate_groups
from models.alignment.sequence_attention import ATTENTION, Span
from models.alignment.tokens import TokenizedExample

VOCABULARY = 90
EXAMPLES = [
    TokenizedExample([1, 5, 6, 7], [8, 9, 2], [10, 11, 12, 13, 2]),
    TokenizedExample([1], [14, 2], [15, 16, 17, 18, 19, 20, 21, 2]),
    TokenizedExample([1, 22, 23, 24, 25, 26, 27, 28, 29, 30], [31, 32, 33, 34, 2], [2]),
    TokenizedExample([1, 35], [36, 2], [37, 2]),
]
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "initializer_range": 0.3,  # at the usual 0.02 every token is about as likely as any other
    "pad_token_id": 0,
}


def make_llama(**changes: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SIZES | changes)).eval()


def make_gpt2() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=VOCABULARY, n_embd=64, n_layer=2, n_head=2, n_positions=64, initializer_range=0.2)
    return GPT2LMHeadModel(config).eval()


def make_mistral(window: int | None = 4) -> Any:
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    return MistralForCausalLM(MistralConfig(**SIZES | {"sliding_window": window, "head_dim": 32})).eval()


def make_gemma2() -> Any:
    """Its logits pass through a soft cap behind the head, and its layers slide in turn."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    config = Gemma2Config(**SIZES | {"head_dim": 32, "final_logit_softcapping": 3.0, "sliding_window": 4})
    return Gemma2ForCausalLM(config).eval()


def make_granite() -> Any:
    """Its logits are divided by a number behind the head."""
    from transformers import GraniteConfig, GraniteForCausalLM

    torch.manual_seed(0)
    return GraniteForCausalLM(GraniteConfig(**SIZES | {"logits_scaling": 8.0})).eval()


def make_lora(**changes: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    settings = {"r": 4, "target_modules": ["q_proj", "v_proj"], "init_lora_weights": False} | changes
    return get_peft_model(make_llama(), LoraConfig(task_type="CAUSAL_LM", **settings)).eval()


def make_lora_on_the_head() -> Any:
    return make_lora(target_modules=["q_proj", "lm_head"])


def prepared(make: Callable[[], Any]) -> Callable[[], Any]:
    """A maker of the model as it is once it reads rows without padding."""

    def make_prepared() -> Any:
        model = make()
        assert prepare_sharing(model)
        assert model.config._attn_implementation == ATTENTION
        return model

    return make_prepared


FULL: list[Callable[[], Any]] = [make_llama, make_gpt2, make_granite, make_lora, make_lora_on_the_head]
WINDOWED: list[Callable[[], Any]] = [make_mistral, make_gemma2]


def one_at_a_time(model: Any, prompt: Sequence[int], response: Sequence[int]) -> Tensor:
    """The oracle: its own forward, all logits."""
    logits = model(torch.tensor([[*prompt, *response]])).logits[0].float()
    return logits.log_softmax(dim=-1)[range(len(prompt) - 1, len(prompt) + len(response) - 1), list(response)].sum()


def oracle(model: Any, examples: Sequence[TokenizedExample]) -> tuple[Tensor, Tensor]:
    chosen = torch.stack([one_at_a_time(model, row.prompt_ids, row.chosen_ids) for row in examples])
    return chosen, torch.stack([one_at_a_time(model, row.prompt_ids, row.rejected_ids or []) for row in examples])


def gradients(model: Any, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def loss_of(chosen: Tensor, rejected: Tensor | None) -> Tensor:
    assert rejected is not None
    return -torch.nn.functional.logsigmoid(0.1 * (chosen - rejected)).mean() - 0.01 * chosen.mean()


@pytest.mark.parametrize(
    ("make", "shares_prompt"),
    [(make, True) for make in FULL]
    + [(prepared(make), True) for make in FULL]
    + [(make, False) for make in FULL + WINDOWED],
)
def test_both_forms_equal_one_sequence_at_a_time_in_value_and_gradient(
    make: Callable[[], Any], shares_prompt: bool
) -> None:
    model = make()
    chosen, rejected = oracle(model, EXAMPLES)
    wanted = gradients(model, loss_of(chosen, rejected))
    ours = response_logps(model, collate(EXAMPLES, pad_token_id=0, shares_prompt=shares_prompt))
    assert ours.rejected_logps is not None
    assert ours.chosen_logps.dtype == torch.float32
    torch.testing.assert_close(ours.chosen_logps, chosen, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.rejected_logps, rejected, atol=1e-5, rtol=1e-5)
    got = gradients(model, loss_of(ours.chosen_logps, ours.rejected_logps))
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(
            got[name], value, atol=1e-5, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_token_counts_include_the_end_and_come_apart_by_side() -> None:
    ours = response_logps(make_llama(), collate(EXAMPLES, pad_token_id=0, shares_prompt=True))
    assert ours.chosen_token_counts.tolist() == [3, 2, 5, 2]
    assert ours.rejected_token_counts is not None
    assert ours.rejected_token_counts.tolist() == [5, 8, 1, 2]


def test_examples_without_rejected_give_none_for_it() -> None:
    model = make_llama()
    examples = [TokenizedExample(row.prompt_ids, row.chosen_ids, None) for row in EXAMPLES]
    ours = response_logps(model, collate(examples, pad_token_id=0, shares_prompt=True))
    assert ours.rejected_logps is None
    assert ours.rejected_token_counts is None
    torch.testing.assert_close(ours.chosen_logps, oracle(model, EXAMPLES)[0], atol=1e-5, rtol=1e-5)


def test_a_batch_of_both_kinds_or_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got responses per example \[1, 2\]"):
        collate([EXAMPLES[0], TokenizedExample([1], [2], None)], pad_token_id=0, shares_prompt=True)
    with pytest.raises(ValueError, match=r"got responses per example \[\]"):
        collate([], pad_token_id=0, shares_prompt=True)


def test_short_sequences_are_packed_into_the_row_of_the_longest() -> None:
    # With the prompt once: 12, 11, 16 and 6 tokens, no two of which fit a row of 16; then 4, 4, 9 and 5 in rows of 9.
    assert collate(EXAMPLES, pad_token_id=0, shares_prompt=True)["input_ids"].shape == (4, 16)
    short = [((1,), [(2, 3, 4)]), ((1, 2), [(3, 4)]), ((1, 2, 3), [(4, 5, 6), (7, 8, 9)]), ((9,), [(8, 7), (6, 5)])]
    batch = collate_groups(short, pad_token_id=0, shares_prompt=True)
    assert batch["input_ids"].tolist() == [
        [1, 2, 3, 4, 5, 6, 7, 8, 9],
        [9, 8, 7, 6, 5, 1, 2, 3, 4],
        [1, 2, 3, 4] + [0] * 5,
    ]
    assert batch["position_ids"][:2].tolist() == [[0, 1, 2, 3, 4, 5, 3, 4, 5], [0, 1, 2, 1, 2, 0, 1, 2, 3]]
    assert batch["token_counts"].tolist() == [3, 2, 3, 3, 2, 2]
    assert batch["targets"].tolist() == [2, 3, 4, 3, 4, 4, 5, 6, 7, 8, 9, 8, 7, 6, 5]
    assert batch["state_places"][5:11].tolist() == [2, 3, 4, 2, 6, 7]  # both responses begin from the prompt's end


@settings(max_examples=15)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.lists(st.integers(1, 7), min_size=1, max_size=4)), min_size=1, max_size=5)
)
def test_any_number_of_responses_share_their_prompt(shapes: list[tuple[int, list[int]]]) -> None:
    model = make_llama(num_hidden_layers=1)
    packing = prepared(lambda: make_llama(num_hidden_layers=1))()
    tokens = torch.Generator().manual_seed(1)

    def ids(count: int) -> list[int]:
        return torch.randint(3, VOCABULARY, (count,), generator=tokens).tolist()

    groups = [(ids(prompt), [ids(length) for length in lengths]) for prompt, lengths in shapes]
    wanted = [one_at_a_time(model, prompt, ids).item() for prompt, responses in groups for ids in responses]
    for network, shares_prompt in ((model, True), (model, False), (packing, True)):
        with torch.no_grad():
            sums = summed_logps(network, collate_groups(groups, pad_token_id=0, shares_prompt=shares_prompt))
        assert sums.tolist() == pytest.approx(wanted, abs=1e-4)


def test_eager_attention_takes_the_shared_form_too() -> None:
    model = make_llama()
    model.set_attn_implementation("eager")
    assert sharing_obstacle(model) is None
    ours = response_logps(model, collate(EXAMPLES, pad_token_id=0, shares_prompt=True))
    torch.testing.assert_close(ours.chosen_logps, oracle(model, EXAMPLES)[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("make", [make_llama, prepared(make_llama)])
def test_gradient_checkpointing_changes_no_gradient(make: Callable[[], Any]) -> None:
    model = make().train()
    batch = collate(EXAMPLES, pad_token_id=0, shares_prompt=True)
    wanted = gradients(model, summed_logps(model, batch).sum())
    model.gradient_checkpointing_enable()
    for name, value in gradients(model, summed_logps(model, batch).sum()).items():
        torch.testing.assert_close(value, wanted[name])


def test_a_data_parallel_wrapper_counts_as_the_model() -> None:
    class Wrapper(torch.nn.Module):
        """The shape of DistributedDataParallel: the model is `.module`, and work must go through this forward."""

        calls = 0

        def __init__(self, module: Any) -> None:
            super().__init__()
            self.module = module

        def forward(self, *arguments: Any, **named: Any) -> Any:
            self.calls += 1
            return self.module(*arguments, **named)

    model = Wrapper(make_llama())
    batch = collate(EXAMPLES, pad_token_id=0, shares_prompt=True)
    torch.testing.assert_close(summed_logps(model, batch), summed_logps(model.module, batch))
    assert model.calls == 2  # once to look at the head


def test_the_model_is_left_as_it_was_even_after_a_failure() -> None:
    model = make_llama()
    batch = collate(EXAMPLES, pad_token_id=0, shares_prompt=True)
    wanted = model(torch.tensor([[1, 2, 3]])).logits
    summed_logps(model, batch)
    with pytest.raises(IndexError):
        summed_logps(model, batch | {"input_ids": batch["input_ids"] + VOCABULARY})
    torch.testing.assert_close(model(torch.tensor([[1, 2, 3]])).logits, wanted)


@pytest.mark.parametrize("make", [make_llama, prepared(make_llama)])
@pytest.mark.parametrize("is_autocast", [True, False])
def test_bfloat16_is_close_to_float32(make: Callable[[], Any], is_autocast: bool) -> None:
    model = make()
    batch = collate(EXAMPLES, pad_token_id=0, shares_prompt=True)
    wanted = summed_logps(model, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_autocast):
        ours = summed_logps(model if is_autocast else model.to(torch.bfloat16), batch)
    assert ours.dtype == torch.float32
    assert ((ours - wanted).abs().max() / wanted.abs().max()).item() < 0.02
    ours.sum().backward()
    assert model.lm_head.weight.grad is not None
    assert torch.isfinite(model.lm_head.weight.grad).all()


def test_a_frozen_head_gets_no_gradient_and_an_adapter_does() -> None:
    model = make_lora()
    summed_logps(model, collate(EXAMPLES, pad_token_id=0, shares_prompt=True)).sum().backward()
    trained = {name for name, value in model.named_parameters() if value.grad is not None}
    assert trained
    assert all("lora_" in name for name in trained)


def test_what_forbids_sharing_is_told() -> None:
    assert [sharing_obstacle(make()) for make in FULL] == [None] * len(FULL)
    assert sharing_obstacle(make_mistral()) == "its configuration has sliding_window 4"
    assert sharing_obstacle(make_mistral(window=None)) is None
    assert sharing_obstacle(make_gemma2()) == "it has layers of the kind sliding_attention"
    model = make_llama()
    model.config._attn_implementation = "flash_attention_2"
    assert sharing_obstacle(model) == "attention of the kind 'flash_attention_2' takes no mask of one's own"


def test_a_model_that_cannot_share_or_has_other_attention_keeps_it() -> None:
    eager, windowed = make_llama(), make_mistral()
    eager.set_attn_implementation("eager")
    assert [prepare_sharing(eager), prepare_sharing(windowed)] == [True, False]
    assert [model.config._attn_implementation for model in (eager, windowed)] == ["eager", "sdpa"]


def test_a_model_that_attends_otherwise_than_told_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.alignment.logps.spans_of", lambda segments, _: [Span(0, len(segments), None)])
    model = make_llama()
    assert prepare_sharing(model)
    assert model.config._attn_implementation == "sdpa"


def test_a_prepared_model_reads_plain_and_padded_rows_as_before(tmp_path: Path) -> None:
    model, packing = make_llama(), prepared(make_llama)()
    ids, mask = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    with torch.no_grad():
        torch.testing.assert_close(packing(ids[:1]).logits, model(ids[:1]).logits)
        padded = [network(ids, attention_mask=mask).logits[mask > 0] for network in (packing, model)]
    torch.testing.assert_close(*padded)
    packing.save_pretrained(tmp_path)
    assert ATTENTION not in (tmp_path / "config.json").read_text()


def test_a_model_without_a_mask_or_positions_of_ones_own_cannot_share() -> None:
    from transformers import BloomConfig, BloomForCausalLM, MambaConfig, MambaForCausalLM

    torch.manual_seed(0)
    config = MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=1, state_size=4)
    assert sharing_obstacle(MambaForCausalLM(config)) is not None
    bloom = BloomForCausalLM(BloomConfig(vocab_size=VOCABULARY, hidden_size=64, n_layer=2, n_head=2))
    assert sharing_obstacle(bloom) is not None
    assert bloom.training  # looked at without dropout, then as before
