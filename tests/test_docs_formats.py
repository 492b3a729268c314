"""docs/formats.md is the page that the table of formats makes."""

from __future__ import annotations

import json
import re
from pathlib import Path

from models.ingestion import FORMATS
from models.ingestion.formats import recognised_format
from models.ingestion.formats.page import formats_page

PAGE = Path(__file__).resolve().parents[1] / "docs" / "formats.md"


def test_the_page_of_formats_is_up_to_date() -> None:
    assert PAGE.read_text() == formats_page(), (
        "write it anew: python -m models.ingestion.formats.page > docs/formats.md"
    )


def test_every_example_on_the_page_is_of_its_format() -> None:
    sections = re.findall(r"## `(.+?)`.*?```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert [name for name, _ in sections] == list(FORMATS)
    for name, examples in sections:
        for line in examples.splitlines():
            assert recognised_format([json.loads(line)]) == name
