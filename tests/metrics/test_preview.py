"""The picture of the dashboard shows the widgets that are deployed."""

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.metrics.preview import PICTURE, widgets
from tests.metrics.widgets import draw, lines_of, short

METRICS: list[list[Any]] = [
    [{"label": "cost", "expression": "FILL(a, 0) * 2 + (FILL(b, 0) - FILL(a, 0)) * 0.5"}],
    ["AgentSessionKit", "A", "stage", "dev", {"label": "A", "id": "a", "visible": False, "stat": "Sum"}],
    ["AgentSessionKit", "B", "stage", "dev", {"label": "B", "id": "b", "stat": "p50", "yAxis": "right"}],
]


def test_a_widget_s_lines_are_its_metrics_and_the_math_of_them() -> None:
    lines = lines_of(METRICS, [{"A": [1, 2], "B": [9, 5]}, {}])

    assert lines == [("cost", False, [7.0, 0.0]), ("B", True, [5, None])]


def test_every_widget_and_every_line_of_it_is_in_the_committed_picture() -> None:
    picture = PICTURE.read_text(encoding="utf-8")
    words = {element.text for element in ET.fromstring(picture).iter() if element.text}  # noqa: S314 - our own

    for widget in widgets():
        assert widget["properties"]["title"] in words, "run `make dashboard-preview`"
        for label, _, _ in lines_of(widget["properties"].get("metrics", []), []):
            assert label in words, "run `make dashboard-preview`"


def test_a_picture_is_drawn_of_any_values() -> None:
    drawn = draw(widgets(), [{"Turns": [1.0, 1.0], "TurnDuration": [12.5, 90.0]}, {}], {"Internal errors": True})

    assert ET.fromstring(drawn).tag.endswith("svg")  # noqa: S314 - our own


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "0"), (0.00496, "0.005"), (7.5, "7.5"), (799.4, "799"), (3160, "3.16k"), (12_600, "12.6k"), (1.5e6, "1.5M")],
)
def test_a_number_fits_beside_its_axis(value: float, written: str) -> None:
    assert short(value) == written
