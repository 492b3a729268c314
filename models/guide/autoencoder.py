"""The guide's network: φ reads a response to one vector, ψ writes the response back from it. Two GPT-2 transformers.

Knows tensors only: no text, no training loop, no file but the base's.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Model

from models.errors import ModelLoadError
from models.guide import Conditioning, GuideSettings, ReadOut
from models.plain_weights import NO_CODE, PLAIN_WEIGHTS, why_not_loaded

# Dropout would blur the very details that h has to hold, and draw from the global generator.
_NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}


class GuideBatch(NamedTuple):
    """Prompts and responses padded on the right: ids (b, t) int64; is_text, is_response (b, t) bool."""

    ids: torch.Tensor
    is_text: torch.Tensor
    is_response: torch.Tensor


class ConditionalAutoencoder(nn.Module):
    """h = φ(x, y) and p_ψ(y | x, h) (LD-Align section 4.1)."""

    def __init__(
        self,
        encoder: GPT2Model,
        decoder: GPT2LMHeadModel,
        *,
        read_out: ReadOut,
        latent_size: int,
        prefix_length: int,
        conditioning: Conditioning,
    ) -> None:
        """Join an encoder and a decoder of one hidden size by a latent vector of `latent_size` components."""
        super().__init__()
        hidden_size = encoder.config.n_embd
        self.encoder = encoder
        self.decoder = decoder
        self.to_latent = nn.Linear(hidden_size, latent_size)
        self.from_latent = nn.Linear(latent_size, prefix_length * hidden_size)
        self.to_tokens = nn.Linear(latent_size, hidden_size) if conditioning == "every_token" else None
        if self.to_tokens is not None:
            # From nothing: at PyTorch's scale h drowns GPT-2's small embeddings, and the decoder learns nothing else.
            nn.init.zeros_(self.to_tokens.weight)
            nn.init.zeros_(self.to_tokens.bias)
        self._read_out = read_out
        self._prefix_length = prefix_length

    def encode(self, batch: GuideBatch) -> torch.Tensor:
        """φ(x, y): the latents (b, d) of the responses, each of which has at least one token."""
        states = self.encoder(input_ids=batch.ids, attention_mask=batch.is_text.long()).last_hidden_state
        if self._read_out == "last":
            rows = torch.arange(len(states), device=states.device)
            return torch.as_tensor(self.to_latent(states[rows, batch.is_text.sum(dim=1) - 1]))
        is_response = batch.is_response[..., None]
        return torch.as_tensor(
            self.to_latent(states.masked_fill(~is_response, 0.0).sum(dim=1) / is_response.sum(dim=1))
        )

    def reconstruction_loss(self, batch: GuideBatch, latents: torch.Tensor) -> torch.Tensor:
        """−log p_ψ(y | x, h), the mean over all response tokens of the batch, in nats (LD-Align eq. 2).

        Args:
            batch: the texts to write.
            latents: (b, d), the h given for each.
        """
        return nn.functional.cross_entropy(self._logits(batch, latents), batch.ids[batch.is_response])

    def reconstruction_nats(self, batch: GuideBatch, latents: torch.Tensor) -> torch.Tensor:
        """The same as sums (b,), one a response, over its tokens."""
        nats = nn.functional.cross_entropy(self._logits(batch, latents), batch.ids[batch.is_response], reduction="none")
        places = batch.is_response.nonzero()[:, 0]
        return nats.new_zeros(len(latents)).index_add(0, places, nats)

    def _logits(self, batch: GuideBatch, latents: torch.Tensor) -> torch.Tensor:
        """What predicts each response token, (tokens, vocabulary) float32: the vocabulary is large, no more is made."""
        prefix = self.from_latent(latents).view(len(latents), self._prefix_length, -1)
        tokens = self.decoder.transformer.wte(batch.ids)
        if self.to_tokens is not None:
            tokens = tokens + self.to_tokens(latents)[:, None]
        decoder_inputs = torch.cat([prefix, tokens], dim=1)
        is_input = torch.cat([batch.is_text.new_ones(prefix.shape[:2]), batch.is_text], dim=1)
        states = self.decoder.transformer(
            inputs_embeds=decoder_inputs, attention_mask=is_input.long()
        ).last_hidden_state
        before = states[:, self._prefix_length - 1 : -1]  # the state before each token predicts it
        return torch.as_tensor(self.decoder.lm_head(before[batch.is_response])).float()


def build_autoencoder(settings: GuideSettings, *, vocabulary_size: int) -> ConditionalAutoencoder:
    """A new network: both halves start from `settings.base`, or at random; what joins them is always random.

    Raises:
        ModelLoadError: The base is missing, no GPT-2, or too short for `max_length` and the prefix.
        ValueError: The sizes do not fit each other.
    """
    torch.manual_seed(settings.seed)
    if settings.base is not None:
        encoder, decoder = _pretrained(settings.base, settings)
        return _joined(encoder, decoder, settings)
    config = GPT2Config(
        vocab_size=vocabulary_size,
        n_positions=settings.max_length + settings.prefix_length,
        n_embd=settings.hidden_size,
        n_layer=settings.layers,
        n_head=settings.heads,
        bos_token_id=None,  # GPT-2's own lie outside a smaller vocabulary
        eos_token_id=None,
        **_NO_DROPOUT,
    )
    return autoencoder_of(config, settings)


def autoencoder_of(config: GPT2Config, settings: GuideSettings) -> ConditionalAutoencoder:
    """The network of a configuration, its weights random: to train from scratch, or to load weights into."""
    return _joined(GPT2Model(config), GPT2LMHeadModel(config), settings)


def _joined(encoder: GPT2Model, decoder: GPT2LMHeadModel, settings: GuideSettings) -> ConditionalAutoencoder:
    encoder.config.use_cache = decoder.config.use_cache = False  # of no use in a single pass
    return ConditionalAutoencoder(
        encoder,
        decoder,
        read_out=settings.read_out,
        latent_size=settings.latent_size,
        prefix_length=settings.prefix_length,
        conditioning=settings.conditioning,
    )


def _pretrained(base: str, settings: GuideSettings) -> tuple[GPT2Model, GPT2LMHeadModel]:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(base, revision=settings.revision, **_NO_DROPOUT, **NO_CODE)
        if config.model_type != "gpt2":
            raise ModelLoadError(base, f"a guide starts from GPT-2, this is {config.model_type}; set base to gpt2")
        needed = settings.max_length + settings.prefix_length
        if config.n_positions < needed:
            raise ModelLoadError(
                base, f"it takes {config.n_positions} tokens, {needed} are asked; lower guide.max_length"
            )
        how = {"revision": settings.revision, "config": config, "dtype": torch.float32, **PLAIN_WEIGHTS}
        encoder, decoder = GPT2Model.from_pretrained(base, **how), GPT2LMHeadModel.from_pretrained(base, **how)
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise ModelLoadError(base, why_not_loaded(error)) from error
    return encoder, decoder
