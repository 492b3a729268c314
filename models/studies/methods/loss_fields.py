"""The losses of DPO and ASFT over two probabilities, as closed forms, and pictures of them (ASFT figure 1).

The plane: p_w, the probability of the chosen response (per token, its geometric mean), and p_l, that of the rejected
one, both in (0, 1). Knows no model and no torch; a test holds the forms against autograd.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.intervals import Interval
from models.studies.findings import FieldPlot, Line, LinePlot, Section

_Floats = NDArray[np.float64]

_GRID = tuple((at + 0.5) / 9 for at in range(9))  # of arrows, either way
_ALONG = tuple(at / 100 for at in range(2, 91, 4))  # p_l of the lines: above 0.9 ASFT's slope leaves the picture
_CHOSEN_AT = 0.5
_PLANE = ("p(chosen), per token", "p(rejected), per token")


class Slopes(NamedTuple):
    """A loss's derivatives by p_w and by p_l, arrays of one shape."""

    chosen: _Floats
    rejected: _Floats


def bt_loss(chosen: ArrayLike, rejected: ArrayLike, *, beta: float = 1.0) -> _Floats:
    """−log σ(β (log p_w − log p_l)): DPO's loss where the reference finds both responses equally likely (REAL eq. 5).

    The Bradley-Terry loss knows the two probabilities by their ratio alone: it is the same on every line through the
    origin.
    """
    return np.asarray(np.logaddexp(0.0, beta * (np.log(rejected) - np.log(chosen))), dtype=np.float64)


def bt_slopes(chosen: ArrayLike, rejected: ArrayLike, *, beta: float = 1.0) -> Slopes:
    """Its derivatives: −β r / p_w and β r / p_l with r = p_l^β / (p_w^β + p_l^β).

    Their sizes are as p_l to p_w: the less likely the rejected response has become, the more of the step goes into
    making it less likely still.
    """
    p_w, p_l = np.asarray(chosen, dtype=np.float64), np.asarray(rejected, dtype=np.float64)
    share = p_l**beta / (p_w**beta + p_l**beta)
    return Slopes(-beta * share / p_w, beta * share / p_l)


def alignment_loss(chosen: ArrayLike, rejected: ArrayLike) -> _Floats:
    """−log p_w − log(1 − p_l): what ASFT adds to SFT's loss (ASFT eq. 13)."""
    return np.asarray(-np.log(chosen) - np.log1p(-np.asarray(rejected, dtype=np.float64)), dtype=np.float64)


def alignment_slopes(chosen: ArrayLike, rejected: ArrayLike) -> Slopes:
    """Its derivatives: −1 / p_w and 1 / (1 − p_l), neither of which depends on the other probability."""
    p_w, p_l = np.broadcast_arrays(np.asarray(chosen, dtype=np.float64), np.asarray(rejected, dtype=np.float64))
    return Slopes(-1 / p_w, 1 / (1 - p_l))


def loss_fields() -> Section:
    """ASFT figure 1: the path of descent of both losses over the plane, and their values and slopes along p_l."""
    return Section(
        "Where the two losses push (ASFT figure 1)",
        (
            "Arithmetic, not a measurement: the Bradley-Terry loss of DPO with β 1 against a reference that finds both "
            "responses equally likely, and ASFT's alignment term (eq. 13). The arrows point the way of descent; their "
            "lengths are the roots of the slopes, so that the short ones can be seen.",
        ),
        (
            _field("Descent of the Bradley-Terry loss", bt_slopes),
            _field("Descent of ASFT’s alignment loss", alignment_slopes),
            _along(
                f"Loss where p(chosen) is {_CHOSEN_AT:g}",
                "Loss, nats",
                {
                    "Bradley-Terry": lambda p_l: bt_loss(_CHOSEN_AT, p_l),
                    "ASFT": lambda p_l: alignment_loss(_CHOSEN_AT, p_l),
                },
            ),
            _along(
                f"Slopes where p(chosen) is {_CHOSEN_AT:g}",
                "Size of the slope, nats per unit of probability",
                {
                    "Bradley-Terry, by p(chosen)": lambda p_l: -bt_slopes(_CHOSEN_AT, p_l).chosen,
                    "Bradley-Terry, by p(rejected)": lambda p_l: bt_slopes(_CHOSEN_AT, p_l).rejected,
                    "ASFT, by p(chosen)": lambda p_l: -alignment_slopes(_CHOSEN_AT, p_l).chosen,
                    "ASFT, by p(rejected)": lambda p_l: alignment_slopes(_CHOSEN_AT, p_l).rejected,
                },
            ),
        ),
    )


def _field(title: str, slopes: Callable[[float, float], Slopes]) -> FieldPlot:
    arrows = []
    for p_w in _GRID:
        for p_l in _GRID:
            right, up = (-float(slope) for slope in slopes(p_w, p_l))
            scale = math.hypot(right, up) ** -0.5
            arrows.append((p_w, p_l, scale * right, scale * up))
    return FieldPlot(title, *_PLANE, tuple(arrows))


def _along(title: str, y_title: str, values: dict[str, Callable[[_Floats], _Floats]]) -> LinePlot:
    lines = (
        Line(name, tuple((x, Interval(y, y, y)) for x, y in zip(_ALONG, of(np.array(_ALONG)).tolist(), strict=True)))
        for name, of in values.items()
    )
    return LinePlot(title, _PLANE[1], y_title, tuple(lines))
