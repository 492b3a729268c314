"""The similarities of the selected pairs as a picture of its own: a histogram a strategy. Knows no colours."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.report.contents import in_order
from models.report.histograms import draw_histograms
from models.report.templates import make_environment

WIDTH, ROW_HEIGHT = 620, 84  # SVG units, about one CSS pixel on a wide screen
NO_PAIRS = "No pair was selected, so there is no similarity to show."


def similarities_svg(similarities: Mapping[str, NDArray[np.floating]]) -> str:
    """The histograms as an SVG document on a sheet of its own: dark where the viewer prefers dark.

    Args:
        similarities: strategy -> (n,) cosines, finite; n may be 0. A strategy without a pair is left out.
    """
    drawn = draw_histograms(similarities)
    counts = {name: len(similarities[name]) for name in in_order(drawn.by_strategy)}
    return (
        make_environment()
        .get_template("similarities_sheet.html")
        .render(histograms=drawn, counts=counts, size=(WIDTH, ROW_HEIGHT), nothing=NO_PAIRS)
    )
