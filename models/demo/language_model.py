"""The demo's base model: a small Llama trained on the demo world's dialogues, which lies in `shipped_model/`.

Its samples are readable English of the grammar, of mixed quality: good material to select from, and to align. The
folder is an ordinary one, for transformers and vLLM alike. `antipode demo --remake-model` makes it anew.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from models.demo.corpus import training_dialogues
from models.files import whole_folder
from models.number_format import fast_format
from models.records import Message

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

_SEED = 20260801
DIALOGUES = 28_800  # 900 steps
_BATCH = 32
_VOCABULARY = 2048
_HIDDEN = 256
_HEAD = 64  # vLLM's CPU attention takes 64
_LAYERS = 3
_FEED_FORWARD = 512
_POSITIONS = 2048  # far more than a demo dialogue: real texts run through the same model
_MATRIX_RATE = 0.012  # Muon; 0.01 to 0.035 end at the same loss
_EMBEDDING_RATE = 6e-3  # AdamW
_WARM_UP_STEPS = 20
# The trained logits are multiplied by this, once and for all, through the gain of the last norm. Of samples at
# temperature 1, 13 % break the grammar with 1.0, 4 to 6 % with 1.15, 2 to 3 % from 1.25 on.
_SHARPNESS = 1.3
_POOL_BATCHES = 32  # batches whose dialogues are sorted by length together: padding falls to a few per cent

_BEGIN, _END, _PAD = "<|begin|>", "<|end|>", "<|pad|>"
_ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
_CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class _Example:
    """Token ids of one dialogue; those before `response_start` are given, the others are learnt."""

    ids: list[int]
    response_start: int


def make_demo_model(folder: Path, *, dialogue_count: int = DIALOGUES, progress: Progress) -> None:
    """Train the demo model and save it in a folder; one that is there is replaced when all is done.

    The weights are stored in float16 and loaded in float32, in which a policy that begins with them is stored too.
    The same recipe on another processor gives other weights: rounding differs.

    Args:
        folder: where the model is put.
        dialogue_count: dialogues to train on, 32 a step; fewer make a worse model.
        progress: called after every training step with the steps done and the steps in total.

    Raises:
        OSError: The folder's own folder cannot be written; nothing was trained.
    """
    from transformers.utils.logging import disable_progress_bar, enable_progress_bar

    with whole_folder(folder, is_replacing=True) as draft:  # first: fails before the training if it cannot be written
        dialogues = list(training_dialogues(dialogue_count, seed=_SEED))
        tokenizer = _train_tokenizer(dialogues)
        model = _train_model([_encode(tokenizer, dialogue) for dialogue in dialogues], tokenizer, progress)
        disable_progress_bar()  # of the writing: it would only add a line below ours
        model.half().save_pretrained(draft)
        enable_progress_bar()
        tokenizer.save_pretrained(draft)
        config = json.loads((draft / "config.json").read_text("utf-8")) | {"dtype": "float32"}
        (draft / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
        (draft / "README.md").write_text(_card(dialogue_count), "utf-8")


def _card(dialogue_count: int) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "tokenizers"))
    return f"""# Antipode's demo model

A Llama of {_LAYERS} layers and 2.5 million parameters. It answers the questions of the demo world (`models/demo/`) in
readable English of mixed quality, and can do nothing else. It shows what the software does, not what a model can say.

Made by `antipode demo --remake-model`: {dialogue_count:,} dialogues written by the demo world's grammar (seed {_SEED}),
one pass, Muon and AdamW, products in {fast_format().dtype}. No other text was read. The weights are stored in float16.
With {versions}.
"""


def _train_tokenizer(dialogues: Sequence[tuple[Message, ...]]) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=[_PAD, _BEGIN, _END, *_ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator((turn.content for dialogue in dialogues for turn in dialogue), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=_BEGIN,
        eos_token=_END,
        pad_token=_PAD,
        additional_special_tokens=list(_ROLES),
        model_max_length=_POSITIONS,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = _CHAT_TEMPLATE
    return tokenizer


def _encode(tokenizer: PreTrainedTokenizerFast, dialogue: tuple[Message, ...]) -> _Example:
    turns = [{"role": turn.role, "content": turn.content} for turn in dialogue]
    prompt_text: str = tokenizer.apply_chat_template(turns[:-1], add_generation_prompt=True, tokenize=False)
    prompt_ids: list[int] = tokenizer.encode(prompt_text, add_special_tokens=False)
    response_ids: list[int] = tokenizer.encode(dialogue[-1].content + _END, add_special_tokens=False)
    return _Example(prompt_ids + response_ids, len(prompt_ids))


def _train_model(examples: list[_Example], tokenizer: PreTrainedTokenizerFast, progress: Progress) -> LlamaForCausalLM:
    import torch
    from torch.optim.lr_scheduler import LambdaLR

    batches = _batches(examples)
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        model = _new_model(tokenizer)
    optimizers = _new_optimizers(model)
    schedules = [LambdaLR(optimizer, partial(_rate_share, steps=len(batches))) for optimizer in optimizers]
    for step, batch in enumerate(batches):
        _response_loss(model, batch).backward()
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        progress(step + 1, len(batches))
    with torch.no_grad():
        model.model.norm.weight.mul_(_SHARPNESS)
    return model.eval()


def _new_optimizers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for the embedding and the gains."""
    import torch

    from models.demo.muon import Muon

    matrices = [weight for weight in model.model.layers.parameters() if weight.ndim == 2]
    others = [weight for name, weight in model.named_parameters() if weight.ndim < 2 or "embed" in name]
    return [
        Muon(matrices, lr=_MATRIX_RATE, dtype=getattr(torch, fast_format().dtype)),
        torch.optim.AdamW(others, lr=_EMBEDDING_RATE, betas=(0.9, 0.98), fused=True),
    ]


def _new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=_HIDDEN,
        intermediate_size=_FEED_FORWARD,
        num_hidden_layers=_LAYERS,
        num_attention_heads=_HIDDEN // _HEAD,
        num_key_value_heads=_HIDDEN // _HEAD,
        max_position_embeddings=_POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    model.set_attn_implementation("eager")  # for 50 tokens the fused kernel's backward costs 13 ms a layer on CPU
    return model


def _batches(examples: list[_Example]) -> list[list[_Example]]:
    """Batches of like lengths in random order: a pool at a time is sorted by length, cut and shuffled."""
    draw = random.Random(_SEED)
    batches: list[list[_Example]] = []
    pool_size = _BATCH * _POOL_BATCHES
    for start in range(0, len(examples), pool_size):
        pool = sorted(examples[start : start + pool_size], key=lambda example: len(example.ids))
        pool_batches = [pool[at : at + _BATCH] for at in range(0, len(pool), _BATCH)]
        draw.shuffle(pool_batches)
        batches += pool_batches
    return batches


def _rate_share(step: int, *, steps: int) -> float:
    """Linear warm-up, then linear decay to zero: samples at temperature 1 are clean only after a full decay."""
    return min((step + 1) / _WARM_UP_STEPS, 1.0, (steps - step) / (steps - _WARM_UP_STEPS))


def _response_loss(model: LlamaForCausalLM, batch: list[_Example]) -> torch.Tensor:
    """Mean negative log-likelihood of the response tokens, products in the format that the CPU computes fast in.

    Padding stands on the right, where causal attention cannot look, so no attention mask is needed.
    """
    import torch

    width = max(len(example.ids) for example in batch)
    ids = torch.full((len(batch), width), model.config.pad_token_id)
    is_learnt = torch.zeros((len(batch), width), dtype=torch.bool)
    for row, example in enumerate(batch):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        is_learnt[row, example.response_start : len(example.ids)] = True
    targets = ids[is_learnt]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=fast_format().dtype == "bfloat16"):
        hidden = model.model(ids[:, :-1], use_cache=False).last_hidden_state
        logits = model.lm_head(hidden[is_learnt[:, 1:]])
    return torch.nn.functional.cross_entropy(logits.float(), targets)
