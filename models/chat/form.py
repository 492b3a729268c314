"""The form in which a server wants to be asked: names of fields, the system's turn, its own fields. Sends nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from models.records import Message

TokenLimitName = Literal["max_tokens", "max_completion_tokens"]
SystemRole = Literal["system", "developer", "user"]

_OWN_SETTINGS = {"model", "messages", "temperature", "max_tokens", "max_completion_tokens", "seed"}
_UNREADABLE = {"n", "best_of", "stream", "stream_options"}  # several choices are paid for, and one is read


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestForm:
    """How a question is written down.

    Attributes:
        token_limit: The field that limits a reply; OpenAI's reasoning models know the second name alone.
        sends_seed: Whether a seed is sent; some servers refuse one.
        system_role: What a system message is called; `user`: it stands at the beginning of the user's first turn.
        extra_body: Further fields, the server's own.
    """

    token_limit: TokenLimitName = "max_tokens"
    sends_seed: bool = True
    system_role: SystemRole = "system"
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> dict[str, Any] | None:
        """What of it can change a reply; None for the usual form."""
        usual = asdict(USUAL_FORM)
        changed = {
            name: value for name, value in asdict(self).items() if value != usual[name] and name != "token_limit"
        }
        return changed or None

    def body(
        self,
        messages: Sequence[Message],
        *,
        model: str,
        temperature: float,
        max_tokens: int,
        seed: int,
        fields: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The body of a request for a chat completion; `fields` are the question's own."""
        asked: dict[str, Any] = {
            "model": model,
            "messages": [asdict(message) for message in self._messages(messages)],
            "temperature": temperature,
            self.token_limit: max_tokens,
        }
        for message in asked["messages"]:
            if message["role"] == "system":
                message["role"] = self.system_role
        if self.sends_seed:
            asked["seed"] = seed
        return {**asked, **self.extra_body, **fields}

    def _messages(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages, without a system turn if there is to be none."""
        if self.system_role != "user":
            return messages
        system = [message.content for message in messages if message.role == "system"]
        turns = [message for message in messages if message.role != "system"]
        first = next((at for at, turn in enumerate(turns) if turn.role == "user"), None)
        if not system:
            return messages
        if first is None:
            return [Message("user", "\n\n".join(system)), *turns]
        turns[first] = replace(turns[first], content="\n\n".join([*system, turns[first].content]))
        return turns


USUAL_FORM = RequestForm()


def why_not_extra(name: str) -> str | None:
    """Why a field may not be one of `extra_body`; None if it may."""
    if name in _OWN_SETTINGS:
        return f"{name} has a setting of its own; set that"
    if name in _UNREADABLE:
        return f"with {name} a reply is not read as one; leave it out"
    return None
