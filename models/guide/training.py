"""Trains the guide on golden and sampled responses (LD-Align eq. 2), and encodes with it. Plain torch on one device.

A training that is killed begins anew, since it takes minutes; its folder appears whole or not at all.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.alignment.tokens import end_ids
from models.embedding import EmbeddingRequest
from models.embedding.tokens import TokenSequence, token_budget_batches, tokenize
from models.errors import ModelLoadError
from models.files import whole_folder
from models.guide import GuideSettings, GuideText, GuideTrainingResult
from models.guide.autoencoder import ConditionalAutoencoder, GuideBatch, autoencoder_of, build_autoencoder
from models.guide.results import RESULT, stored_result
from models.prompting import load_tokenizer

_WARM_UP_SHARE = 0.05
_MAX_GRAD_NORM = 1.0
_POOL_BATCHES = 16  # batches whose texts are sorted by length together: padding falls to a few per cent
_LAST_STEPS = 10  # one batch's loss is too noisy to report
_ENCODE_TOKENS = 16_384  # padded tokens in one forward pass without gradients
_WRITE_TOKENS = 2_048  # the same where each token has a number for every word of GPT-2's vocabulary: 400 MB
_SETTINGS, _WEIGHTS = "settings.json", "guide.safetensors"


def train_guide(
    texts: Sequence[GuideText], settings: GuideSettings, folder: Path, *, on_step: Callable[[int, int], None]
) -> GuideTrainingResult:
    """Train a guide and save it in a folder, or find it there and return at once.

    Args:
        texts: golden and sampled responses with their prompts.
        settings: of the guide.
        folder: where it is kept; the caller's name for these settings and texts.
        on_step: called after each step with the steps done and in total; not called if the guide was there.

    Raises:
        ModelLoadError: The base or the tokenizer does not load.
        ValueError: No texts, a tokenizer without an end token, or settings out of range.
        FloatingPointError: The loss is not finite.
    """
    steps = guide_training(texts, settings, folder)
    while True:
        try:
            on_step(*next(steps))
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def guide_training(
    texts: Sequence[GuideText], settings: GuideSettings, folder: Path
) -> Generator[tuple[int, int], None, GuideTrainingResult]:
    """`train_guide` one optimizer step at a time: yields the steps done and in total, returns the result."""
    if (stored := stored_result(folder)) is not None:
        return stored
    _check(texts, settings)
    start = time.monotonic()
    tokenizer = load_tokenizer(settings.base or settings.tokenizer, revision=settings.revision)
    sequences = _sequences(tokenizer, texts, settings.max_length)
    with torch.random.fork_rng():
        network = build_autoencoder(settings, vocabulary_size=len(tokenizer)).to(_device(None))
    losses: list[float] = []
    batches = _batches([len(sequence.ids) for sequence in sequences], settings)
    for loss in _losses(network, [[sequences[place] for place in batch] for batch in batches], settings):
        losses.append(loss)
        yield len(losses), len(batches)
    measures: dict[str, Any] = {
        "steps": len(losses),
        "first_loss": losses[0],
        "last_loss": float(np.mean(losses[-_LAST_STEPS:])),
        "truncated_count": sum(sequence.is_truncated for sequence in sequences),
        "seconds": time.monotonic() - start,
    }
    _save(folder, network, tokenizer, {RESULT: measures, _SETTINGS: asdict(settings)})
    return GuideTrainingResult(folder, **measures)


class Guide:
    """A trained guide: it reads texts, and says what its decoder makes of them."""

    def __init__(self, folder: Path, device: str | None = None) -> None:
        """Load the guide of a folder onto a device; None takes the GPU if there is one.

        Raises:
            ModelLoadError: The folder holds no guide.
        """
        from safetensors.torch import load_model
        from transformers import GPT2Config

        try:
            self.settings = GuideSettings(**json.loads((folder / _SETTINGS).read_text("utf-8")))
            network = autoencoder_of(GPT2Config.from_pretrained(folder), self.settings)
            load_model(network, folder / _WEIGHTS)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise ModelLoadError(str(folder), f"no guide: {error}") from error
        self._tokenizer = load_tokenizer(str(folder), revision=None)
        self.network = network.to(_device(device)).eval()

    def batch(self, texts: Sequence[GuideText]) -> GuideBatch:
        """The texts as one padded batch, on the network's device."""
        sequences = _sequences(self._tokenizer, texts, self.settings.max_length)
        return _padded(sequences, next(self.network.parameters()).device)

    def encode(self, texts: Sequence[GuideText]) -> NDArray[np.float32]:
        """φ(x, y) of each text, (n, d) float32, in the order given; a row depends on no other beyond rounding.

        A text over `max_length` is cut as in training, without an end. An empty response is read by its end alone.

        Raises:
            FloatingPointError: A latent is not finite.
        """
        sequences = _sequences(self._tokenizer, texts, self.settings.max_length)
        device = next(self.network.parameters()).device
        latents = np.empty((len(texts), self.settings.latent_size), dtype=np.float32)
        with torch.inference_mode():
            for places in token_budget_batches([len(sequence.ids) for sequence in sequences], _ENCODE_TOKENS):
                batch = _padded([sequences[place] for place in places], device)
                latents[places] = self.network.encode(batch).float().cpu().numpy()
        if broken := int((~np.isfinite(latents).all(axis=1)).sum()):
            raise FloatingPointError(f"{broken} of {len(texts)} latents are not finite; train with a lower rate")
        return latents

    def reconstruction_nats(
        self, texts: Sequence[GuideText], latents: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """−log p_ψ(y | x, h) of each text with the h given for it, in nats, and its response's tokens: (n,) each.

        Args:
            texts: what is to be written.
            latents: (n, d), a row a text.
        """
        sequences = _sequences(self._tokenizer, texts, self.settings.max_length)
        device = next(self.network.parameters()).device
        nats = np.empty(len(texts), dtype=np.float64)
        with torch.inference_mode():
            for places in token_budget_batches([len(sequence.ids) for sequence in sequences], _WRITE_TOKENS):
                batch = _padded([sequences[place] for place in places], device)
                given = torch.from_numpy(latents[places]).to(device)
                nats[places] = self.network.reconstruction_nats(batch, given).cpu().numpy()
        return nats, np.array([sequence.response_length for sequence in sequences], dtype=np.int64)


def _check(texts: Sequence[GuideText], settings: GuideSettings) -> None:
    if not texts:
        raise ValueError("a guide needs at least 1 text, got none; pass golden and sampled responses")
    sizes = ("latent_size", "prefix_length", "epochs", "batch_size", "learning_rate")
    if low := [f"{name}={getattr(settings, name)}" for name in sizes if getattr(settings, name) <= 0]:
        raise ValueError(f"a guide's sizes and rates must be positive, got {', '.join(low)}")


def _device(device: str | None) -> str:
    return device or ("cuda" if torch.cuda.is_available() else "cpu")


def _sequences(tokenizer: Any, texts: Sequence[GuideText], max_length: int) -> list[TokenSequence]:
    """Prompt, response and end; the prompt is cut at its left first, then the response at its right.

    A response that is cut, here or when it was sampled, has no end; one of no token is read by the end all the same.
    """
    end = end_ids(tokenizer)
    room = max_length - len(end)
    if room < 1:
        raise ValueError(f"max_length must leave room for the end token and a response, got {max_length}; raise it")
    requests = [EmbeddingRequest(text.prompt, text.response) for text in texts]
    tokenized = tokenize(tokenizer, requests, context="prompt_and_response", max_tokens=room, max_positions=room)
    ends = [
        [] if sequence.ids and (text.is_cut or sequence.is_response_truncated) else end
        for text, sequence in zip(texts, tokenized, strict=True)
    ]
    return [
        replace(sequence, ids=sequence.ids + ended, response_length=sequence.response_length + len(ended))
        for sequence, ended in zip(tokenized, ends, strict=True)
    ]


def _batches(lengths: Sequence[int], settings: GuideSettings) -> list[list[int]]:
    """Positions of the texts for each step of the whole training: shuffled, then sorted by length within pools."""
    draw = random.Random(settings.seed)
    size = settings.batch_size
    steps = max(1, math.ceil(settings.epochs * len(lengths) / size))
    batches: list[list[int]] = []
    while len(batches) < steps:
        order = draw.sample(range(len(lengths)), len(lengths))
        for start in range(0, len(order), size * _POOL_BATCHES):
            pool = sorted(order[start : start + size * _POOL_BATCHES], key=lengths.__getitem__)
            grouped = [pool[first : first + size] for first in range(0, len(pool), size)]
            batches += draw.sample(grouped, len(grouped))
    return batches[:steps]


def _losses(
    network: ConditionalAutoencoder, batches: Sequence[list[TokenSequence]], settings: GuideSettings
) -> Generator[float, None, None]:
    """Take an optimizer step a batch, each with the loss before it: AdamW, linear warm-up, cosine decay to 0."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate)
    warm_up = max(1, round(_WARM_UP_SHARE * len(batches)))
    device = next(network.parameters()).device
    network.train()
    for step, sequences in enumerate(batches):
        decay = 0.5 * (1 + math.cos(math.pi * max(0, step - warm_up) / max(1, len(batches) - warm_up)))
        optimizer.param_groups[0]["lr"] = settings.learning_rate * min((step + 1) / warm_up, decay)
        batch = _padded(sequences, device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=settings.dtype == "bfloat16"):
            loss = network.reconstruction_loss(batch, network.encode(batch))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), _MAX_GRAD_NORM)
        optimizer.step()
        optimizer.zero_grad()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise FloatingPointError(f"the guide's loss is {value} at step {step + 1}; lower learning_rate")
        yield value


def _padded(sequences: Sequence[TokenSequence], device: torch.device) -> GuideBatch:
    lengths = torch.tensor([len(sequence.ids) for sequence in sequences])
    starts = lengths - torch.tensor([sequence.response_length for sequence in sequences])
    ids = torch.zeros((len(sequences), int(lengths.max())), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence.ids)] = torch.tensor(sequence.ids)
    places = torch.arange(ids.shape[1])
    is_text = places < lengths[:, None]
    is_response = is_text & (places >= starts[:, None])
    return GuideBatch(ids.to(device), is_text.to(device), is_response.to(device))


def _save(folder: Path, network: ConditionalAutoencoder, tokenizer: Any, records: dict[str, Any]) -> None:
    """Write beside the folder's place and move it there, unless another process was faster."""
    from safetensors.torch import save_model

    try:
        with whole_folder(folder, is_replacing=False) as draft:
            tokenizer.save_pretrained(draft)
            network.encoder.config.save_pretrained(draft)
            save_model(network, str(draft / _WEIGHTS))
            for name, record in records.items():
                (draft / name).write_text(json.dumps(record, indent=2), "utf-8")
    except FileExistsError:
        if not folder.is_dir():
            raise
