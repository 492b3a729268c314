"""The labelling page in a real browser: opened, waited for, answered by keys."""

from __future__ import annotations

import re
from contextlib import contextmanager

from axe_playwright_python.sync_playwright import Axe

KEY_PAUSE_MS = 170  # the page ignores keys in the first 150 ms of a pair
DESKTOP = {"width": 1280, "height": 800}


@contextmanager
def visits(browser, site):
    """Open the page in a browser of one's own; anything it loads from elsewhere or logs as an error fails the test."""
    contexts, faults = [], []

    def open_page(name="Ana", viewport=DESKTOP, **options):
        contexts.append(browser.new_context(viewport=viewport, **options))
        page = contexts[-1].new_page()
        page.on("request", lambda sent: sent.url.startswith(site.address) or faults.append(sent.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(site.link(name))
        page.wait_for_url(re.compile(r"/(queues/\d+)?$"))
        page.wait_for_load_state("load")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def settle(page):
    """Wait until the page shows what the server answered and listens to keys."""
    page.wait_for_selector("#work:not([aria-busy])", state="attached")
    page.wait_for_timeout(KEY_PAUSE_MS)


def press(page, key):
    settle(page)
    page.keyboard.press(key)


def texts(page):
    settle(page)
    return page.inner_text("#left-text"), page.inner_text("#right-text")


def faults(page):
    """What axe-core finds, in words."""
    found = Axe().run(page)
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found.response["violations"]]
