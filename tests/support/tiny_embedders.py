"""Tiny random models that embed, and what they read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.embedding import Context, EmbeddingRequest
from models.embedding.hidden_state import HiddenStateEmbedder
from models.records import Message, Prompt

CONTEXT_LENGTH = 128


TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "Hi",
    "",
    "I cannot help you with that, but here is what I would do instead: ask somebody who knows, and then ask again.",
    "  leading and trailing space  ",
    "ünïcödé 漢字 🙂\nand a second line",
    "Hi",
    "no " * 30,
]


PROMPT = Prompt((Message("user", "How are you?"), Message("assistant", "Fine."), Message("user", "And the fox?")))


def make_tokenizer() -> Any:
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(TEXTS * 3, vocab_size=420, special_tokens=["<s>", "</s>", "<|endoftext|>"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trainer._tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<|endoftext|>"
    )
    tokenizer.chat_template = (
        "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}</s>{% endfor %}"
        "{% if add_generation_prompt %}<s>assistant: {% endif %}"
    )
    return tokenizer


def make_model(folder: Path) -> str:
    """Save a random Llama of 64 components in the folder, with its tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,  # vLLM's attention on a CPU wants heads of 32 or more
        max_position_embeddings=CONTEXT_LENGTH,
        initializer_range=0.3,  # the usual 0.02 leaves the states of so small a model almost equal
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def make_embedder(
    model: str,
    *,
    context: Context = "response",
    max_tokens: int = 100,
    tokens_per_batch: int = 64,
    dtype: str = "float32",
) -> HiddenStateEmbedder:
    return HiddenStateEmbedder(
        model,
        revision=None,
        dtype=dtype,
        context=context,
        max_tokens=max_tokens,
        tokens_per_batch=tokens_per_batch,
    )


def requests_of(texts: Sequence[str], prompt: Prompt = PROMPT) -> list[EmbeddingRequest]:
    return [EmbeddingRequest(prompt, text) for text in texts]


def plain_ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
