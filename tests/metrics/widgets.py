"""Draws a CloudWatch dashboard's widgets as SVG, from the values of its metrics in one period after the other."""

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from tests.metrics.alarm_evaluator import reduced

Periods = Sequence[Mapping[str, Sequence[float]]]
Line = list[float | None]

UNIT_WIDTH, UNIT_HEIGHT, GAP = 50, 36, 6
_LEGEND_LETTER = 6.2
"""The width of a letter of the legend, on average."""
_COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#17becf")
_STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #414d5c }
  .title { font-weight: 600; font-size: 13px; fill: #000716 }
  .number { font-size: 24px; fill: #000716 }
  .widget { fill: #fff; stroke: #b6bec9 }
  .grid { stroke: #e9ebed }
  .ok { fill: #037f0c } .raised { fill: #d91515 } .state { fill: #fff; font-size: 11px }
"""
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


def draw(widgets: Sequence[Mapping[str, Any]], periods: Periods, alarms: Mapping[str, bool]) -> str:
    """The picture.

    Args:
        widgets: As in the dashboard's body.
        periods: The values of each metric: of ours by their name, of Lambda's as ``AWS/Lambda Throttles``.
        alarms: Whether each alarm was raised, by its title.
    """
    width = max(widget["x"] + widget["width"] for widget in widgets) * UNIT_WIDTH
    height = max(widget["y"] + widget["height"] for widget in widgets) * UNIT_HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        "<title>The dashboard, from the metrics of a local run</title>",
        f"<style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#f4f4f4"/>',
    ]
    for widget in widgets:
        box = _Box(widget)
        parts.append(box.frame(widget["properties"]["title"]))
        if widget["type"] == "alarm":
            parts += _states(box, alarms)
        else:
            lines = lines_of(widget["properties"]["metrics"], periods)
            single = widget["properties"].get("view") == "singleValue"
            parts += _numbers(box, lines) if single else _graph(box, lines)
    return "\n".join([*parts, "</svg>"]) + "\n"


# --- values ---------------------------------------------------------------------------------------------


def lines_of(metrics: Sequence[Sequence[Any]], periods: Periods) -> list[tuple[str, bool, Line]]:
    """What a widget shows: each line's label, whether it is on the right axis, and its value in each period."""
    by_id: dict[str, Line] = {}
    shown: list[tuple[dict[str, Any], Line | None]] = []
    for entry in metrics:
        options = entry[-1] if isinstance(entry[-1], dict) else {}
        line = None if "expression" in options else _values(entry, options, periods)
        if line is not None and "id" in options:
            by_id[options["id"]] = line
        if options.get("visible", True):
            shown.append((options, line))
    return [
        (
            options["label"],
            options.get("yAxis") == "right",
            line if line is not None else _evaluated(options["expression"], by_id, len(periods)),
        )
        for options, line in shown
    ]


def _values(entry: Sequence[Any], options: Mapping[str, Any], periods: Periods) -> Line:
    name = entry[1] if entry[0] == "AgentSessionKit" else f"{entry[0]} {entry[1]}"
    return [reduced(values, options["stat"]) if (values := period.get(name, ())) else None for period in periods]


def _evaluated(expression: str, lines: Mapping[str, Line], count: int) -> Line:
    tree = ast.parse(expression, mode="eval").body
    return [_value(tree, {name: line[at] for name, line in lines.items()}) for at in range(count)]


def _value(node: ast.expr, values: Mapping[str, float | None]) -> float:
    """The value of metric math: numbers, ``+ - *``, and ``FILL`` of a metric."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.BinOp(left=left, op=op, right=right):
            return _OPERATORS[type(op)](_value(left, values), _value(right, values))
        case ast.Call(func=ast.Name(id="FILL"), args=[ast.Name(id=name), ast.Constant(value=int() as instead)]):
            found = values[name]
            return instead if found is None else found
    raise NotImplementedError(ast.unparse(node))


def short(value: float) -> str:
    """A number that fits beside an axis: ``0``, ``0.0099``, ``7.5``, ``770``, ``3.2k``, ``1.5M``."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}" if value >= 1 or value == 0 else f"{value:.2g}"


# --- drawing --------------------------------------------------------------------------------------------


class _Box:
    """Where a widget is."""

    def __init__(self, widget: Mapping[str, Any]) -> None:
        self.x = widget["x"] * UNIT_WIDTH + GAP
        self.y = widget["y"] * UNIT_HEIGHT + GAP
        self.width = widget["width"] * UNIT_WIDTH - 2 * GAP
        self.height = widget["height"] * UNIT_HEIGHT - 2 * GAP

    def frame(self, title: str) -> str:
        return (
            f'<rect class="widget" x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}" rx="8"/>'
            f'<text class="title" x="{self.x + 14}" y="{self.y + 22}">{escape(title)}</text>'
        )


def _states(box: _Box, alarms: Mapping[str, bool]) -> list[str]:
    parts = []
    width = (box.width - 20) / max(len(alarms), 1)
    for number, (title, raised) in enumerate(alarms.items()):
        x = box.x + 10 + number * width
        style = "raised" if raised else "ok"
        parts.append(f'<rect class="{style}" x="{x:.0f}" y="{box.y + 36}" width="{width - 4:.0f}" height="46" rx="4"/>')
        first, _, rest = title.partition(" ")
        for offset, words in ((18, first), (34, rest)):
            parts.append(f'<text class="state" x="{x + 6:.0f}" y="{box.y + 36 + offset}">{escape(words)}</text>')
    return parts


def _numbers(box: _Box, lines: Sequence[tuple[str, bool, Line]]) -> list[str]:
    parts = []
    width = (box.width - 28) / len(lines)
    for number, (label, _, line) in enumerate(lines):
        x = box.x + 14 + number * width
        total = sum(value for value in line if value is not None)
        text = f"{total:,.0f}" if total == int(total) else f"{total:.3g}"
        parts.append(f'<text class="number" x="{x:.0f}" y="{box.y + 110}">{text}</text>')
        parts.append(f'<text x="{x:.0f}" y="{box.y + 134}">{escape(label)}</text>')
    return parts


def _graph(box: _Box, lines: Sequence[tuple[str, bool, Line]]) -> list[str]:
    left, right = box.x + 58, box.x + box.width - 58
    top, bottom = box.y + 40, box.y + box.height - 46
    highest = {
        side: max((value for _, on, line in lines if on is side for value in line if value is not None), default=0) or 1
        for side in (False, True)
    }
    parts = []
    for step in range(5):
        y = bottom - (bottom - top) * step / 4
        parts.append(f'<path class="grid" d="M{left} {y:.0f}H{right}"/>')
        for side, x, anchor in ((False, left - 6, "end"), (True, right + 6, "start")):
            if any(on is side for _, on, _ in lines):
                value = short(highest[side] * step / 4)
                parts.append(f'<text x="{x}" y="{y + 4:.0f}" text-anchor="{anchor}">{value}</text>')
    legend, row = left - 40, bottom + 18
    for number, (label, side, line) in enumerate(lines):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [
            (left + (right - left) * at / max(len(line) - 1, 1), bottom - (bottom - top) * value / highest[side])
            for at, value in enumerate(line)
            if value is not None
        ]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        if path:
            parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{colour}"/>' for x, y in points]
        if legend + 16 + _LEGEND_LETTER * len(label) > box.x + box.width:
            legend, row = left - 40, row + 13
        parts.append(f'<rect x="{legend}" y="{row}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{legend + 14}" y="{row + 9}" style="font-size:10px">{escape(label)}</text>')
        legend += 22 + round(_LEGEND_LETTER * len(label))
    return parts
