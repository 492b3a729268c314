"""Configuration of LD-Align and SPIN: rounds on golden responses, without labels."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveFloat, field_validator, model_validator

from models.alignment.records import Method
from tasks.config.alignment import AlignmentSection, DataConfig, OptimizeConfig
from tasks.config.curation import GenerateConfig, MaxTokens, SourceConfig, Temperature
from tasks.config.section import Consent, Name, Section, set_over

FROM_SCRATCH, WHERE_IT_LOADS = "scratch", "auto"
GUIDE_RATE_FROM_SCRATCH, GUIDE_RATE_PRETRAINED = 2e-3, 5e-5


class GuideConfig(Section):
    """LD-Align's guide: a conditional auto-encoder of two GPT-2 transformers (section 4.1)."""

    base: str | None = Field(
        WHERE_IT_LOADS,
        description="`auto`: pre-trained GPT-2, as the paper, where it is on this machine or the hub gives it "
        "(openai-community/gpt2), else from scratch; `scratch`; or a GPT-2 on the hub or in a folder.",
    )
    read_out: Literal["mean", "last"] = Field("mean", description="How the encoder's states become the latent vector.")
    latent_size: int = Field(64, ge=1, description="Size of the latent vector (1 or more).")
    prefix_length: int = Field(1, ge=1, description="Embeddings that tell the decoder of the prompt (1 or more).")
    conditioning: Literal["prefix", "every_token"] = Field(
        "prefix", description="How the decoder is told; `every_token`: added to every token's embedding too."
    )
    layers: int = Field(2, ge=1, description="From scratch: layers of encoder and decoder (1 or more).")
    heads: int = Field(4, ge=1, description="From scratch: attention heads (1 or more).")
    hidden_size: int = Field(128, ge=8, description="From scratch: size of the hidden states (8 or more).")
    learning_rate: float | None = Field(
        None, gt=0, description="Peak learning rate. Empty: 5e-5 for a pre-trained base, 2e-3 from scratch."
    )
    epochs: float = Field(10.0, gt=0, description="Passes over golden and sampled responses.")
    batch_size: int = Field(32, ge=1, description="Responses per step (1 or more).")
    max_length: int = Field(512, ge=8, description="Longer texts are cut to so many tokens, and counted (8 or more).")
    must_use_latent: Consent[bool] = Field(
        True,
        description="Stop before its weights are used if the guide does without its latent vector: if held-out texts "
        "are not written better with their own than with another text's.",
    )

    @field_validator("base")
    @classmethod
    def _scratch_is_no_model(cls, base: str | None) -> str | None:
        return None if base in {FROM_SCRATCH, ""} else base


class RoundsConfig(OptimizeConfig):
    """How each round's policy is trained."""

    count: int = Field(3, ge=1, le=20, description="Rounds T (1 to 20).")
    weights: Literal["latent_distance", "unit"] = Field(
        "latent_distance", description="LD-Align's s / S by the guide, or all 1 (SPIN)."
    )
    betas: tuple[PositiveFloat, ...] = Field((0.1,), min_length=1, description="β of each round; the last one goes on.")
    learning_rates: tuple[PositiveFloat, ...] = Field(
        (5e-7,), min_length=1, description="Peak learning rate of each round; the last one goes on."
    )
    has_previous: bool = Field(False, description="Train on the previous round's samples too (SPIN).")


# SPIN's released scripts: RMSprop, batch 64, 6 epochs a round, linear schedule, data of two rounds mixed.
SPIN: dict[str, Any] = {
    "weights": "unit",
    "betas": (0.1, 0.1, 0.1, 5.0),
    "learning_rates": (5e-7, 5e-7, 1e-7, 1e-7),
    "has_previous": True,
    "optimizer": "rmsprop",
    "schedule": "linear",
    "batch_size": 64,
    "epochs": 6.0,
    "count": 4,
}


class LdAlignConfig(AlignmentSection):
    """Latent distance guided alignment (LD-Align alg. 1), and SPIN: rounds on golden responses, without labels."""

    name: Name = Field("ld-align", description="Name of the run, for you (1 to 200 characters).")
    preset: Literal["ld_align", "spin"] = Field(
        "ld_align",
        description="`spin`: SPIN's released settings, for what is not set in `rounds`. A form sets all of it: there, "
        "choose the values yourself.",
    )
    golden: Literal["chosen", "references"] = Field(
        "chosen", description="Golden responses: the chosen ones of `data`, or the references of an SFT `source`."
    )
    source: SourceConfig = Field(SourceConfig(), description="For `references`: an imported SFT data set.")
    rounds: RoundsConfig = Field(RoundsConfig(), description="The rounds.")
    guide: GuideConfig = Field(GuideConfig(), description="The guide, trained once in the first round.")
    sample_temperature: Temperature = Field(
        1.0, description="Sampling temperature of the policy's own responses (0 to 2)."
    )
    max_tokens: MaxTokens = Field(
        256, description="The policy's own responses are cut after so many tokens (1 or more)."
    )

    key_prefix: ClassVar = ("LdAlignConfig",)

    @property
    def optimize(self) -> RoundsConfig:
        """How each round's policy is trained."""
        return self.rounds

    @property
    def method(self) -> Method:
        """The loss by its name."""
        return "ld_align" if self.rounds.weights == "latent_distance" else "spin"

    def generate(self) -> GenerateConfig:
        """How the policy's own responses to the golden ones' prompts are sampled."""
        return GenerateConfig(
            when="always",
            backend=self.evaluate.backend,
            responses_per_prompt=1,
            temperature=self.sample_temperature,
            max_tokens=self.max_tokens,
            max_model_len=self.evaluate.max_model_len,
        )

    @model_validator(mode="before")
    @classmethod
    def _fill_in_the_preset(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("preset") == "spin":
            values = values | {"rounds": set_over(SPIN, values.get("rounds", {}))}
        return values

    def in_vain(self) -> str:
        """See `Section`."""
        if self.golden == "references" and self.data != DataConfig(held_out_share=self.data.held_out_share):
            return "golden references come from `source`; leave `data` out, or set --golden chosen"
        if self.golden == "chosen" and self.source != SourceConfig():
            return "source is for golden references; give --golden references, or leave source out"
        return ""

    def unread_names(self) -> list[str]:
        """See `Section`."""
        of_data = [f"data.{name}" for name in DataConfig.model_fields if name != "held_out_share"]
        return of_data if self.golden == "references" else ["source"]
