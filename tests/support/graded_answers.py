"""Judges that grade by length."""

from __future__ import annotations

import re
from typing import Any

from chat_server import Answer, completion

from models.chat.budget import Budget
from models.judging.asking import Asker
from models.judging.replies import MemoryReplies
from models.judging.terms import JudgeTerms
from models.protocols.judge import ProtocolJudge


def judge(url: str, **changes: Any) -> ProtocolJudge:
    options: dict[str, Any] = {
        "model": "tiny",
        "base_url": url,
        "api_key": None,
        "temperature": 0.0,
        "max_tokens": 10,
        "seed": 7,
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
    budget, replies = options.pop("budget"), options.pop("replies")
    return ProtocolJudge(Asker(JudgeTerms(**options), budget, replies))


def grades_by_length(body: dict[str, Any], _: int = 0) -> Answer:
    """A judge by content: the number of words of the last answer it is shown."""
    texts = re.findall(
        r"answer to turn \d+:\n~~~~\n(.*?)\n~~~~", re.sub("A reference .*", "", content(body)), re.DOTALL
    )
    return completion(f"It has some words. [[{len(texts[-1].split())}]]" if texts else "Hello!")


def content(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"])
