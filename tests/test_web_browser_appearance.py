"""How the labelling page looks in a real browser: hostile texts, differences, sizes, contrast, its picture."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from page_browser import DESKTOP, press, settle, texts, visits
from page_site import Site
from page_visitor import Visitor, open_queue, open_queue_of
from real_browser import chromium
from sqlalchemy import update
from stored_rows import row

from db.schema import labels
from models.records import ImportedResponse, ImportedRow, Prompt

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "labelling-page.png"
PHONE = {"width": 390, "height": 780}

COFFEE = Prompt.from_text("How do I keep coffee beans fresh, and how many grams do I need for two cups?")
COFFEE_TEXTS = (
    """Keep the beans **airtight, dark and cool**:

- Leave them whole and grind them just before brewing.
- Use an opaque tin with a tight lid.
- Do not put them in the fridge: they take on moisture and smells.

For two cups of 250 ml, take about 60 g per litre:

```python
grams = 2 * 0.250 * 60
print(round(grams))  # 30
```

So weigh out **30 g**, and use the beans within three weeks.""",
    """Keep the beans **airtight, dark and cool**:

- Buy them ground, which saves time in the morning.
- Use an opaque tin with a tight lid.
- Put them in the fridge: the cold keeps the smells in.

For two cups of 250 ml, take about 60 g per litre:

```python
grams = 2 * 250 * 60
print(grams)  # 30000
```

So weigh out **30,000 g**, and use the beans within three weeks.""",
)
HOSTILE = """<script>window.hacked = 1</script> <img src=x onerror="window.hacked = 2">

[click](javascript:window.hacked=3) ![picture](http://127.0.0.1/x.png)"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def site(sessions):
    site = Site(sessions)
    yield site
    site.stop()


@pytest.fixture
def visit(browser, site):
    with visits(browser, site) as open_page:
        yield open_page


def test_markup_in_a_text_stays_text_and_the_policy_stops_what_would_run(visit, sessions):
    open_queue_of(sessions, [row(1, HOSTILE, HOSTILE, f"{HOSTILE} b")], name=HOSTILE[:40])
    page = visit()
    assert all("<script>window.hacked = 1</script>" in text for text in texts(page))
    assert page.locator("#work :is(script, img, [onerror])").count() == 0
    for link in page.locator("#work a").all():
        assert link.get_attribute("href") in (None, "http://127.0.0.1/x.png")
    page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.hacked = 4";
        document.body.append(script);
        document.querySelector("#left-text").innerHTML = '<img src="/none" onerror="window.hacked = 5">';
    }""")
    page.wait_for_timeout(200)
    assert page.evaluate("window.hacked") is None


def test_differences_are_marked_until_they_are_switched_off(visit, sessions):
    open_queue(sessions, "The cat sat on the mat.", "The dog sat on the mat.")
    page = visit()
    assert set(texts(page)) == {"The cat sat on the mat.", "The dog sat on the mat."}
    assert set(page.locator("mark").all_inner_texts()) == {"cat", "dog"}
    background = "getComputedStyle(document.querySelector('mark')).backgroundColor"
    is_on = page.evaluate(background)
    press(page, "d")
    assert page.evaluate(background) == "rgba(0, 0, 0, 0)" != is_on
    page.reload()
    settle(page)
    assert page.evaluate(background) == "rgba(0, 0, 0, 0)"


def test_a_phone_shows_everything_without_scrolling_sideways_and_with_targets_a_thumb_hits(visit, sessions):
    wide = "```\n" + "x" * 300 + "\n```\n\n|a|b|\n|-|-|\n|" + "y" * 200 + "|z|\n\n" + "w" * 300
    open_queue(sessions, wide, wide + " b")
    page = visit(viewport=PHONE, has_touch=True, is_mobile=True)
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    for button in page.locator("footer button:visible, header button:visible").all():
        box = button.bounding_box()
        assert box["height"] >= 44
        assert box["width"] >= 44
        assert box["y"] + box["height"] <= PHONE["height"]


def test_light_and_dark_have_legible_contrast(visit, sessions):
    open_queue(sessions)
    page = visit()
    settle(page)
    for scheme, is_dark in (("light", False), ("dark", True)):
        page.emulate_media(color_scheme=scheme)
        colours = page.evaluate("""() => ["#left-text", "#left-title", "button.main", "[data-action=undo]", "#count"]
            .map(name => {
                let ground = document.querySelector(name);
                const ink = getComputedStyle(ground).color;
                while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
                return [ink, getComputedStyle(ground).backgroundColor];
            })""")
        for ink, ground in colours:
            assert contrast(ink, ground) >= 4.5, (scheme, ink, ground)
        assert (luminance(colours[0][1]) < 0.1) == is_dark


def contrast(ink, ground):
    """The contrast ratio of WCAG 2.2, 1 to 21."""
    low, high = sorted((luminance(ink), luminance(ground)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour):
    channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_responses_have_equal_heights_and_the_controls_stay_where_they_are(visit, sessions):
    open_queue(sessions, "short", "long\n\n" * 200, "x", "y", prompt="A prompt of several lines.\n" * 30)
    page = visit()
    tops = []
    for _ in range(2):
        settle(page)
        left, right = (page.locator(f"#{side}").bounding_box() for side in ("left", "right"))
        assert (left["y"], left["height"]) == (right["y"], right["height"])
        tops.append(page.locator("footer").bounding_box())
        press(page, "s")
    assert tops[0] == tops[1]
    assert tops[0]["y"] + tops[0]["height"] <= DESKTOP["height"]


def test_the_picture_of_the_documents_is_taken(visit, sessions, tmp_path):
    coffee = ImportedRow(1, COFFEE, tuple(map(ImportedResponse, COFFEE_TEXTS)))
    others = [row(at, f"Question {at}?", f"a {at}", f"b {at}") for at in range(2, 60)]
    queue_id = open_queue_of(sessions, [coffee, *others], name="Everyday questions")
    ana = Visitor(sessions)
    while "coffee" not in (pair := ana.pair(queue_id))["prompt"][0]["html"]:
        ana.judge(queue_id, pair, "tie")
    with sessions.begin() as session:
        session.execute(update(labels.Judgement).values(seconds=9.0))
    page = visit()
    settle(page)
    path = PICTURE if os.environ.get("WRITE_PICTURES") else tmp_path / PICTURE.name
    page.screenshot(path=path)
    assert page.locator("mark").count() > 5
    assert page.inner_text("#pace").startswith("9 s a pair")
    assert path.read_bytes().startswith(b"\x89PNG")
