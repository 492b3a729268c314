"""What MkDocs asks while it builds the site: pages made from the code and from files beside docs/, equations, scripts.

The site loads nothing from another host, and holds no script within a page, so that the labelling page can serve it
under its own rules (`web.documents`).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from hashlib import sha256
from html import unescape
from pathlib import Path
from posixpath import join, normpath, relpath
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # MkDocs loads this file by its place
    sys.path.insert(0, str(ROOT))

from latex2mathml.converter import convert  # noqa: E402
from mkdocs.config.defaults import MkDocsConfig  # noqa: E402
from mkdocs.structure.files import File, Files  # noqa: E402
from mkdocs.structure.pages import Page  # noqa: E402

from reference.commands import command_pages  # noqa: E402
from reference.interfaces import http_page, python_page  # noqa: E402
from reference.views import views_page  # noqa: E402

# Pages that lie beside docs/, and what they are called in the site.
BESIDE = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s:#]+)(#[^()\s]*)?\)")
BLOCK = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)
INLINE_MATHS = re.compile(r"\$<code>(.*?)</code>\$")
INLINE_CODE = re.compile(r"<code>[^<]*</code>")
CODE = re.compile(r"<code>.*?</code>", re.DOTALL)
OPTION = re.compile(r"(?<=[\s>])--[a-z][\w.-]*")
SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Equations are MathML, which a browser shows without a script; a folder in `nav` stands for all of its pages."""
    fence = {"name": "math", "class": "math", "format": _equation}
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]
    config.nav = _with_folders(config.nav, Path(config.docs_dir))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are no files of docs/."""
    for name, text in generated_pages():
        files.append(File.generated(config, name, content=text))
    files.append(File.generated(config, "assets/icon.svg", abs_src_path=str(ROOT / "web" / "static" / "icon.svg")))
    return files


def generated_pages() -> Iterator[tuple[str, str]]:
    """Name and text of each."""
    for source, name in BESIDE.items():
        yield name, _moved((ROOT / source).read_text("utf-8"), source, name)
    for name, text in command_pages():
        yield f"reference/{name}", text
    yield "reference/views.md", views_page()
    yield "reference/http.md", http_page()
    yield "reference/python.md", python_page()
    yield "notebook.md", _notebook(ROOT / "docs" / "notebook.ipynb")


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """A link to a file of the project that is no page of the site becomes the file's name."""
    if page.file.src_uri in (*BESIDE.values(), "notebook.md"):
        return markdown
    source = f"docs/{page.file.src_uri}"
    return _moved(markdown, source, page.file.src_uri)


def on_page_content(html: str, **_: Any) -> str:
    """Equations within a line, written $`…`$; in code whole options, and bars in tables, which GitHub wants escaped."""
    html = INLINE_CODE.sub(lambda found: found[0].replace("\\|", "|"), html)
    html = CODE.sub(lambda found: OPTION.sub(r'<span class="option">\g<0></span>', found[0]), html)
    return INLINE_MATHS.sub(lambda found: _mathml(unescape(found[1])), html)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Scripts within the page become files beside it."""
    return SCRIPT.sub(lambda found: _script_file(found[1], page, Path(config.site_dir)), output)


def _moved(markdown: str, source: str, name: str) -> str:
    """A page's text with the links of the file `source` as they must be in the site's page `name`."""

    def moved(found: re.Match[str]) -> str:
        image, words, address, anchor = found[1], found[2], found[3], found[4] or ""
        target = normpath(join(str(Path(source).parent), address))
        if target.startswith("docs/") and (pages := sorted((ROOT / target).glob("*.md"))):  # a folder: its first page
            target = f"{target}/{pages[0].name}"
        if target in BESIDE or (target.startswith("docs/") and not (ROOT / target).is_dir()):
            there = BESIDE.get(target, target.removeprefix("docs/"))
            return f"{image}[{words}]({relpath(there, str(Path(name).parent))}{anchor})"
        return words

    return "".join(part if at % 2 else LINK.sub(moved, part) for at, part in enumerate(BLOCK.split(markdown)))


def _with_folders(nav: Any, docs: Path) -> Any:
    if isinstance(nav, list):
        return [_with_folders(one, docs) for one in nav]
    if isinstance(nav, dict):
        return {name: _with_folders(one, docs) for name, one in nav.items()}
    if isinstance(nav, str) and nav.endswith("/"):
        return [f"{nav}{path.name}" for path in sorted((docs / nav).glob("*.md"))]
    return nav


def _equation(source: str, _language: str, _class: str, _options: Any, _markdown: Any, **_more: Any) -> str:
    return f'<div class="equation" tabindex="0">{_mathml(source, display="block")}</div>'


def _mathml(tex: str, display: Literal["block", "inline"] = "inline") -> str:
    """An equation; ValueError if the converter does not know one of its commands, which it would show as it stands."""
    equation: str = convert(tex.strip(), display=display)
    if "\\" in equation:
        raise ValueError(f"there is no MathML for all of this equation: {tex}")
    return equation


def _notebook(path: Path) -> str:
    """A notebook's cells: text as it stands, code in blocks."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    texts = [("".join(cell["source"]), cell["cell_type"]) for cell in cells]
    return "\n\n".join(text if kind == "markdown" else f"```python\n{text}\n```" for text, kind in texts) + "\n"


def _script_file(script: str, page: Page, site: Path) -> str:
    """Write the script where all pages find it, and return what loads it."""
    name = f"assets/javascripts/page-{sha256(script.encode()).hexdigest()[:12]}.js"
    (site / name).parent.mkdir(parents=True, exist_ok=True)
    (site / name).write_text(script, "utf-8")
    return f'<script src="{relpath(name, str(Path(page.file.dest_uri).parent))}"></script>'
