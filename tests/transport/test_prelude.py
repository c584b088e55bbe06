"""Answers as preludes and pieces, and when nothing is replaced: no process needed."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_src import contract
from lambda_src.runtime import transport
from lambda_src.runtime.http_prelude import is_http_answer, prepare
from lambda_src.runtime.streamed_answer import StreamedAnswer

ALLOWED = re.compile(r"[\t\x20-\x7e]*")


def told(prelude: bytes) -> Any:
    head, nuls, rest = prelude.partition(b"\0" * 8)
    assert nuls
    assert rest == b""
    return json.loads(head)


@given(st.dictionaries(st.sampled_from(["A", "b-c", "X_1"]), st.text(st.characters())), st.lists(st.text()))
def test_any_value_becomes_a_header_that_http_allows(headers: dict[str, str], cookies: list[str]) -> None:
    prelude = told(prepare({"statusCode": "200", "headers": headers, "cookies": cookies}).prelude)

    assert prelude["statusCode"] == 200
    assert list(prelude["headers"]) == list(headers)
    assert all(ALLOWED.fullmatch(value) for value in [*prelude["headers"].values(), *prelude["cookies"]])


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_a_value_that_http_allows_stays_as_it_is(value: str) -> None:
    assert told(prepare({"statusCode": 200, "headers": {"A": value}}).prelude)["headers"]["A"] == value.strip(" ")


@given(st.lists(st.binary()))
def test_any_pieces_are_the_same_pieces(pieces: list[bytes]) -> None:
    prepared = prepare(StreamedAnswer(200, {}, iter(pieces)))

    assert b"".join(prepared.pieces) == b"".join(pieces)


def test_a_streamed_answer_that_fails_at_once_is_closed_and_its_work_awaited() -> None:
    done: list[str] = []

    class Pieces:
        def __iter__(self) -> "Pieces":
            return self

        def __next__(self) -> bytes:
            raise ValueError

        def close(self) -> None:
            done.append("closed")

    with pytest.raises(ValueError):
        prepare(StreamedAnswer(200, {}, Pieces(), over=lambda: done.append("over")))

    assert done == ["closed", "over"]


def test_no_reply_to_a_plain_event_looks_like_an_answer_to_http() -> None:
    # Lambda tells them apart by this name, and so does the transport.
    assert "statusCode" not in contract.TurnReply.model_fields
    assert {field.serialization_alias for field in contract.TurnReply.model_fields.values()} <= {None}
    plain: list[object] = [{"session_id": "s"}, None, [], "statusCode", 200]
    for returned in plain:
        assert not is_http_answer(returned)
    assert is_http_answer({"statusCode": 200})


@pytest.mark.parametrize(
    ("streaming", "environment"), [(True, {}), (False, {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"})]
)
def test_outside_lambda_and_without_streaming_there_is_nothing_to_replace(
    streaming: bool, environment: dict[str, str]
) -> None:
    assert not transport.install(streaming=streaming, report=print, environment=environment)


def test_in_lambda_without_its_known_client_the_function_refuses_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(__import__("sys").modules, "awslambdaric.lambda_runtime_client", raising=False)

    with pytest.raises(transport.UnknownRuntimeError, match="streaming=false"):
        transport.install(streaming=True, report=print, environment={"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"})
