"""A real browser without a window."""

from __future__ import annotations

import shutil
from contextlib import contextmanager


@contextmanager
def chromium():
    """Debian's Chromium, closed at the end; what takes it is marked `browser`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()
