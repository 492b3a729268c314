"""What the doctor found, as one text without a secret."""

from __future__ import annotations

SECRET = "correct-horse"


def told(findings):
    """What is printed of findings, as one text; no secret is ever in it."""
    lines = "\n".join(f"{one.level} {one.name}: {one.text} do: {one.advice}" for one in findings)
    assert SECRET not in lines
    assert all((one.level == "ok") == (one.advice is None) for one in findings)
    return lines


def levels(findings):
    return [one.level for one in findings]
