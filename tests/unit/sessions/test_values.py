"""What can be stored and what cannot, how it is written, and when two values are the same."""

import collections
import datetime as dt
import decimal
import enum
import json
import math
import re
import sys
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_sessions.exceptions import UnstorableValueError
from agent_sessions.types import SessionAgent, SessionMessage
from agent_sessions.values import (
    LONG_TEXT,
    MAX_DEPTH,
    as_bytes,
    canonical,
    depth,
    from_json,
    json_pieces,
    read_text,
    to_json,
)


class Colour(str, enum.Enum):  # noqa: UP042 - as Strands' users write them
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Plain(enum.Enum):
    A = "a"


class Point(NamedTuple):
    x: int
    y: float


class Loud(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "LOUD"


def nested(levels: int, *, kind: str = "list") -> Any:
    """A value of so many levels."""
    value: Any = "core"
    for _ in range(levels):
        value = [value] if kind == "list" else {"k": value}
    return value


def round_trip(value: Any) -> Any:
    """What is restored of a value."""
    made, problem = to_json(value, "value")
    assert problem is None
    body, problem = as_bytes(made, "value")
    assert problem is None
    found, why_not = read_text(body)
    assert why_not is None
    return from_json(found)


STORED: dict[str, tuple[Any, Any]] = {
    "keys of several types": (
        {1: "Ada", "late": "Bob", None: 0, False: 1},
        {"1": "Ada", "late": "Bob", "null": 0, "false": 1},
    ),
    "a float for a key": ({1.5: "x", -0.0: "y"}, {"1.5": "x", "-0.0": "y"}),
    "a tuple": ((1, (2, 3)), [1, [2, 3]]),
    "a named tuple": (Point(1, 2.5), [1, 2.5]),
    "an ordered dictionary": (collections.OrderedDict(a=1), {"a": 1}),
    "a dictionary with a default": (collections.defaultdict(int, a=1), {"a": 1}),
    "an enumeration of text": (Colour.RED, "red"),
    "an enumeration of text as a key": ({Colour.RED: 1}, {"red": 1}),
    "an enumeration of numbers": (Level.HIGH, 3),
    "text of a class of its own": (Loud("quiet"), "quiet"),
    "bytes": ({"data": b"\x00\xff", "more": bytearray(b"z")}, {"data": b"\x00\xff", "more": b"z"}),
    "infinities": ([math.inf, -math.inf], [math.inf, -math.inf]),
    "an integer of 4,300 digits": (10**4299, 10**4299),
    "half of a surrogate pair": ("\ud83d", "\ud83d"),
    "text from everywhere": ("Grüße, 你好, 🙂\0", "Grüße, 你好, 🙂\0"),
    "something that looks like bytes": (
        {"__bytes_encoded__": True, "data": "?"},
        {"__bytes_encoded__": True, "data": "?"},
    ),
    "something that looks like a float": (
        {"__float_encoded__": True, "data": "1"},
        {"__float_encoded__": True, "data": "1"},
    ),
    "as deep as it may be": (nested(MAX_DEPTH), nested(MAX_DEPTH)),
}


@pytest.mark.parametrize(("value", "restored"), STORED.values(), ids=STORED.keys())
def test_what_json_can_carry_comes_back(value: Any, restored: Any) -> None:
    assert round_trip(value) == restored
    assert round_trip(round_trip(value)) == restored


def test_a_float_that_is_no_number_comes_back_and_is_the_same_as_itself() -> None:
    first, _ = to_json({"mean": math.nan}, "state")
    second, _ = to_json({"mean": float("nan")}, "state")

    assert math.isnan(round_trip({"mean": math.nan})["mean"])
    assert canonical(first) == canonical(second)


REFUSED: dict[str, tuple[Any, str, str]] = {
    "a date": ({"v": [dt.date(2026, 11, 28)]}, "state.v[0]", "datetime.date"),
    "a moment": (dt.datetime(2026, 11, 28, tzinfo=dt.UTC), "state", "datetime.datetime"),
    "a decimal": ({"price": decimal.Decimal("1.5")}, "state.price", "decimal.Decimal"),
    "a set": ({"a b": {1, 2}}, "state['a b']", "set"),
    "a plain enumeration": ([Plain.A], "state[0]", f"{__name__}.Plain"),
    "a class": (int, "state", "type"),
    "a path": ({"p": Path("/x")}, "state.p", "pathlib.PosixPath"),
    "a uuid": ({"p": uuid.UUID(int=1)}, "state.p", "uuid.UUID"),
    "a complex number": (1j, "state", "complex"),
    "a generator": ((number for number in [1]), "state", "generator"),
    "a view of bytes": (memoryview(b"x"), "state", "memoryview"),
    "an integer of 4,301 digits": ({"n": 10**4300}, "state.n", "int"),
    "a tuple as a key": ({"deep": {(1, 2): 3}}, "state.deep", "tuple"),
    "bytes as a key": ({b"x": 3}, "state", "bytes"),
    "a key of 4,301 digits": ({10**4300: 3}, "state", "int"),
    "two keys that are one in JSON": ({"seats": {1: "Ada", "1": "Bob"}}, "state.seats", "dict"),
}


@pytest.mark.parametrize(("value", "path", "type_name"), REFUSED.values(), ids=REFUSED.keys())
def test_what_json_cannot_carry_is_refused_with_its_path_and_type(value: Any, path: str, type_name: str) -> None:
    made, problem = to_json(value, "state")

    assert made is None
    assert problem is not None
    assert (problem.path, problem.type_name) == (path, type_name)
    assert problem.reason


@pytest.mark.parametrize("kind", ["list", "dict"])
@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 5_000, 200_000])
def test_what_is_nested_too_deeply_is_refused_however_deep_it_is(levels: int, kind: str) -> None:
    _, problem = to_json(nested(levels, kind=kind), "state")

    assert problem is not None
    assert f"more than {MAX_DEPTH} levels" in problem.reason
    assert len(problem.path) < 40


def test_a_value_that_holds_itself_is_refused() -> None:
    value: dict[str, Any] = {}
    value["self"] = [value]

    _, problem = to_json(value, "state")

    assert problem is not None


def test_how_deep_the_caller_stands_makes_no_difference() -> None:
    def further_down(left: int) -> Any:
        return further_down(left - 1) if left else round_trip(nested(MAX_DEPTH))

    assert further_down(sys.getrecursionlimit() // 2) == nested(MAX_DEPTH)


def test_a_refusal_never_quotes_a_value() -> None:
    with pytest.raises(UnstorableValueError) as caught:
        SessionAgent("a1", {"when": dt.date(1999, 12, 31)}, {}).to_dict()

    error = caught.value
    assert (error.path, error.type_name) == ("state.when", "datetime.date")
    assert "1999" not in str(error)
    assert "sending it again will not help" in str(error)


WORDS = "Ada's plugh77"
PLACES: dict[str, tuple[Any, str]] = {
    "a state": ({WORDS: [0, {"xyzzy77": {1}}]}, "state[…][1][…] (set)"),
    "two keys that are one": ({WORDS: {1: "a", "1": "b"}}, "state[…] (dict)"),
    "a key that is none": ({WORDS: {(WORDS, 2): "a"}}, "state[…] (tuple)"),
    "an integer": ({"xyzzy77": 10**4400}, "state[…] (int)"),
    "what is nested too deeply": ({WORDS: nested(MAX_DEPTH + 1)}, "state[…]"),
}


@pytest.mark.parametrize(("state", "shown"), PLACES.values(), ids=PLACES.keys())
def test_a_refusal_says_where_without_keys_that_may_be_somebody_s_words(state: Any, shown: str) -> None:
    with pytest.raises(UnstorableValueError) as caught:
        SessionAgent("a1", state, {}).to_dict()

    assert str(caught.value).startswith(shown)
    assert not re.search("plugh77|xyzzy77", str(caught.value))
    assert re.search("plugh77|xyzzy77", caught.value.path)


def test_a_refusal_shows_the_names_that_every_message_has() -> None:
    use: Any = {"toolUseId": "t", "name": "note", "input": {"lines": [{"xyzzy77": {1}}]}}

    with pytest.raises(UnstorableValueError, match=re.escape("message.content[0].toolUse.input[…][0][…] (set)")):
        SessionMessage({"role": "assistant", "content": [{"toolUse": use}]}, 0).to_dict()


def test_a_refusal_that_somebody_else_makes_shows_the_beginning_of_the_path() -> None:
    assert str(UnstorableValueError("state.xyzzy77[2]", "set", "no JSON")).startswith("state[…] (set)")


def test_a_message_is_refused_with_the_path_to_the_block() -> None:
    content: Any = [{"text": "x"}, {"toolResult": {"toolUseId": "t", "content": [{"json": {"due": {1}}}]}}]

    with pytest.raises(UnstorableValueError) as caught:
        SessionMessage({"role": "user", "content": content}, 0).to_dict()

    assert caught.value.path == "message.content[1].toolResult.content[0].json.due"


def test_what_is_written_is_json_to_every_reader() -> None:
    made, _ = to_json({"a": math.nan, "b": [math.inf, {"c": -math.inf}]}, "state")

    body, problem = as_bytes(made, "state")

    assert problem is None
    json.loads(body, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_what_python_alone_takes_for_json_is_read_and_written_again_as_json() -> None:
    found, _ = read_text(b'{"a": NaN, "b": [-Infinity, 1e999]}')

    body, problem = as_bytes(found, "record")

    assert problem is None
    json.loads(body, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    restored = from_json(read_text(body)[0])
    assert math.isnan(restored["a"])
    assert restored["b"] == [-math.inf, math.inf]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 400 + b"[" * 400, b"9" * 5_000])
def test_text_that_is_no_json_here_says_why(body: bytes) -> None:
    found, why_not = read_text(body)

    assert found is None
    assert why_not


@pytest.mark.parametrize("levels", [460, 900])
def test_what_is_nested_too_deeply_for_a_turn_is_not_read(levels: int) -> None:
    found, why_not = read_text(json.dumps(nested(levels)).encode())

    assert found is None
    assert why_not is not None
    assert "nested" in why_not


def test_many_brackets_are_no_depth() -> None:
    found, why_not = read_text(json.dumps([[]] * 2_000).encode())

    assert why_not is None
    assert depth(found) == 2


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_any_value_comes_back_as_it_was(value: Any) -> None:
    before, _ = to_json(value, "value")
    after, problem = to_json(round_trip(value), "value")

    assert problem is None
    assert canonical(before) == canonical(after)


@given(st.dictionaries(st.text(), st.integers(), max_size=6))
def test_the_order_of_keys_makes_no_difference(value: dict[str, int]) -> None:
    turned = dict(reversed(list(value.items())))

    assert canonical(to_json(value, "v")[0]) == canonical(to_json(turned, "v")[0])


def test_what_python_calls_equal_and_json_does_not_is_another_value() -> None:
    texts = {canonical(to_json(value, "v")[0]) for value in (1, True, 1.0, "1")}

    assert len(texts) == 4


long_texts = st.builds(
    lambda piece, more: piece * (LONG_TEXT // len(piece) + more),
    st.text(st.characters(), min_size=1, max_size=4),  # halves of surrogate pairs among them
    st.integers(0, 2),
)
values_with_long_texts = st.recursive(
    st.none() | st.integers() | st.text(max_size=4) | long_texts,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=4), below, max_size=3),
    max_leaves=6,
)


@settings(max_examples=50)
@given(values_with_long_texts, st.booleans(), st.booleans())
def test_pieces_are_the_text_that_json_dumps_writes(value: Any, ensure_ascii: bool, sort_keys: bool) -> None:
    written = b"".join(json_pieces(value, ensure_ascii=ensure_ascii, sort_keys=sort_keys))

    expected = json.dumps(value, ensure_ascii=ensure_ascii, sort_keys=sort_keys)
    if expected.isascii():
        assert written == expected.encode()
    assert json.loads(written) == json.loads(json.dumps(value))


def test_a_long_text_is_written_in_pieces() -> None:
    pieces = list(json_pieces({"text": '"é' * LONG_TEXT, "after": 1}))

    assert len(pieces) == 4
    assert json.loads(b"".join(pieces)) == {"text": '"é' * LONG_TEXT, "after": 1}


def test_a_value_that_holds_itself_is_refused_whatever_its_texts() -> None:
    value: dict[str, Any] = {"text": "x" * (LONG_TEXT + 1)}
    value["again"] = value

    with pytest.raises(ValueError, match="Circular"):
        list(json_pieces(value))
