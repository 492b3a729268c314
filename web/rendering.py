"""Texts as HTML that cannot run: Markdown, coloured code, marked words. Knows no request and no database.

A text passes three gates: Markdown without HTML, rules that escape every leaf, and a sanitiser with a short list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import nh3
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from pygments.lexers import find_lexer_class_by_name
from pygments.token import STANDARD_TYPES
from pygments.util import ClassNotFound

from models.records import Prompt
from web.differences import WORD, differing_words

Span = tuple[int, int]

LEAVES = {"text", "code_inline", "fence", "code_block"}
# Pygments by its own names. On 5,000 characters of bad will these take at most 0.4 s, C# 2 s; others take minutes, and
# Markdown's would call them.
LANGUAGES = {
    "python", "javascript", "typescript", "jsx", "tsx", "java", "c", "cpp", "csharp", "objective-c", "go", "rust",
    "swift", "kotlin", "scala", "dart", "haskell", "elixir", "ruby", "php", "perl", "lua", "julia", "splus", "matlab",
    "bash", "console", "powershell", "make", "docker", "sql", "mysql", "postgresql", "graphql", "html", "css", "scss",
    "xml", "json", "yaml", "toml", "ini", "tex", "diff",
}  # fmt: skip
MAX_COLOURED = 5_000  # characters of code shown together
TAGS = {"p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "em", "strong", "s", "code", "pre", "blockquote"}
TAGS |= {"ul", "ol", "li", "a", "mark", "bdi", "span", "table", "thead", "tbody", "tr", "th", "td"}
# What reorders text, and what hides in it: a terminal's controls too, of which a browser shows nothing. Each is
# isolated, so that it acts on nothing, and made visible.
# Joiners and direction marks (U+200C to U+200F) stay: emoji and scripts need them, and they reorder no letters.
CONTROLS = re.compile("[\x01-\x08\x0b\x0e-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2060\u2066-\u2069\ufeff]")


@dataclass(frozen=True, slots=True)
class RenderedPair:
    """Two responses as HTML, and whether any word is marked."""

    left: str
    right: str
    has_marks: bool


@dataclass(frozen=True, slots=True)
class RenderedTurn:
    """One turn of a prompt: who speaks, and the text as HTML."""

    role: str
    html: str


def render_pair(left: str, right: str) -> RenderedPair:
    """Render two Markdown texts as sanitised HTML, with `<mark>` around the words that differ.

    Their code is in colour on both sides or, where it is longer than `MAX_COLOURED` in all, on neither.
    """
    sides = _parse_all([left, right])
    words = [_words(tokens) for tokens in sides]
    differs = differing_words(*([word for _, _, word in side] for side in words))
    for side, flags in zip(words, differs, strict=True):
        _mark(side, flags)
    left_html, right_html = (_as_html(tokens) for tokens in sides)
    return RenderedPair(left_html, right_html, any(map(any, differs)))


def render_prompt(prompt: Prompt) -> list[RenderedTurn]:
    """Render a prompt turn by turn; one allowance of `MAX_COLOURED` characters is for the code of all turns."""
    turns = _parse_all([message.content for message in prompt.messages])
    return [
        RenderedTurn(message.role, _as_html(tokens)) for message, tokens in zip(prompt.messages, turns, strict=True)
    ]


def render_text(text: str) -> str:
    """Render a Markdown text that stands alone; its code is in colour up to `MAX_COLOURED` characters."""
    (tokens,) = _parse_all([text])
    return _as_html(tokens)


def render_thought(thought: str | None) -> str:
    """Render what a model thought before its answer, folded away until it is opened; nothing where there is nothing."""
    if not thought:
        return ""
    return f'<details class="thought"><summary>Thought</summary>{render_text(thought)}</details>\n'


def _parse_all(texts: Sequence[str]) -> list[list[Token]]:
    """Parse texts that are shown together; where they hold too much code to colour, it has no language.

    All or nothing: a response in colour beside a plain one would look the better of the two.
    """
    parsed = [_parse(text) for text in texts]
    fences = [leaf for tokens in parsed for leaf in _leaves(tokens) if leaf.type == "fence" and leaf.info.strip()]
    if sum(len(fence.content) for fence in fences) > MAX_COLOURED:
        for fence in fences:
            fence.info = ""
    return parsed


def _parse(text: str) -> list[Token]:
    tokens = _markdown().parse(text)
    for token in tokens:
        token.children = _without_images(token.children or []) if token.type == "inline" else token.children
        if alignment := str(token.attrs.pop("style", "")):  # inline style is refused by the page's policy
            token.attrSet("align", alignment.removeprefix("text-align:"))
    return tokens


def _without_images(tokens: Sequence[Token]) -> list[Token]:
    """The tokens with every image as a link to it; inside a link only its description is left."""
    linked: list[Token] = []
    depth = 0
    for token in tokens:
        depth += token.nesting if token.type.startswith("link_") else 0
        if token.type != "image":
            linked.append(token)
            continue
        description = token.content or "image"
        opening = [] if depth else [Token("link_open", "a", 1, attrs={"href": str(token.attrGet("src"))})]
        closing = [] if depth else [Token("link_close", "a", -1)]
        linked += [*opening, Token("text", "", 0, content=description), *closing]
    return linked


def _leaves(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        if token.type in LEAVES:
            yield token
        yield from _leaves(token.children or ())


def _words(tokens: Sequence[Token]) -> list[tuple[Token, Span, str]]:
    """Every word that will be read, with the leaf it stands in and where."""
    return [(leaf, match.span(), match.group()) for leaf in _leaves(tokens) for match in WORD.finditer(leaf.content)]


def _mark(words: Sequence[tuple[Token, Span, str]], flags: Sequence[bool]) -> None:
    """Leave in each leaf the spans to mark; words that differ one after the other share a mark."""
    previous: Token | None = None
    for (leaf, (start, end), _), differs in zip(words, flags, strict=True):
        if differs:
            spans: list[Span] = leaf.meta.setdefault("marks", [])
            spans.append((spans.pop()[0] if spans and leaf is previous else start, end))
        previous = leaf if differs else None


def _as_html(tokens: Sequence[Token]) -> str:
    markdown = _markdown()
    return _sanitiser().clean(markdown.renderer.render(tokens, markdown.options, {}))


@cache
def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "breaks": True, "typographer": False})
    markdown.enable(["table", "strikethrough"])
    for name in LEAVES:
        markdown.add_render_rule(name, _render_leaf)
    return markdown


@cache
def _sanitiser() -> nh3.Cleaner:
    sides = {"align": {"left", "center", "right"}}
    return nh3.Cleaner(
        tags=TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        tag_attribute_values={"th": sides, "td": sides},
        allowed_classes={"span": set(STANDARD_TYPES.values()) - {""}, "bdi": {"control"}},
        # A link must name its site: one without would lead into this page's own addresses.
        attribute_filter=lambda tag, name, value: (
            None if name == "href" and not value.lower().startswith(("http://", "https://")) else value
        ),
        set_tag_attribute_values={"a": {"target": "_blank"}},
        link_rel="noopener noreferrer nofollow",
        url_schemes={"http", "https"},
    )


def _render_leaf(
    _renderer: RendererHTML, tokens: Sequence[Token], at: int, _options: OptionsDict, _env: EnvType
) -> str:
    leaf = tokens[at]
    marks: list[Span] = leaf.meta.get("marks", [])
    if leaf.type == "text":
        return _escaped(leaf.content, 0, marks)
    if leaf.type == "code_inline":
        return f"<code>{_escaped(leaf.content, 0, marks)}</code>"
    pieces, start = [], 0
    for css_class, text in _coloured(leaf):
        html = _escaped(text, start, marks)
        pieces.append(f'<span class="{css_class}">{html}</span>' if css_class else html)
        start += len(text)
    return f"<pre><code>{''.join(pieces)}</code></pre>\n"


def _coloured(leaf: Token) -> list[tuple[str, str]]:
    """The code in pieces with their Pygments class; one plain piece where it names none of `LANGUAGES`."""
    plain = [("", leaf.content)]
    language = leaf.info.split(maxsplit=1)[0] if leaf.info.strip() else ""
    if not language:
        return plain
    try:
        lexer_class = find_lexer_class_by_name(language)
    except ClassNotFound:
        return plain
    if lexer_class.aliases[0] not in LANGUAGES:
        return plain
    lexer = lexer_class(stripnl=False, ensurenl=False)
    pieces = [(STANDARD_TYPES.get(kind, ""), text) for kind, text in lexer.get_tokens(leaf.content)]
    return pieces if "".join(text for _, text in pieces) == leaf.content else plain  # some lexers drop characters


def _escaped(text: str, start: int, marks: Sequence[Span]) -> str:
    """The text escaped, with the marks that fall into it; `start`: where it begins in its leaf."""
    pieces, position = [], 0
    for begin, end in marks:
        low, high = max(begin - start, 0), min(end - start, len(text))
        if low < high:
            pieces += [_visible(text[position:low]), f"<mark>{_visible(text[low:high])}</mark>"]
            position = high
    return "".join(pieces) + _visible(text[position:])


def _visible(text: str) -> str:
    return CONTROLS.sub(r'<bdi class="control">\g<0></bdi>', escapeHtml(text))
