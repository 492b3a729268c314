"""What a refused command looks like."""

from __future__ import annotations

SCRIPTED = ("--generate.backend", "scripted", "--embed.backend", "hashed")


def assert_one_line(result, status, *words):
    assert result.returncode == status, result.stderr
    message = [line for line in result.stderr.splitlines() if line.startswith("antipode: ")]
    assert len(message) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in message[0]
