"""Reading and erasing sessions."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.bedrock_server import BedrockServer, Guardrail
from tests.doubles.scripted_model import ScriptedModel, tool_use
from tests.endpoint.function import Function
from tests.endpoint.test_conversation import PNG, on_bedrock

Scripted = Callable[..., tuple[Function, ScriptedModel]]
LAMBDA_LIMIT = 6_291_556
"""What Lambda carries as a function's response, in bytes."""


def test_a_session_is_described_without_its_words(store: dict[str, str]) -> None:
    with BedrockServer("Hello.", "Guten Tag.") as bedrock:
        function = on_bedrock(bedrock, store)
        function.reply("Hi")
        function.http("POST", "/sessions/chat/messages", {"prompt": "Hi", "agent_id": "german"})

        described = function.http("GET", "/sessions/chat")

        assert described.status == 200
        assert described.json["session_id"] == "chat"
        assert described.json["agents"] == [
            {"agent_id": "default", "message_count": 2},
            {"agent_id": "german", "message_count": 2},
        ]
        # S3's clock tells whole seconds.
        assert described.json["created_at"][:19] <= described.json["last_used_at"][:19]
        assert described.json["created_at"].endswith("+00:00")
        assert "expires_at" in described.json


def test_a_conversation_is_read_in_pages_in_order(store: dict[str, str]) -> None:
    with BedrockServer(*(f"Answer {number}" for number in range(6))) as bedrock:
        function = on_bedrock(bedrock, store)
        for number in range(6):
            function.reply(f"Question {number}")

        read, cursor, pages = [], None, 0
        while pages == 0 or cursor:
            query = {"limit": 5} | ({"cursor": cursor} if cursor else {})
            page = function.http("GET", "/sessions/chat/messages", query=query).json
            read += page["messages"]
            cursor, pages = page["next_cursor"], pages + 1

        assert pages == 3
        assert [message["message_id"] for message in read] == list(range(12))
        assert [message["message"]["role"] for message in read] == ["user", "assistant"] * 6
        assert [message["message"]["content"][0]["text"] for message in read] == [
            f"{kind} {number}" for number in range(6) for kind in ("Question", "Answer")
        ]


def test_a_conversation_is_read_from_its_end_and_names_its_turns(scripted: Scripted) -> None:
    function, _ = scripted("One.", [tool_use("calculator", expression="6*7")], "Two.", "Three.")
    replies = [function.reply(f"Question {number}") for number in range(3)]

    count = function.http("GET", "/sessions/chat").json["agents"][0]["message_count"]
    newest = function.http("GET", "/sessions/chat/messages", query={"cursor": count - 4, "limit": 4}).json
    older = function.http("GET", "/sessions/chat/messages", query={"cursor": 0, "limit": count - 4}).json
    read = [*older["messages"], *newest["messages"]]

    assert newest["next_cursor"] is None
    assert [message["message_id"] for message in read] == list(range(8))
    begun = {message["message_id"]: message["turn"] for message in read if "turn" in message}
    assert begun == {
        first_id: {"turn_id": reply["turn_id"], "restored_messages": first_id}
        for first_id, reply in zip((0, 2, 6), replies, strict=True)
    }


def test_tool_calls_and_bytes_are_shown_as_json(scripted: Scripted) -> None:
    function, _ = scripted(tool_use("calculator", expression="6*7"), "It is 42.")
    function.reply([{"text": "6*7?"}, {"image": {"format": "png", "source": {"bytes": PNG}}}])

    messages = function.http("GET", "/sessions/chat/messages").json["messages"]

    blocks = [block for message in messages for block in message["message"]["content"]]
    assert blocks[1] == {"image": {"format": "png", "source": {"bytes": PNG}}}
    assert blocks[2]["toolUse"]["input"] == {"expression": "6*7"}
    assert blocks[3]["toolResult"]["content"] == [{"text": "42"}]
    assert {key for message in messages for key in message["message"]} == {"role", "content"}


def test_what_a_guardrail_redacted_is_read_as_redacted(store: dict[str, str]) -> None:
    with BedrockServer(["Sorry.", Guardrail("input")], "Fine.") as bedrock:
        function = on_bedrock(bedrock, store)

        intervened = function.reply("my s3cret number")
        page = function.http("GET", "/sessions/chat/messages")

        assert intervened["stop_reason"] == "guardrail_intervened"
        assert "s3cret" not in page.text
        assert page.json["messages"][0]["message"]["content"] == [{"text": "[User input redacted.]"}]
        assert function.reply("Hello?")["restored_messages"] == 2
        assert all("s3cret" not in json.dumps(request.messages) for request in bedrock.requests[1:])


@pytest.mark.parametrize("letter", ["x", '"', "世", "\\"])
def test_a_page_never_outgrows_a_reply(letter: str, scripted: Scripted) -> None:
    function, _ = scripted(otherwise=letter * 900_000)
    for number in range(4):
        function.reply(f"Question {number}")

    read, query = [], {"limit": 1000}
    while query:
        answer = function.http("GET", "/sessions/chat/messages", query=query)
        assert len(json.dumps({"body": answer.text})) < LAMBDA_LIMIT
        assert answer.status == 200, answer.text[:300]
        read += [message["message_id"] for message in answer.json["messages"]]
        query = {"limit": 1000, "cursor": answer.json["next_cursor"]} if answer.json["next_cursor"] else {}

    assert read == list(range(8))


def test_a_message_larger_than_a_reply_is_reported_and_can_be_passed_over(scripted: Scripted) -> None:
    function, _ = scripted("x" * 6_500_000, "Small.")

    too_large = function.say("Write a book.")
    function.reply("Thanks.")
    first = function.http("GET", "/sessions/chat/messages", query={"limit": 1}).json
    large = function.http("GET", "/sessions/chat/messages", query={"cursor": first["next_cursor"]})
    rest = function.http("GET", "/sessions/chat/messages", query={"cursor": large.json["next_cursor"]})

    assert (too_large.status, too_large.problem) == (413, "payload-too-large")
    assert (large.status, large.problem) == (413, "payload-too-large")
    assert "Message 1 " in large.json["detail"]
    assert [message["message_id"] for message in rest.json["messages"]] == [2, 3]


def test_sessions_are_listed_in_pages_by_id(store: dict[str, str]) -> None:
    with BedrockServer(otherwise="Hello.") as bedrock:
        function = on_bedrock(bedrock, store)
        for session_id in ("b", "c", "a"):
            function.reply("Hi", session_id)

        first = function.http("GET", "/sessions", query={"limit": 2}).json
        second = function.http("GET", "/sessions", query={"limit": 2, "cursor": first["next_cursor"]}).json

        assert first["session_ids"] == ["a", "b"]
        assert (second["session_ids"], second["next_cursor"]) == (["c"], None)
        assert [row["session_id"] for row in second["sessions"]] == ["c"]


@pytest.mark.parametrize("path", ["/sessions", "/sessions/chat"])
@pytest.mark.parametrize("cursor", ["b", "chat", "czo", "../..", "%00", "YTpkZWZhdWx0=", "x" * 2_000, "ä"])
def test_a_cursor_that_no_page_has_given_is_refused(path: str, cursor: str, scripted: Scripted) -> None:
    function, _ = scripted("Hello.")
    function.reply("Hi")

    refused = function.http("GET", path, query={"cursor": cursor})

    assert (refused.status, refused.problem) == (422, "invalid-request"), refused.text
    assert "next_cursor" in refused.json["detail"]


def test_a_cursor_says_nothing_of_the_session_it_leads_to(store: dict[str, str]) -> None:
    with BedrockServer(otherwise="Hello.") as bedrock:
        function = on_bedrock(bedrock, store)
        for session_id in ("my secret plan", "your secret plan"):
            function.reply("Hi", session_id)

        cursor = function.http("GET", "/sessions", query={"limit": 1}).json["next_cursor"]

        assert "secret" not in cursor
        rest = function.http("GET", "/sessions", query={"limit": 1, "cursor": cursor}).json
        assert (rest["session_ids"], rest["next_cursor"]) == (["your secret plan"], None)


def test_a_deleted_session_is_gone_and_its_id_starts_afresh(store: dict[str, str]) -> None:
    with BedrockServer(otherwise="Hello.") as bedrock:
        function = on_bedrock(bedrock, store)
        function.reply("Hi", "user1")
        function.reply("Hi", "user10")

        deleted = function.http("DELETE", "/sessions/user1")

        assert (deleted.status, deleted.text) == (204, "")
        assert "content-type" not in deleted.headers
        assert function.http("GET", "/sessions/user1").problem == "not-found"
        assert function.http("DELETE", "/sessions/user1").problem == "not-found"
        assert function.http("GET", "/sessions").json["session_ids"] == ["user10"]
        assert function.reply("Hi", "user1")["restored_messages"] == 0


def test_reading_makes_no_session(store: dict[str, str]) -> None:
    with BedrockServer() as bedrock:
        function = on_bedrock(bedrock, store)

        for path in ("/sessions/none", "/sessions/none/messages"):
            answer = function.http("GET", path)
            assert (answer.status, answer.problem) == (404, "not-found")
        assert function.http("GET", "/sessions").json == {"session_ids": [], "sessions": [], "next_cursor": None}


def test_with_several_agents_a_conversation_must_be_named(scripted: Scripted) -> None:
    function, _ = scripted(otherwise="Hello.")
    for agent_id in ("french", "german"):
        function.http("POST", "/sessions/chat/messages", {"prompt": "Hi", "agent_id": agent_id})

    unnamed = function.http("GET", "/sessions/chat/messages")
    named = function.http("GET", "/sessions/chat/messages", query={"agent_id": "german"})
    unknown = function.http("GET", "/sessions/chat/messages", query={"agent_id": "dutch"})

    assert unnamed.problem == "invalid-request"
    assert "french" in unnamed.json["detail"]
    assert "german" in unnamed.json["detail"]
    assert named.json["agent_id"] == "german"
    assert unknown.problem == "not-found"


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 1001}, {"limit": "many"}, {"cursor": "x"}, {"cursor": ""}, {"agent_id": "a/b"}]
)
def test_a_query_that_makes_no_sense_is_refused(query: dict[str, Any], scripted: Scripted) -> None:
    function, _ = scripted("Hello.")
    function.reply("Hi")

    refused = function.http("GET", "/sessions/chat/messages", query=query)

    assert (refused.status, refused.problem) == (422, "invalid-request"), refused.text


def test_a_damaged_message_is_named_in_the_log_and_the_rest_stays(
    scripted: Scripted, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    function, _ = scripted("One.", "Two.")
    function.reply("First")
    function.reply("Second")
    (damaged,) = tmp_path.rglob("message_1.json")
    damaged.write_text("{")

    refused = function.http("GET", "/sessions/chat/messages")
    behind = function.http("GET", "/sessions/chat/messages", query={"cursor": "2"})

    assert (refused.status, refused.problem) == (500, "session-corrupt")
    assert "message_1.json" in capfd.readouterr().out
    assert [message["message_id"] for message in behind.json["messages"]] == [2, 3]
    assert damaged.read_text() == "{"
