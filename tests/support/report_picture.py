"""Takes the picture of a policy's report page in docs/:

    python tests/support/report_picture.py .antipode/reports/policy-2.html

The report is the one that `antipode demo` writes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from real_browser import chromium

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "policy-page.png"


def main(report: Path) -> None:
    """Take the upper part, as far as the curves of margin and loss."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1000, "height": 1900})
        page.goto(report.resolve().as_uri())
        page.screenshot(path=PICTURE)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
