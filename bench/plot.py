"""Plots as SVG, written by hand: readable on light and dark pages, no dependency."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

Series = Mapping[str, Sequence[tuple[float, float]]]
"""Points by label, in order of their first coordinate."""

_WIDTH, _HEIGHT = 800, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 250, 44, 48
# Middle tones: enough contrast on white and on near-black.
_COLOURS = ("#1f8f5f", "#2f81c7", "#d1495b", "#c98a1b", "#8a63d2", "#6b7785")
_INK = "#7d8590"
_STYLE = f'font-family="system-ui, sans-serif" font-size="12" fill="{_INK}"'
_LABEL_GAP = 15


def line_plot(title: str, x_title: str, y_title: str, series: Series) -> str:
    """Draw lines over two logarithmic axes, each labelled at its end.

    Args:
        title: Above the plot, and for screen readers.
        x_title: Under the horizontal axis.
        y_title: Over the vertical axis.
        series: What to draw; all coordinates positive.

    Raises:
        ValueError: When there is nothing to draw.
    """
    points = [point for line in series.values() for point in line]
    if not points:
        raise ValueError("series | must have a point")
    x_low, x_high = _span([x for x, _ in points])
    y_low, y_high = _span([y for _, y in points], decades=True)

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            _LEFT + (_WIDTH - _LEFT - _RIGHT) * _share(x, x_low, x_high),
            _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * _share(y, y_low, y_high),
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" {_STYLE}>',
        f"<title>{escape(title)}</title>",
        f'<text x="{_LEFT}" y="20" font-size="15" font-weight="600">{escape(title)}</text>',
        f'<text x="{_LEFT}" y="36">{escape(y_title)}</text>',
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 10}" text-anchor="middle">{escape(x_title)}</text>',
    ]
    for y in _ticks(y_low, y_high):
        left, height = place(x_low, y)
        parts.append(_line(left, height, _WIDTH - _RIGHT, height, opacity=0.3))
        parts.append(f'<text x="{left - 8:.1f}" y="{height + 4:.1f}" text-anchor="end">{y:,g}</text>')
    for x in sorted({x for x, _ in points}):
        across, bottom = place(x, y_low)
        parts.append(_line(across, bottom, across, bottom + 5, opacity=0.8))
        parts.append(f'<text x="{across:.1f}" y="{bottom + 20:.1f}" text-anchor="middle">{x:,g}</text>')
    ends = [place(*line[-1]) for line in series.values() if line]
    heights = _apart([height for _, height in ends])
    drawn = [(label, line) for label, line in series.items() if line]
    for number, ((label, line), label_height) in enumerate(zip(drawn, heights, strict=True)):
        colour = _COLOURS[number % len(_COLOURS)]
        placed = [place(*point) for point in line]
        path = " ".join(f"{across:.1f},{height:.1f}" for across, height in placed)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{across:.1f}" cy="{height:.1f}" r="3" fill="{colour}"/>' for across, height in placed]
        parts.append(
            f'<text x="{placed[-1][0] + 10:.1f}" y="{label_height + 4:.1f}" fill="{colour}">{escape(label)}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _span(values: Sequence[float], *, decades: bool = False) -> tuple[float, float]:
    low, high = min(values), max(values)
    if decades:
        low, high = 10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high))
    return (low, high) if low < high else (low / 2, high * 2)


def _share(value: float, low: float, high: float) -> float:
    return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))


def _ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [factor * 10**decade for decade in decades for factor in (1, 3) if low <= factor * 10**decade <= high]


def _apart(heights: Sequence[float]) -> list[float]:
    """Move labels so that none covers another, in the order of their lines."""
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    moved = list(heights)
    for above, below in pairwise(order):
        moved[below] = max(moved[below], moved[above] + _LABEL_GAP)
    # What was pushed out at the bottom pushes the others up.
    limit = _HEIGHT - _BOTTOM + 4.0
    for index in reversed(order):
        moved[index] = min(moved[index], limit)
        limit = moved[index] - _LABEL_GAP
    return moved


def _line(x1: float, y1: float, x2: float, y2: float, *, opacity: float) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{_INK}" stroke-opacity="{opacity}"/>'
