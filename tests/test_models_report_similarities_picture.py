"""The similarities of selected pairs: a histogram a strategy on shared bins, with its median."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sample_plots import ARMS, check_words, paths, titles

from models.report.similarities_picture import NO_PAIRS, draw_similarities, shares_svg, similarities_svg

SVG = "{http://www.w3.org/2000/svg}"
cosines = arrays(np.float32, st.integers(0, 20), elements=st.floats(-1, 1, width=32))


def test_strategies_stand_one_below_the_other_with_median_and_pairs() -> None:
    drawing = draw_similarities({"hard": np.array([0.9]), "easy": np.array([0.1, 0.2, 0.3]), "random": np.array([])})
    assert drawing is not None
    assert titles(drawing) == ["easy: median 0.200, 3 pairs", "hard: median 0.900, 1 pair"]
    easy, hard = ([float(x) for x in re.findall(r"M([\d.]+) ", path)] for path in paths(drawing, "median"))
    assert easy < hard


def test_equal_heights_are_equal_shares_of_a_strategys_pairs() -> None:
    drawing = draw_similarities({"easy": np.array([0.1]), "hard": np.array([0.9] * 50 + [0.1] * 50)})
    assert drawing is not None
    heights = []
    for path in paths(drawing, "filled"):
        ups = [float(y) for y in re.findall(r"V([\d.]+)", path)]
        heights.append(max(ups) - min(ups))
    assert heights[0] == 2 * heights[1]


@given(st.dictionaries(st.sampled_from(ARMS), cosines, max_size=6))
def test_whatever_the_similarities_the_picture_is_whole(similarities: dict[str, np.ndarray]) -> None:
    svg = similarities_svg(similarities)
    ElementTree.fromstring(svg)
    drawing = draw_similarities(similarities)
    assert (drawing is None) == (NO_PAIRS in svg)
    if drawing:
        check_words(drawing)
        rows = [float(re.findall(r"M[\d.]+ ([\d.]+)V", path)[0]) for path in paths(drawing, "median")]
        assert all(one < other for one, other in pairwise(rows))


def test_counts_over_each_other_are_shares_on_shared_bins_and_a_series_keeps_its_mark() -> None:
    svg = shares_svg({"easy": {"run 1": {0: 3, 399: 1}, "run 2": {200: 2}}, "hard": {"run 2": {100: 5}}}, width=0.005)
    found = [
        (group.get("class"), path.get("d", ""))
        for group in ElementTree.fromstring(svg).iter(f"{SVG}g")
        for path in group.iterfind(f"{SVG}path[@class='filled']")
    ]
    outlines = [path for _, path in found if path.count("H") > 1]  # the others are keys
    assert len(outlines) == 3
    assert len({(path.split()[0], path.split("H")[-1]) for path in outlines}) == 1, (
        "all begin and end at the same edges"
    )
    of_runs = [mark for mark, path in found if path in outlines]
    assert of_runs[1] == of_runs[2] != of_runs[0], "run 2 has the same mark in both pictures"


@given(st.dictionaries(st.sampled_from(ARMS), st.dictionaries(st.integers(0, 400), st.integers(1, 9)), max_size=4))
def test_whatever_the_counts_the_picture_is_whole_and_no_pair_is_lost(counts: dict[str, dict[int, int]]) -> None:
    svg = shares_svg({"title": counts}, width=0.005)
    ElementTree.fromstring(svg)
    if not any(counts.values()):
        assert NO_PAIRS in svg
