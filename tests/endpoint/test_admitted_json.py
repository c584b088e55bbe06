"""What the door admits, the inside carries: any JSON that comes in is stored, compared, restored and sent back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.scripted_model import ScriptedModel, tool_use
from tests.endpoint.function import Function
from tests.endpoint.test_interrupts import asking_agent, respond

Scripted = Callable[..., tuple[Function, ScriptedModel]]

ADMITTED = [
    0,
    -0.0,
    1e308,
    -1.7976931348623157e308,
    5e-324,
    2**53 + 1,
    10**308,
    -(10**308),
    "\x00\x1f\u2028\ufffd\ufeff",
    "\N{GRINNING FACE}",
    "",
    [],
    {},
    {"": {"": ""}},
    {"a": None, "\N{GRINNING FACE}": [True, False]},
    {"__bytes_encoded__": True, "data": "AAAA"},
    {"__bytes_encoded__": True, "data": "no base64!"},
    {"__bytes_encoded__": 1},
]


def nested(levels: int) -> Any:
    """A value of so many levels, arrays and objects in turn."""
    value: Any = "inside"
    for level in range(levels):
        value = [value] if level % 2 else {"next": value}
    return value


class TestWhatTheDoorAdmits:
    """Answers to interrupts may be any JSON, and they are what goes deepest into storage."""

    @pytest.fixture
    def asked(self, scripted: Scripted) -> tuple[Function, list[str]]:
        calls = [tool_use("delete_file", name="a"), tool_use("delete_file", name="b")]
        function, _ = scripted(calls, otherwise="Done.")
        function.build_agent = asking_agent
        return function, [one["interrupt_id"] for one in function.reply("Delete both.")["interrupts"]]

    # The body is one level, the list of answers the second, an answer the third.
    @pytest.mark.parametrize("answer", [*ADMITTED, nested(61)], ids=lambda value: str(value)[:30])
    def test_is_carried_inside_and_back(self, answer: Any, asked: tuple[Function, list[str]], tmp_path: Path) -> None:
        function, (first, second) = asked

        # given one of two answers, so that it has to be stored until the other one comes
        partly = respond(function, (first, answer))
        function.cold_start()
        wholly = respond(function, (second, "no"))
        function.cold_start()

        assert (partly.status, wholly.status) == (200, 200), (partly.text, wholly.text)
        assert [one["interrupt_id"] for one in partly.json["interrupts"]] == [second]
        assert function.say("And on.").status == 200
        for stored in (tmp_path / "sessions").rglob("*.json"):
            json.loads(stored.read_text(encoding="utf-8"), parse_constant=pytest.fail)

    @pytest.mark.parametrize("answer", ["1e999", "-1e400", "NaN", "9" * 4301, '"\\ud83d"', json.dumps(nested(62))])
    def test_is_all_that_comes_in(self, answer: str, asked: tuple[Function, list[str]], tmp_path: Path) -> None:
        function, (first, second) = asked
        before = {path: path.read_bytes() for path in (tmp_path / "sessions").rglob("*.json")}

        body = f'{{"interrupt_responses": [{{"interrupt_id": "{first}", "response": {answer}}}]}}'
        refused = function.http("POST", "/sessions/chat/messages", body)

        assert refused.status in {400, 422}, refused.text
        assert {path: path.read_bytes() for path in (tmp_path / "sessions").rglob("*.json")} == before
        assert respond(function, (first, "yes"), (second, "yes")).status == 200
