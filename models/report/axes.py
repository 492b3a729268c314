"""Axes of a picture: round ticks, places on a scale, numbers of three digits. Knows no colours and no HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Beyond it a value counts as not finite: differences of two must not overflow.
LARGEST = 1e100
_SMALLEST = 1e-100
MOST_TICKS = 6


@dataclass(frozen=True, slots=True)
class Axis:
    """A scale from `low` to `high` drawn from `start` to `stop`; `ticks` are (label, place)."""

    low: float
    high: float
    start: float
    stop: float
    ticks: tuple[tuple[str, float], ...]
    is_logarithmic: bool = False

    def place(self, value: float) -> float:
        """Where a value is drawn, to a tenth of a unit."""
        if self.is_logarithmic:
            return _place(math.log10(value), math.log10(self.low), math.log10(self.high), self.start, self.stop)
        return _place(value, self.low, self.high, self.start, self.stop)


def round_axis(values: Sequence[float], *, start: float, stop: float, most_ticks: int) -> Axis:
    """An axis of round ticks that begins and ends on one and holds every value, all finite, one or more.

    Values that are all but equal get room on both sides.
    """
    low, high = min(values), max(values)
    largest = max(abs(low), abs(high))
    if high - low <= max(1e-9 * largest, _SMALLEST):
        room = 0.05 * largest if largest > 100 * _SMALLEST else 1.0
        low, high = low - room, high + room
    step = _step(low, high, most_ticks)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    low, high = min(low, first * step), max(high, last * step)
    ticks = [
        (_tick(multiple * step, step), _place(multiple * step, low, high, start, stop))
        for multiple in range(first, last + 1)
    ]
    return Axis(low, high, start, stop, tuple(ticks))


def log_axis(values: Sequence[float], *, start: float, stop: float, most_ticks: int) -> Axis:
    """A logarithmic axis that holds every value, all > 0 and drawable, one or more, with room on both sides.

    Its ticks are 1, 2 and 5 times powers of ten, or the powers alone; of a range too narrow for two of them, round
    numbers.
    """
    room = max(1.02, (max(values) / min(values)) ** 0.04)
    low, high = min(values) / room, max(values) * room
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = math.ceil(len(powers) / most_ticks)
    for factors, of_powers in (((1, 2, 5), powers), ((1,), powers[::every])):
        ticks = [factor * 10.0**power for power in of_powers for factor in factors]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if 2 <= len(ticks) <= most_ticks:
            labels = [_tick(tick, 10.0 ** math.floor(math.log10(tick))) for tick in ticks]
            break
    else:
        step = _step(low, high, most_ticks)
        ticks = [step * multiple for multiple in range(math.ceil(low / step), math.floor(high / step) + 1)]
        labels = [_tick(tick, step) for tick in ticks]
    places = [_place(math.log10(tick), math.log10(low), math.log10(high), start, stop) for tick in ticks]
    return Axis(low, high, start, stop, tuple(zip(labels, places, strict=True)), is_logarithmic=True)


def is_drawable(value: float, *, is_logarithmic: bool = False) -> bool:
    """Whether a picture can show the value: it is finite, at most 1e100, and above 0 where the axis is logarithmic."""
    return math.isfinite(value) and abs(value) <= LARGEST and (not is_logarithmic or value >= _SMALLEST)


def tight_axis(values: Sequence[float], *, start: float, stop: float, most_ticks: int) -> Axis:
    """An axis from the lowest to the highest value, all finite, one or more; its ticks are round numbers between.

    Values that are all but equal get room on both sides.
    """
    low, high = min(values), max(values)
    if high - low <= max(1e-9 * max(abs(low), abs(high)), _SMALLEST):
        return round_axis(values, start=start, stop=stop, most_ticks=most_ticks)
    step = _step(low, high, most_ticks)
    inside = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    ticks = tuple((_tick(step * at, step), _place(step * at, low, high, start, stop)) for at in inside)
    return Axis(low, high, start, stop, ticks)


def step_axis(last: int, *, start: float, stop: float, most_ticks: int) -> Axis:
    """An axis of whole steps from 0 to `last` (to 1 where that is 0); ticks are round numbers."""
    last = max(1, last)
    power = 10 ** math.floor(math.log10(last))
    steps = [max(1, power * factor // 10) for factor in (1, 2, 5, 10, 20)]
    step = next(step for step in steps if last / step < most_ticks)
    ticks = [(f"{tick:,}", _place(tick, 0, last, start, stop)) for tick in range(0, last + 1, step)]
    return Axis(0, last, start, stop, tuple(ticks))


def digits(value: float) -> str:
    """Three significant digits with a true minus sign, whole from 100 on; a dash where the value is not finite."""
    if not math.isfinite(value):
        return "–"
    # Rounded first: 9.996 has three digits as 10.0, not as 10.00.
    value = float(f"{value:.3g}") if abs(value) < 1000 else value
    size = abs(value)
    if size and (size < 1e-4 or size >= 1e7):
        return f"{value:.2e}".replace("-", "−")
    decimals = 2 if not size else max(0, 2 - math.floor(math.log10(size)))
    return f"{value:,.{decimals}f}".replace("-", "−")


def _step(low: float, high: float, most_ticks: int) -> float:
    raw = (high - low) / (most_ticks - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    return next(power * factor for factor in (1, 2, 5, 10, 20) if power * factor >= raw * (1 - 1e-9))


def _tick(value: float, step: float) -> str:
    if abs(value) >= 1e5 or step < 1e-4:
        return f"{value:.3g}".replace("e+0", "e").replace("e+", "e").replace("-", "−")
    return f"{value:,.{max(0, -math.floor(math.log10(step) + 1e-9))}f}".replace("-", "−")


def _place(value: float, low: float, high: float, start: float, stop: float) -> float:
    return round(start + (stop - start) * (value - low) / (high - low), 1)
