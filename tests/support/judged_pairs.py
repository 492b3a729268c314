"""Pairs shown to a judge, and servers that judge by content."""

from __future__ import annotations

import re
from typing import Any

from chat_server import Answer, completion
from hypothesis import strategies as st

from models.chat.budget import Budget
from models.judging.asking import Asker
from models.judging.judge import JudgeLabeller
from models.judging.replies import MemoryReplies
from models.judging.terms import JudgeTerms
from models.labelling.records import ShownPair, ShownResponse
from models.records import Prompt

texts = st.text(st.sampled_from("ab~m MA:\n'") | st.characters(codec="utf-8"), max_size=30)


def shown(left: str, right: str, prompt: str = "Which bread?") -> ShownPair:
    return ShownPair(Prompt.from_text(prompt), ShownResponse(left), ShownResponse(right))


def many(count: int) -> list[ShownPair]:
    return [shown(f"rye {number}", f"wheat {number}") for number in range(count)]


def judge(url: str, **changes: Any) -> JudgeLabeller:
    options: dict[str, Any] = {
        "model": "tiny",
        "base_url": url,
        "api_key": None,
        "prompt": "alpaca_eval",
        "temperature": 0.0,
        "max_tokens": 10,
        "seed": 7,
        "has_rationale": False,
        "is_constrained": False,
        "concurrency": 4,
        "requests_per_minute": None,
        "timeout_s": 20,
        "max_retries": 0,
        "parse_retries": 0,
        "input_price": 0.0,
        "output_price": 0.0,
        "budget": Budget(max_requests=None, max_cost=None),
        "replies": MemoryReplies(),
    }
    options |= changes
    of_pairs = {name: options.pop(name) for name in ("prompt", "has_rationale", "is_constrained")}
    budget, replies = options.pop("budget"), options.pop("replies")
    return JudgeLabeller(asker=Asker(JudgeTerms(**options), budget, replies), **of_pairs)


def sides(body: dict[str, Any]) -> tuple[str, str]:
    """The two responses, read out of a request as a reader of its fences would."""
    content = body["messages"][-1]["content"]
    fence = max(re.findall("~+", content), key=len)
    _, left, right = re.findall(rf"(?:^|\n){fence}\n(.*?)\n{fence}\n", content, re.DOTALL)
    return left, right


def prefers(body: dict[str, Any], _: int = 0) -> Answer:
    """A judge by content: the longer response, or the one that sorts first. What shows no pair gets a greeting."""
    if "~~~~" not in body["messages"][-1]["content"]:
        return completion("Hello!")
    left, right = sides(body)
    return completion("m" if (-len(left), left) < (-len(right), right) else "M")
