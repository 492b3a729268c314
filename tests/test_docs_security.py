"""What docs/security.md names is there, and people find it."""

from __future__ import annotations

import re
import subprocess
import sys

from surroundings import ROOT

TEXT = (ROOT / "docs" / "security.md").read_text()


def test_every_test_that_is_named_as_proof_exists():
    names = set(re.findall(r"test_\w+\.py", TEXT))
    assert len(names) > 8
    assert not {name for name in names if not (ROOT / "tests" / name).is_file()}


def test_it_is_linked_from_where_people_set_things_up():
    assert "(docs/security.md)" in (ROOT / "README.md").read_text()
    assert "(security.md)" in (ROOT / "docs" / "production.md").read_text()


def test_the_labelling_page_knows_no_strategy():
    wings = "('models.selection', 'flows')"
    said = f"import sys, web.contents, web.labelling; print([one for one in sys.modules if one.startswith({wings})])"
    loaded = subprocess.run([sys.executable, "-c", said], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
