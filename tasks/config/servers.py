"""Settings that everybody who asks a server shares: in which form, one by one or in batches. Sends nothing."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from models.chat.form import RequestForm, SystemRole, TokenLimitName, why_not_extra
from models.chat.secrets import secret_within
from models.records import UNSTORABLE
from tasks.config.section import Added, Pace, Section


def _own_fields(body: dict[str, Any]) -> dict[str, Any]:
    for name in body:
        if reason := why_not_extra(name):
            raise ValueError(f"extra_body: {reason}")
    if (found := secret_within(body)) is not None:
        raise ValueError(
            f"extra_body is stored and shown, so it may hold no key, as {found} looks like; "
            "give the key in ANTIPODE_OPENAI_API_KEY"
        )
    try:
        text = json.dumps(body, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise ValueError("extra_body: expected JSON, without NaN and infinity") from None
    if UNSTORABLE.search(text) or "\\u0000" in text:
        raise ValueError("extra_body: expected texts without NUL and bytes that are not UTF-8")
    return body


TokenLimit = Added[
    Annotated[
        TokenLimitName,
        Field(description="Field that limits a reply; OpenAI's reasoning models want `max_completion_tokens`."),
    ]
]
SendsSeed = Added[Annotated[bool, Field(description="Send a seed; unset it for a server that refuses one.")]]
SystemTurn = Added[
    Annotated[
        SystemRole,
        Field(description="What a system message is sent as; `user`: at the beginning of the user's first turn."),
    ]
]
ExtraBody = Added[
    Annotated[
        dict[str, Any],
        Field(description="Further fields of every request, as JSON; they hold no key."),
        AfterValidator(_own_fields),
    ]
]
Mode = Added[
    Annotated[
        Literal["live", "batch"],
        Field(description="`live`: asked one by one; `batch`: OpenAI's batch files, within a day at half the price."),
    ]
]
BatchDiscount = Added[
    Annotated[float, Field(ge=0, le=1, description="batch: the share of the price that is let off (0 to 1).")]
]
BatchPoll = Pace[Added[Annotated[float, Field(gt=0, description="batch: seconds between two looks at its state.")]]]


class AskedServer(Section):
    """The settings, as part of a section that names a server."""

    token_limit: TokenLimit = "max_tokens"
    sends_seed: SendsSeed = True
    system_role: SystemTurn = "system"
    extra_body: ExtraBody = {}  # noqa: RUF012
    mode: Mode = "live"
    batch_discount: BatchDiscount = 0.5
    batch_poll_s: BatchPoll = 30.0

    @model_validator(mode="after")
    def _nothing_is_said_twice(self) -> Self:
        for name, setting in self.own_fields().items():
            if name in self.extra_body:
                raise ValueError(f"extra_body: {name} is what the setting {setting} says; leave one of them out")
        return self

    def own_fields(self) -> dict[str, str]:
        """The fields of a request that the section's other settings fill, with the setting of each."""
        return {}

    @property
    def form(self) -> RequestForm:
        """How a question is written down."""
        return RequestForm(
            token_limit=self.token_limit,
            sends_seed=self.sends_seed,
            system_role=self.system_role,
            extra_body=self.extra_body,
        )

    @property
    def price_share(self) -> float:
        """What is paid of the usual price."""
        return 1 - self.batch_discount if self.mode == "batch" else 1.0
