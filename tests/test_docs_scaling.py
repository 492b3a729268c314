"""The table of sizes in docs/scaling.md is what its command prints."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from flows.__main__ import main

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"


def test_the_table_of_sizes_is_what_the_command_prints(monkeypatch, capsys):
    made = re.search(r"<!-- plan: made by `(.+?)` -->\n(.*?)<!-- end of plan -->", PAGE.read_text(), re.DOTALL)
    assert made is not None
    monkeypatch.setattr(sys, "argv", shlex.split(made[1]))
    main()
    assert made[2] == capsys.readouterr().out, f"write it anew: {made[1]}"
