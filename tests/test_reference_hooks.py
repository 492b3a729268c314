"""The documentation builds without a warning into a site that is whole in itself: no dead link, no other host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
from page_browser import visits
from page_site import Site
from real_browser import chromium
from surroundings import ROOT, on_sqlite

pytest.importorskip("mkdocs", reason="MkDocs is not installed (extra docs)")
pytest.importorskip("latex2mathml", reason="latex2mathml is not installed (extra docs)")

LOADED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src")}
# What a page of the site lies at that is no file of docs/.
MADE = re.compile(r"reference/.*\.md")


class Found(HTMLParser):
    """What a page links to, what it loads, the places in it, and the scripts within it."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loaded, self.places, self.inline_scripts = [], [], set(), 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.places |= {given[name] for name in ("id", "name") if given.get(name)}
        self.links += [given["href"]] if tag == "a" and given.get("href") else []
        self.loaded += [given[name] for kind, name in LOADED if kind == tag and given.get(name)]
        self.inline_scripts += tag == "script" and "src" not in given and given.get("type") != "application/json"
        self.inline_scripts += any(name.startswith("on") or name == "style" for name in given)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, and what was said while it was built."""
    folder = tmp_path_factory.mktemp("site")
    ended = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "WARNING" not in ended.stderr and "Warning" not in ended.stderr
    return folder


def test_commands_wrap_by_lines_and_no_option_is_divided(site):
    text = (site / "quick-start.html").read_text("utf-8")
    assert '<div class="language-sh highlight">' in text and re.search(r'<span id="__line-\d+-1">antipode', text)
    assert '<span class="option">--model.name</span> demo' in re.sub(r'<span class="w"> </span>', " ", text)


def test_a_folder_is_linked_by_its_first_page(site):
    assert 'href="decisions/0001-one-task-a-step.html">decisions</a>' in (site / "index.html").read_text("utf-8")


@pytest.fixture(scope="module")
def found(site):
    return {path: Found(path.read_text("utf-8")) for path in site.rglob("*.html")}


def test_every_link_and_anchor_of_the_site_resolves(site, found):
    dead = []
    for page, parts in found.items():
        for link in (*parts.links, *parts.loaded):
            address, anchor = urldefrag(link)
            if urlsplit(link).scheme or page.name == "404.html":
                continue
            target = (page.parent / unquote(address)).resolve() if address else page
            target = target / "index.html" if target.is_dir() else target
            is_there = target.is_file() and target.is_relative_to(site)
            if not is_there or (anchor and target in found and unquote(anchor) not in found[target].places):
                dead.append((str(page.relative_to(site)), link))
    assert len(found) > 100 and not dead


def test_it_loads_nothing_from_another_host_and_holds_no_script_within_a_page(site, found):
    pages = {page: parts for page, parts in found.items() if page.name != "404.html"}
    assert not [(page, one) for page, parts in pages.items() for one in parts.loaded if urlsplit(one).netloc]
    assert not [page for page, parts in pages.items() if parts.inline_scripts]
    styles = {path: path.read_text("utf-8") for path in site.rglob("*.css")}
    assert styles and not [path for path, text in styles.items() if re.search(r"(url\(|@import)\s*[\"']?https?:", text)]


def test_equations_are_mathml_and_none_is_left_as_it_was_written(site):
    page = (site / "concepts.html").read_text("utf-8")
    assert page.count('display="block"') > 12 and page.count("<math") > 40
    assert "$<code>" not in page and "language-math" not in page and "\\frac" not in page


def test_every_page_of_docs_is_in_the_navigation(site):
    index = (site / "index.html").read_text("utf-8")
    config = (ROOT / "mkdocs.yml").read_text("utf-8")
    for page in (*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "how-to").glob("*.md")):
        name = str(page.relative_to(ROOT / "docs"))
        assert name in config, f"{name}: give it a place under nav in mkdocs.yml"
    assert "quick-start.html" in index


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_pages_beside_the_documentation_resolve_in_a_clone(page):
    dead = [link for link in markdown_links(ROOT / page) if not (ROOT / link).exists()]
    assert not dead


def test_links_between_pages_resolve_in_a_clone_too():
    dead = []
    for page in (ROOT / "docs").rglob("*.md"):
        dead += [
            (str(page), link)
            for link in markdown_links(page)
            if not (page.parent / link).exists() and not MADE.fullmatch(link.removeprefix("../"))
        ]
    assert not dead


def markdown_links(page: Path):
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    links = [urldefrag(link)[0] for link in re.findall(r"\]\(([^()\s]+)\)", text)]
    return [link for link in links if link and not urlsplit(link).scheme]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


@pytest.mark.browser
def test_a_page_fits_a_phone_and_a_desk_and_asks_no_other_host(site):
    with chromium() as browser:
        for width in (390, 1280):
            page = browser.new_page(viewport={"width": width, "height": 844})
            asked, faults = [], []
            page.on("request", lambda sent, asked=asked: asked.append(sent.url))
            page.on("pageerror", lambda error, faults=faults: faults.append(str(error)))
            for name in ("index", "concepts", "performance", "reference/commands/to-begin-with", "reference/http"):
                page.goto(f"file://{site}/{name}.html")
                page.wait_for_load_state("load")
                wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert wide <= 0, (width, name)
            assert page.locator("table").count() and asked
            assert not [url for url in asked if not url.startswith(("file:", "data:"))]
            assert faults == []
            page.close()


@pytest.mark.browser
@on_sqlite
def test_it_works_under_the_rules_of_the_labelling_page_and_finds_a_command(site, sessions):
    served = Site(sessions, documents=site)
    try:
        with chromium() as browser, visits(browser, served) as open_page:
            page = open_page()
            refused = []
            page.on("console", lambda said: refused.append(said.text) if said.type == "error" else None)
            page.goto(f"{served.address}/docs/concepts.html")
            page.fill(".md-search__input", "calibrate")
            page.wait_for_selector(".md-search-result__item")
            assert "calibrate" in page.inner_text(".md-search-result__list")
            assert refused == []
    finally:
        served.stop()
