"""Our losses are TRL's: the same batch through a DPOTrainer on a tiny Llama, and ORPO's odds ratio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.alignment.losses import PairLogps, orpo, pairwise_losses
from models.alignment.records import Method


def tiny_llama(seed: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        initializer_range=0.1,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    return LlamaForCausalLM(config).eval()


def tiny_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<s>", "</s>", "<pad>", *"abcdefghijklmnopqrstuvwxyz"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>")


def summed_logps(model: Any, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Summed log-probabilities and token counts of the completions, from the full logits."""
    with torch.no_grad():
        logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
    tokens, mask = inputs["input_ids"][:, 1:], inputs["completion_mask"][:, 1:]
    per_token = logits[:, :-1].log_softmax(-1).gather(2, tokens[..., None])[..., 0]
    return (per_token * mask).sum(1), mask.sum(1)


@pytest.mark.parametrize(("method", "loss_type"), [("dpo", "sigmoid"), ("spin", "sigmoid"), ("ipo", "ipo")])
def test_losses_and_rewards_agree_with_trl(tmp_path: Path, method: Method, loss_type: str) -> None:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    rows = [
        {"prompt": "a b c", "chosen": " d e", "rejected": " f g h i j"},
        {"prompt": "k", "chosen": " l m n o p q", "rejected": " r"},
        {"prompt": "s t u v", "chosen": " w x y", "rejected": " z a b"},
    ]
    policy, reference = tiny_llama(seed=1), tiny_llama(seed=2)
    trainer = DPOTrainer(
        model=policy,
        ref_model=reference,
        args=DPOConfig(
            output_dir=str(tmp_path),
            loss_type=[loss_type],
            beta=0.1,
            per_device_train_batch_size=len(rows),
            per_device_eval_batch_size=len(rows),
            bf16=False,
            use_cpu=True,
            report_to="none",
            gradient_checkpointing=False,
        ),
        train_dataset=Dataset.from_list(rows),
        eval_dataset=Dataset.from_list(rows),
        processing_class=tiny_tokenizer(),
    )
    theirs = trainer.evaluate()
    inputs = next(iter(trainer.get_eval_dataloader()))
    sums, counts = summed_logps(policy, inputs)
    reference_sums, _ = summed_logps(reference, inputs)
    logps = PairLogps(*sums.chunk(2), *counts.chunk(2), *reference_sums.chunk(2))
    ours = pairwise_losses(method, logps, beta=0.1, weights=None)
    assert ours.losses.mean().item() == pytest.approx(theirs["eval_loss"], abs=1e-5)
    if method != "ipo":  # TRL logs the rewards of sums there
        assert ours.chosen_rewards.mean().item() == pytest.approx(theirs["eval_rewards/chosen"], abs=1e-5)
        margins = ours.chosen_rewards - ours.rejected_rewards
        assert margins.mean().item() == pytest.approx(theirs["eval_rewards/margins"], abs=1e-5)


def test_the_odds_ratio_term_agrees_with_trl() -> None:
    from types import SimpleNamespace

    from trl.experimental.orpo import ORPOTrainer

    chosen, rejected = torch.tensor([-0.5, -2.0, -0.01]), torch.tensor([-1.5, -0.1, -30.0])
    trainer = SimpleNamespace(beta=0.1, accelerator=SimpleNamespace(device="cpu"))  # all the function reads of it
    ratio, chosen_rewards, rejected_rewards, _, _ = ORPOTrainer.odds_ratio_loss(trainer, chosen, rejected)
    ours = orpo(chosen, rejected, beta=0.1)
    assert torch.allclose(ours.losses + chosen, -ratio, atol=1e-5)  # TRL subtracts it from its NLL
    assert torch.allclose(ours.chosen_rewards, chosen_rewards)
    assert torch.allclose(ours.rejected_rewards, rejected_rewards)
