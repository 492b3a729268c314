import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread
from report_pages import EVIL, Floats, Tags, candidates, report, result

import models.report
from models.intervals import Interval
from models.report import (
    CurationReport,
    PromptCandidates,
    ResponseCounts,
    StrategyResult,
    render_report,
    write_report,
)
from models.report.candidate_map import HEIGHT, WIDTH, draw_map, most_telling, project
from models.report.contents import COLOURED
from models.report.histograms import bin_counts, common_edges, draw_histograms
from models.report.length import correlation_words


def bare(strategies: Mapping[str, StrategyResult], shown: tuple[PromptCandidates, ...] = ()) -> CurationReport:
    return replace(report(), strategies=strategies, candidates=shown, settings={}, next_steps=())


def test_the_page_says_what_the_run_did() -> None:
    page = render_report(report())
    for expected in ("1,200", "9,600", "8.0 a prompt", "3.1 %", "&lt; 0.1 %", "1 h 04 min", "2026-03-01 09:30 UTC"):
        assert expected in page
    for expected in ("0.200", "0.850", "antipode export", "REAL eq. 9", "REAL eq. 8", "1 and 2", "1 and 3"):
        assert expected in page
    assert page.index("REAL eq. 9") < page.index("REAL eq. 8")  # easy comes first, however the mapping is ordered
    assert "eq. 12" not in page


def test_hostile_text_stays_text_everywhere() -> None:
    page = render_report(report(EVIL))
    tags = Tags(page)
    assert not tags.names & {"script", "img", "link", "iframe", "object"}
    assert not {name for name in tags.attributes if name.startswith("on")} | (tags.attributes & {"src", "href"})
    assert page.count("&lt;script&gt;") >= 15
    assert "default-src 'none'" in page


@given(st.text())
def test_any_text_gives_well_formed_tags(text: str) -> None:
    assert Tags(render_report(report(text))).names <= Tags(render_report(report("a " * 300))).names


@pytest.mark.parametrize("text", ["x" * 5000, "שלום עולם " * 90, "👩‍👩‍👧 " * 90, "one\n\ntwo", "", "lone \ud800"])
def test_odd_texts_are_shown_in_full_and_in_their_own_direction(text: str, tmp_path: Path) -> None:
    write_report(report(text), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert text.strip().replace("\ud800", "\\ud800") in page
    assert 'class="text" dir="auto"' in page


def test_the_same_report_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_report(report(), tmp_path / name / "report.html")
    assert (tmp_path / "a/report.html").read_bytes() == (tmp_path / "b/report.html").read_bytes()


def test_a_failed_write_leaves_the_old_page_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.mkdir()
    with pytest.raises(OSError):
        write_report(report(), target)
    assert list(tmp_path.iterdir()) == [target]


def test_a_run_without_a_pair_or_a_candidate_still_has_a_page() -> None:
    page = render_report(bare({"easy": result([], late=4)}))
    assert "no pair selected" in page and ">late</th>" in page and "No pair to show" in page
    assert "One prompt up close" not in page and "What to do next" not in page


def test_the_page_says_how_unlike_in_length_pairs_are_and_whether_similarity_follows_length() -> None:
    ratios = {"easy": result([0.5]), "longest_gap": replace(result([0.5]), mean_length_ratio=0.271)}
    page = render_report(replace(bare(ratios), length_words=correlation_words(Interval(-0.31, -0.35, -0.27))))
    assert '<td class="number" data-label="Length ratio">0.271</td>' in page and "differ most in length" in page
    assert '<td class="number" data-label="Length ratio">–</td>' in page
    assert "difference in length: −0.31 [−0.35, −0.27]" in page
    assert "Rank correlation" not in render_report(bare(ratios))


def test_a_run_without_a_prompt_still_has_a_page() -> None:
    empty = replace(bare({"random": result([])}), counts=ResponseCounts(*[0] * 7))
    assert "the run had no prompt" in render_report(empty)


def test_a_reason_without_prompts_is_not_listed() -> None:
    assert "every prompt got a pair" in render_report(bare({"easy": result([0.5], late=0)}))


def test_tens_of_thousands_of_similarities_make_no_bigger_page() -> None:
    many = np.random.default_rng(0).uniform(-1, 1, 50_000)
    assert len(render_report(bare({"easy": result(many)}))) < len(render_report(bare({"easy": result([0])}))) + 2000


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: bare({}), "at least 1 strategy"),
        (lambda: result([0.1, np.nan]), "1 of 2 are not"),
        (lambda: result([[0.1]]), r"got \(1, 1\)"),
        (lambda: candidates({"easy": (0, 4)}), r"easy pair is \(0, 4\), but positions go from 0 to 3"),
        (lambda: candidates({}, embeddings=np.ones((3, 2))), "4 responses need embeddings"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_its_value(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_a_histogram_worked_by_hand() -> None:
    drawn = draw_histograms(
        {"easy": np.array([-1.0, -1.0, 1.0, 1.0]), "hard": np.array([0.96, 0.98]), "random": np.array([])}
    )
    assert [(tick.label, tick.position) for tick in drawn.ticks] == [
        ("−1.0", 0), ("−0.5", 25), ("0.0", 50), ("0.5", 75), ("1.0", 100)
    ]  # fmt: skip
    assert drawn.by_strategy.keys() == {"easy", "hard"}
    easy, hard = drawn.by_strategy["easy"], drawn.by_strategy["hard"]
    assert (easy.median, easy.median_position) == (0, 50)
    assert hard.median_position == pytest.approx(98.5)
    assert easy.outline.startswith("M0 100V50.00H2.50V100.00")  # half of its pairs in the first bin of width 0.05
    assert hard.outline.endswith("H97.50V0.00H100.00V100Z")  # all of its pairs in the last one


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60), st.sampled_from([1.0, 1e-3, 1e-7, 0.0]))
def test_every_similarity_falls_in_exactly_one_bin(values: list[float], spread: float) -> None:
    array = np.clip(values[0] + spread * np.array(values), -1, 1)
    edges = common_edges(array)
    widths = np.diff(edges)
    assert edges[0] >= -1 - 1e-9 and edges[-1] <= 1 + 1e-9
    assert edges[0] <= array.min() + 1e-9 and edges[-1] >= array.max() - 1e-9
    assert 16 <= len(widths) <= 62 and np.allclose(widths, widths[0])
    assert bin_counts(array, edges).sum() == len(array)
    assert len(draw_histograms({"easy": array}).ticks) >= 2


@given(st.integers(1, 12), st.integers(1, 9), st.integers(0, 10**6))
def test_the_projection_agrees_with_the_principal_axes_of_the_covariance(count: int, width: int, seed: int) -> None:
    embeddings = np.random.default_rng(seed).normal(size=(count, width))
    coordinates, spread_shown = project(embeddings)
    centred = embeddings - embeddings.mean(axis=0)
    variances = np.sort(np.linalg.eigvalsh(centred.T @ centred))[::-1]
    expected = np.pad(variances, (0, 2))[:2]
    assert np.square(coordinates).sum(axis=0) == pytest.approx(expected, abs=1e-8)
    if count > 1:
        assert spread_shown == pytest.approx(expected.sum() / variances.sum())
    negative, _ = project(embeddings[:, ::-1] * -1)
    assert negative == pytest.approx(coordinates, abs=1e-6)  # turning the space over does not turn the picture


@pytest.mark.parametrize("count", [0, 1, 2, 16, 64])
def test_identical_embeddings_are_drawn_apart_within_the_frame(count: int) -> None:
    same = candidates({}, ("same",) * count, np.ones((count, 4), np.float32))
    drawn = draw_map(same)
    assert drawn.spread_shown is None and len(drawn.dots) == count
    assert all(12 <= dot.x <= WIDTH - 12 and 12 <= dot.y <= HEIGHT - 12 for dot in drawn.dots)
    assert all(np.hypot(a.x - b.x, a.y - b.y) > 23 for a, b in combinations(drawn.dots, 2))


def test_a_candidate_without_embedding_is_listed_but_not_drawn() -> None:
    embeddings = np.eye(4, dtype=np.float16)
    embeddings[1], embeddings[3] = np.nan, 0
    shown = candidates({"easy": (2, 0), "random": (0, 1)}, embeddings=embeddings)
    drawn = draw_map(shown)
    assert [dot.number for dot in drawn.dots] == [1, 3]
    assert [(line.strategy, line.numbers, line.similarity) for line in drawn.lines] == [("easy", (1, 3), 0)]
    assert render_report(bare({"easy": result([0])}, (shown,))).count("no embedding, not on the map") == 2


def test_pairs_that_coincide_run_side_by_side() -> None:
    first, second = draw_map(candidates({"hard": (1, 0), "easy": (0, 1)})).lines
    assert first.numbers == second.numbers == (1, 2) and first.similarity == second.similarity
    assert np.hypot(*np.subtract(first.start, second.start)) == pytest.approx(6, abs=0.2)


def test_the_map_shows_the_first_prompt_on_which_strategies_differ_most() -> None:
    same, differ = candidates({"easy": (0, 1), "hard": (1, 0)}), candidates({"easy": (0, 1), "hard": (0, 2)})
    assert most_telling([same, differ, candidates({"easy": (2, 3), "hard": (0, 1)})]) is differ
    assert most_telling([]) is None


def test_strategies_keep_their_colours_and_everybody_can_tell_them_apart() -> None:
    css = (Path(models.report.__file__).parent / "sheets" / "colours.css").read_text()
    colours = {name: re.findall(rf"--{name}: (#\w+);", css) for name in COLOURED}
    grounds = [linear(ground) for ground in re.findall(r"--(?:paper|card): (#\w+);", css)]
    assert len(grounds) == 4 and all(len(found) == 1 for found in colours.values())
    strategies = [linear(found[0]) for found in colours.values()]
    assert min(contrast(colour, ground) for colour in strategies for ground in grounds) >= 3  # WCAG 2.2, 1.4.11
    for seen in (np.eye(3), GREEN_BLIND, RED_BLIND):
        assert min(np.linalg.norm(lab(seen @ a) - lab(seen @ b)) for a, b in combinations(strategies, 2)) >= 25


# Machado, Oliveira and Fernandes 2009, severity 1, for linear RGB.
GREEN_BLIND = np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]])
RED_BLIND = np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]])
RGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour: str) -> Floats:
    coded = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    light: Floats = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    return light


def contrast(one: Floats, other: Floats) -> float:
    light, dark = sorted([RGB_TO_XYZ[1] @ one, RGB_TO_XYZ[1] @ other], reverse=True)
    return float((light + 0.05) / (dark + 0.05))


def lab(rgb: Floats) -> Floats:
    x, y, z = np.cbrt(RGB_TO_XYZ @ np.clip(rgb, 0, 1) / np.array([0.9505, 1, 1.089]))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.browser
def test_a_browser_shows_the_page_and_runs_nothing_of_it(tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    write_report(report(EVIL), tmp_path / "report.html")
    offline = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    quiet = "--disable-component-update --disable-sync --hide-scrollbars --window-size=390,900"
    outputs = [f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={tmp_path / 'page.png'}", "--dump-dom"]
    command = [chromium, *offline.split(), *quiet.split(), *outputs, (tmp_path / "report.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "<title>&lt;script&gt;document.title = " in done.stdout
    pixels = imread(tmp_path / "page.png")[..., :3]
    assert pixels.shape[1] == 390
    inked = np.abs(pixels - pixels[0, 0]).max(axis=2) > 0.1
    assert 0.02 < inked.mean() < 0.5 and inked.any(axis=1).mean() > 0.3
