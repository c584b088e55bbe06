"""Plain events of any shape: a reply, or an error whose name a state machine can catch, and nothing half done."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import TOTAL
from tests.endpoint.function import Context, Function, text_of
from tests.endpoint.one_process import _fresh_processes, one_process  # noqa: F401 - fixtures

EVENT = {"owner": "nightly-report", "session_id": "chat", "prompt": "Hi", "request_id": "execution-1"}


def nested(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


# What Lambda's own parser makes of JSON, and what a test or another caller in Python may hand over.
NO_JSON: list[Any] = [
    float("nan"),
    float("inf"),
    float("-inf"),
    10**4000,
    -(10**309),
    nested(64),
    "half \ud83d",
    ["\ude00"],
    {"\ud83d": 1},
    {1: 2},
    {None: 1},
    b"bytes",
    bytearray(b"bytes"),
    (1, 2),
    {1, 2},
    object(),
    Path("/"),
    1j,
    len,
]
FEW: list[Any] = [None, True, False, 0, -1, 7, 1.5, "", [], [1], {}, {"a": 1}, "x" * 500, "a\x00b", *NO_JSON]
ODD = [*FEW, nested(100_000)]  # too deep to be printed, which hypothesis would do


@pytest.fixture
def function(process: Function) -> Iterator[Function]:
    """A function that answers a good event after each test: nothing is left half done."""
    yield process
    number = next(_numbers)
    reply = process.invoke({**EVENT, "session_id": f"after-{number}", "request_id": f"after-{number}"})
    assert text_of(reply) == "Hello."


_numbers = itertools.count(1)


def outcome(function: Function, event: Any) -> tuple[str, str]:
    """The name of the error that an event raises, and its message; the name ``reply`` when there is one."""
    raised: Exception | None = None
    try:
        json.dumps(function.invoke(event, Context()), allow_nan=False)
    except Exception as error:  # noqa: BLE001 - what it is, is what is asked
        raised = error
    if raised is None:
        return "reply", ""
    assert type(raised).__module__ == "lambda_src.answers.errors", repr(raised)
    assert raised.__cause__ is None
    assert raised.__context__ is None
    return type(raised).__name__, str(raised)


def sessions_in(function: Function) -> set[str]:
    folder = Path(function.environment["SESSION_STORE"].removeprefix("file://"))
    return {path.name for path in folder.glob("o_*/session_*") if "after" not in path.name}


@pytest.mark.parametrize("event", [*ODD, [EVENT], json.dumps(EVENT)], ids=lambda event: str(type(event)))
def test_a_value_that_is_no_event_is_a_bad_request(event: Any, function: Function) -> None:
    before = sessions_in(function)

    assert outcome(function, event)[0] == "BadRequestError"
    assert sessions_in(function) == before


WRONG: dict[str, list[Any]] = {
    "owner": [
        *(odd for odd in ODD if odd != "x" * 500),
        {"issuer": "x"},
        {"issuer": "", "subject": "x"},
        {"issuer": "x", "subject": "a\x00b"},
        {"issuer": "a\x00b", "subject": "x"},
        {"issuer": 7, "subject": "x"},
        {"issuer": "x", "subject": None},
        {"issuer": "x", "subject": "y", "more": "z"},
        {"issuer": "\ud83d", "subject": "x"},
    ],
    "session_id": [*ODD, "a/b", "..", ".", "  ", "a\nb", "caf\ufffd", "\u2028", "é" * 121, "\\"],
    "request_id": [*(odd for odd in ODD if odd != "a\x00b"), "x" * 201],
    "prompt": [
        *(odd for odd in ODD if odd not in ("x" * 500, "a\x00b")),
        " ",
        [[]],
        ["Hi"],
        [{"text": "Hi", "image": {}}],
    ],
    "agent_id": [*(odd for odd in ODD if odd is not None), "a/b", "caf\ufffd"],
    "interrupt_responses": [odd for odd in ODD if odd is not None],
    "version": [*ODD, "2.0"],
    "requestContext": [*ODD, {"stage": "x"}],
    "unknown": ODD,
}


@pytest.mark.parametrize("member", WRONG)
def test_a_member_of_a_wrong_shape_is_a_bad_request_and_nothing_is_stored(member: str, function: Function) -> None:
    before = sessions_in(function)

    for wrong in WRONG[member]:
        name, message = outcome(function, {**EVENT, "session_id": "never", member: wrong})

        assert name == "BadRequestError", (member, type(wrong), name, message)
        assert member in message or "prompt or interrupt_responses" in message, message
    assert sessions_in(function) == before


def test_a_member_that_is_missing_is_a_bad_request(function: Function) -> None:
    for member in EVENT:
        event = {name: value for name, value in EVENT.items() if name != member}

        assert outcome(function, event)[0] == "BadRequestError"


@pytest.mark.parametrize(
    "changes",
    [
        {"owner": "x" * 5_000},
        {"owner": "\N{GRINNING FACE}\n"},
        {"owner": {"issuer": "https://login.example.org", "subject": "ada"}},
        {"request_id": "a\x00b"},
        {"request_id": "\N{GRINNING FACE}" * 200},
        {"agent_id": None},
        {"interrupt_responses": None},
        {"session_id": "50%"},
        {"session_id": "é" * 120},
    ],
)
def test_what_the_page_on_http_allows_is_taken(changes: dict[str, Any], function: Function) -> None:
    assert outcome(function, {**EVENT, **changes}) == ("reply", "")


def test_events_that_name_the_default_agent_or_none_are_one_request(function: Function) -> None:
    event = {**EVENT, "session_id": "default-agent", "request_id": "same"}

    replies = [function.invoke({**event, **agent}) for agent in ({}, {"agent_id": None}, {"agent_id": "default"})]

    assert replies[0] == replies[1] == replies[2]
    assert outcome(function, {**event, "agent_id": "another", "prompt": "Ho"})[0] in {
        "reply",
        "IdempotencyKeyReusedError",
    }


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(FEW),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
members = st.sampled_from([*EVENT, "agent_id", "interrupt_responses", "requestContext", "version", "unknown"])
changed_events = st.builds(lambda changes: EVENT | changes, st.dictionaries(members, any_json, min_size=1, max_size=3))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(event=changed_events | any_json)
def any_event(function: Function, counted: Iterator[int], event: Any) -> None:
    next(counted)

    name, message = outcome(function, event)

    assert name in {"reply", "BadRequestError", "IdempotencyKeyReusedError", "NotFoundError"}, (name, message)


def test_any_event_that_fails_raises_a_named_error(
    function: Function, record_property: Callable[[str, object], None]
) -> None:
    counted = itertools.count()

    any_event(function, counted)

    record_property(f"{TOTAL}plain events of any shape, answered or refused by name", next(counted))
