"""Texts as HTML: nothing runs, nothing is lost, and the words that differ are marked."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.records import Message, Prompt
from web.differences import MAX_WORDS, WORD, _bit_parallel, differing_words
from web.rendering import MAX_COLOURED, RenderedTurn, render_pair, render_prompt, render_thought

PIECES = [
    *"abc \n\n\t*_`~#>-+|:[]()!<>&\"'\\=1.",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](https://a.example/?q=1&r=2)",
    "![alt](data:image/svg+xml,<svg onload=alert(1)>)",
    "```python\nprint('<b>', \"x\")  # why\n```\n",
    "~~~html\n<p onclick='x'>\n~~~\n",
    "| a | b |\n|:-|-:|\n| 1 | 2 |\n",
    "\u202e",
    "\u200b",
    "é👩‍👩‍👧",
    "مرحبا",
    "\x00",
    "&lt;script&gt;",
    "&#106;avascript:",
]
texts = st.lists(st.sampled_from(PIECES), max_size=25).map("".join) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=60
)
ALLOWED = {
    "a": {"href", "rel", "target"},
    "ol": {"start"},
    "th": {"align"},
    "td": {"align"},
    "span": {"class"},
    "bdi": {"class"},
}


class Reader(HTMLParser):
    """Reads back what a browser would make of the HTML: its tags with their attributes, and its text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def render_text(text):
    return render_prompt(Prompt.from_text(text))[0].html


def read(html):
    return Reader(html).text


def unmarked(html):
    return html.replace("<mark>", "").replace("</mark>", "")


def marked(html):
    return re.findall(r"<mark>(.*?)</mark>", html, re.DOTALL)


@given(left=texts, right=texts)
def test_without_its_marks_a_pair_is_its_two_texts_rendered_alone(left, right):
    pair = render_pair(left, right)
    assert (unmarked(pair.left), unmarked(pair.right)) == (render_text(left), render_text(right))
    assert pair.has_marks == ("<mark>" in pair.left + pair.right)


@given(text=texts)
def test_equal_texts_have_no_mark(text):
    pair = render_pair(text, text)
    assert pair.left == pair.right == render_text(text)
    assert not pair.has_marks


@given(left=texts, right=texts)
def test_nothing_survives_that_could_run_or_load(left, right):
    pair = render_pair(left, right)
    for html in (pair.left, pair.right):
        for tag, attributes in Reader(html).tags:
            assert tag not in {"script", "img", "iframe", "svg", "style", "object", "form", "input", "base", "meta"}
            assert set(attributes) <= ALLOWED.get(tag, set())
            if "href" in attributes:
                assert re.match("https?://", attributes["href"], re.IGNORECASE)
            if tag == "a":
                assert attributes["target"] == "_blank"
                assert set(attributes["rel"].split()) == {"noopener", "noreferrer", "nofollow"}


@given(words=st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=5), min_size=1, max_size=20))
def test_no_word_is_lost(words):
    assert WORD.findall(read(render_text(" ".join(words)))) == WORD.findall(" ".join(words))


@given(code=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r`"), max_size=80))
@pytest.mark.parametrize("language", ["", "python", "html", "no-such-language", "c++ twice"])
def test_code_is_shown_character_by_character(language, code):
    html = render_text(f"```{language}\n{code}\n```")
    assert read(html).removesuffix("\n") == code + "\n"


@pytest.mark.parametrize(
    "text, html",
    [
        ("a\nb", "<p>a<br>\nb</p>\n"),
        ("<b>a</b> & c", "<p>&lt;b&gt;a&lt;/b&gt; &amp; c</p>\n"),
        ("~~a~~ **b** *c* `d<`", "<p><s>a</s> <strong>b</strong> <em>c</em> <code>d&lt;</code></p>\n"),
        ("3. x", '<ol start="3">\n<li>x</li>\n</ol>\n'),
        ("www.a.example", "<p>www.a.example</p>\n"),
        ("a\u202eb", '<p>a<bdi class="control">\u202e</bdi>b</p>\n'),
        ("a\x1b[31mb", '<p>a<bdi class="control">\x1b</bdi>[31mb</p>\n'),
        ("a\x9bb", '<p>a<bdi class="control">\x9b</bdi>b</p>\n'),
        ("👩‍👩‍👧", "<p>👩‍👩‍👧</p>\n"),
        ("```\nx = 1\n```", "<pre><code>x = 1\n</code></pre>\n"),
        ("```python\nx\n```", '<pre><code><span class="n">x</span><span class="w">\n</span></code></pre>\n'),
        ("", ""),
    ],
)
def test_markdown_is_rendered_as(text, html):
    assert render_text(text) == html


def test_a_picture_is_a_link_to_it_and_inside_a_link_only_its_description():
    outside = Reader(render_text("![a cat](https://a.example/cat.png)"))
    assert [(tag, attributes.get("href")) for tag, attributes in outside.tags] == [
        ("p", None),
        ("a", "https://a.example/cat.png"),
    ]
    assert outside.text == "a cat\n"
    inside = Reader(render_text("[![](https://a.example/cat.png)](https://b.example)"))
    assert [attributes["href"] for tag, attributes in inside.tags if tag == "a"] == ["https://b.example"]
    assert inside.text == "image\n"


@pytest.mark.parametrize(
    "target", ["/sign-in?token=x", "//a.example", "ftp://a.example", "mailto:a@b.c", "#x", "data:,"]
)
def test_a_link_that_names_no_web_site_leads_nowhere(target):
    assert "href" not in render_text(f"[x]({target})")


def test_columns_keep_their_alignment_without_inline_style():
    html = render_text("|a|b|c|\n|:-|-:|-|\n|1|2|3|")
    assert [attributes.get("align") for tag, attributes in Reader(html).tags if tag == "td"] == ["left", "right", None]
    assert "style" not in html


def coloured(*htmls):
    """How many characters stand in colour."""
    return sum(len(read(piece)) for html in htmls for piece in re.findall("<span class.*?</span>", html, re.DOTALL))


def fences(code, count=1, language="perl"):
    return f"```{language}\n{code}\n```\n\n" * count


def test_the_code_of_a_pair_has_one_allowance_of_colour_whatever_its_fences():
    hostile = fences("m{" * 9_000, 6)
    pair = render_pair(hostile, hostile)
    turns = render_prompt(Prompt(tuple(Message("user", fences("m{" * 400)) for _ in range(20))))
    assert coloured(pair.left, pair.right, *(turn.html for turn in turns)) == 0
    assert read(pair.left).count("m{") == 6 * 9_000
    half = fences("x" * (MAX_COLOURED // 4 - 1), 2)  # the line's end counts too
    pair = render_pair(half, half)
    assert coloured(pair.left) == coloured(pair.right) == MAX_COLOURED // 2


def test_code_is_in_colour_on_both_sides_or_on_neither():
    pair = render_pair(fences("x = 1"), fences("x = 1\n" * (MAX_COLOURED // 6)))
    assert coloured(pair.left) == coloured(pair.right) == 0
    plain = render_pair(fences("x = 1"), fences("x = 1\n" * MAX_COLOURED, language=""))
    assert coloured(plain.left) > 0


@pytest.mark.parametrize("language", ["rst", "autohotkey", "gherkin", "md"])
def test_a_language_whose_lexer_takes_minutes_on_bad_will_or_calls_another_is_shown_plain(language):
    assert coloured(render_text(fences("# Feature: a\n    `b <c>`_", language=language))) == 0


def test_words_that_differ_are_marked_and_neighbours_share_a_mark():
    pair = render_pair("The old **cat** sat on the mat.", "The cat sat on a red mat.")
    assert marked(pair.left) == ["old", "the"]
    assert marked(pair.right) == ["a red"]


def test_a_mark_goes_through_code_by_its_colours():
    pair = render_pair("```python\nx = 'one'  # same\n```", "```python\nx = 'two'  # same\n```")
    assert marked(pair.left) == ["one"]
    assert unmarked(pair.left) == render_text("```python\nx = 'one'  # same\n```")


def test_numbers_and_contractions_are_one_word():
    pair = render_pair("It doesn't weigh 30 g at all.", "It doesn't weigh 30,000.5 g at all.")
    assert (marked(pair.left), marked(pair.right)) == (["30"], ["30,000.5"])


def test_texts_that_share_next_to_nothing_and_texts_without_end_have_no_mark():
    assert not render_pair("Water them every day.", "Roses need full sun and good soil").has_marks
    long = [str(at) for at in range(MAX_WORDS + 1)]
    assert differing_words(["x", *long], [*long, "y"]) == ([False] * len(["x", *long]), [False] * len([*long, "y"]))


words = st.lists(st.sampled_from("abcd"), max_size=14)


@given(first=words, second=words)
def test_the_common_words_are_as_many_as_a_table_finds(first, second):
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for at, word in enumerate(first):
        for other, found in enumerate(second):
            best = max(table[at][other + 1], table[at + 1][other])
            table[at + 1][other + 1] = table[at][other] + 1 if word == found else best
    shared = _bit_parallel(first, second)
    assert len(shared) == table[-1][-1]
    assert all(first[at] == second[other] for at, other in shared)
    assert all(one[0] < two[0] and one[1] < two[1] for one, two in pairwise(shared))


@given(first=words, second=words)
def test_what_is_not_marked_reads_the_same_on_both_sides_unless_nothing_is_marked(first, second):
    flags = differing_words(first, second)
    rest = [
        [word for word, differs in zip(side, flag, strict=True) if not differs]
        for side, flag in zip((first, second), flags, strict=True)
    ]
    assert rest[0] == rest[1] or not any(map(any, flags))


def test_a_prompt_is_rendered_turn_by_turn():
    prompt = Prompt((Message("system", "Be *brief*."), Message("user", "<b>why?")))
    assert render_prompt(prompt) == [
        RenderedTurn("system", "<p>Be <em>brief</em>.</p>\n"),
        RenderedTurn("user", "<p>&lt;b&gt;why?</p>\n"),
    ]


def test_a_thought_is_folded_and_passes_the_same_gates_as_an_answer():
    assert render_thought("hm, <b>*so*") == (
        '<details class="thought"><summary>Thought</summary><p>hm, &lt;b&gt;<em>so</em></p>\n</details>\n'
    )
    assert render_thought("</details><script>").count("</details>") == 1
    assert render_thought(None) == render_thought("") == ""


def test_threads_render_side_by_side():
    pairs = [(f"a {at} **b**", f"a {at + 1} **b**") for at in range(40)]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda pair: render_pair(*pair), pairs)) == [render_pair(*pair) for pair in pairs]
