"""No secret is in a file that git keeps: keys and tokens as their makers shape them, passwords within addresses."""

from __future__ import annotations

import re
import subprocess

import pytest
from surroundings import ROOT

SHAPES = {
    "a private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
    "a key of AWS": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a token of GitHub": r"\bgh[pousr]_\w{36,}|\bgithub_pat_\w{40,}",
    "a token of Hugging Face": r"\bhf_[A-Za-z0-9]{30,}\b",
    "a key of OpenAI or Anthropic": r"\bsk-(?:ant-|proj-)?[\w-]{32,}",
    "a token of Slack": r"\bxox[abprs]-[\w-]{10,}",
    "a key of Google": r"\bAIza[\w-]{35}\b",
    "a signed token": r"\beyJ[\w-]{15,}\.eyJ[\w-]{15,}\.[\w-]{15,}",
    "a sign-in link": r"sign-in\?token=[\w-]{43}\b",
    "a password in an address": r"://[\w.-]+:(?P<password>[^\s:@/{}$<>'\"]{3,})@",
    "a password that is set": r"(?i)(?:password|secret|api_key|token)\w*\s*=\s*['\"]?(?P<value>[\w+/-]{24,})\b",
}
MADE_UP = {"secret", "wrong", "password", "***", "PASSWORD", "geheim"}  # in examples and tests


def found_in(text):
    for kind, shape in SHAPES.items():
        for match in re.finditer(shape, text):
            value = match.groupdict().get("password") or match.groupdict().get("value")
            if value is None or (value not in MADE_UP and len(set(value)) > 4 and re.search(r"\d", value)):
                yield kind, match[0]


def test_no_file_that_git_keeps_holds_a_secret():
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.decode()
    found = []
    for name in filter(None, names.split("\0")):
        path = ROOT / name
        if path.is_file() and path.name != "test_tests_secrets.py":
            text = path.read_bytes().decode("utf-8", "ignore")
            found += [(name, kind, match[:12]) for kind, match in found_in(text)]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN RSA PRIVATE KEY-----",
        "AKIA" + "A1" * 8,
        "ghp_" + "a1" * 18,
        "hf_" + "aB" * 17,
        "OPENAI_API_KEY=sk-proj-" + "a1" * 20,
        "postgresql://anna:h0rse-battery@host/labels",
        "POSTGRES_PASSWORD=" + "0123456789abcdef" * 3,
        "http://127.0.0.1:4300/sign-in?token=" + "aB3" * 14 + "x",
    ],
)
def test_a_secret_is_recognised(text):
    assert list(found_in(text))
