"""Whole answers, other routes, and who is asking."""

import asyncio
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import botocore.session
import httpx
import pytest
from botocore.auth import SigV4Auth as Signer
from botocore.awsrequest import AWSRequest

import agent_sessions_client
from agent_sessions_client import (
    AsyncClient,
    BearerAuth,
    Client,
    ConnectionLostError,
    EndpointProblemError,
    Fork,
    ListedSession,
    RunningTurn,
    SessionsPage,
    SigV4Auth,
    Submitted,
)
from tests.client.played import Connection, Played, problem, reply

FORK = {
    "session_id": "other",
    "forked_from": "a b",
    "agent_id": "default",
    "before_message": 4,
    "message_count": 4,
    "state": "as then",
}


def answer(value: Any, status: int = 200) -> Connection:
    return Connection((json.dumps(value).encode(),), None, status, {"content-type": "application/json"})


def test_a_reply_is_waited_for() -> None:
    played = Played(answer(reply("Hello.")))

    found = Client("http://endpoint/", transport=played).send("a b/c", "Hi")

    assert (found.text, found.stop_reason) == ("Hello.", "end_turn")
    assert played.requests[0].url.raw_path == b"/sessions/a%20b%2Fc/messages"
    assert played.requests[0].headers["accept"] == "application/json"
    assert played.requests[0].headers["idempotency-key"]


def test_the_two_clients_have_the_same_methods_with_the_same_arguments() -> None:
    def methods(client: type) -> dict[str, list[str]]:
        public = {name: method for name, method in vars(client).items() if not name.startswith("_")}
        return {name: list(inspect.signature(method).parameters) for name, method in public.items()}

    assert methods(AsyncClient) == methods(Client)
    verbs = {"stream", "follow", "send", "submit", "turn", "cancel", "sessions", "rename", "fork", "call", "close"}
    assert set(methods(Client)) >= verbs


def test_a_new_session_is_begun_without_an_id() -> None:
    played = Played(answer(reply("Hello."), 201))

    assert Client("http://endpoint", transport=played).send(None, "Hi").session_id == "demo"
    assert played.requests[0].url.path == "/sessions"


def test_a_turn_that_nobody_waits_for_is_named() -> None:
    played = Played(answer({"session_id": "demo", "agent_id": "default", "turn_id": "t1", "status": "running"}, 202))

    assert Client("http://endpoint", transport=played).submit("demo", "Hi") == Submitted("demo", "default", "t1")
    assert played.requests[0].headers["prefer"] == "respond-async"
    assert played.requests[0].headers["idempotency-key"]


def test_both_clients_send_the_same() -> None:
    def ask(client: Client) -> None:
        client.send("demo", "Hi", agent_id="helper", idempotency_key="k")
        client.turn("demo", "t1", agent_id="helper")
        client.submit("demo", "Hi", idempotency_key="k")
        client.cancel("demo", "t1")
        client.call("GET", "/sessions", limit="7")
        client.sessions(order="recent", cursor="c")
        client.rename("demo", None)
        client.fork("demo", before_message=4, idempotency_key="k")
        client.call("DELETE", "/sessions/demo")

    async def ask_asynchronously(client: AsyncClient) -> None:
        async with client:
            await client.send("demo", "Hi", agent_id="helper", idempotency_key="k")
            await client.turn("demo", "t1", agent_id="helper")
            await client.submit("demo", "Hi", idempotency_key="k")
            await client.cancel("demo", "t1")
            await client.call("GET", "/sessions", limit="7")
            await client.sessions(order="recent", cursor="c")
            await client.rename("demo", None)
            await client.fork("demo", before_message=4, idempotency_key="k")
            await client.call("DELETE", "/sessions/demo")

    everything = answer(reply("x", sessions=[], next_cursor=None, title=None, **FORK | {"session_id": "demo"}))
    blocking, asynchronous = Played(everything), Played(everything)
    ask(Client("http://endpoint", transport=blocking))
    asyncio.run(ask_asynchronously(AsyncClient("http://endpoint", transport=asynchronous)))

    def seen(played: Played) -> list[tuple[str, str, bytes, dict[str, str]]]:
        return [(r.method, str(r.url), r.content, dict(r.headers)) for r in played.requests]

    assert seen(blocking) == seen(asynchronous)
    assert [(r.method, r.url.raw_path.decode()) for r in blocking.requests] == [
        ("POST", "/sessions/demo/messages"),
        ("GET", "/sessions/demo/turns/t1?agent_id=helper"),
        ("POST", "/sessions/demo/messages"),
        ("DELETE", "/sessions/demo/turns/t1"),
        ("GET", "/sessions?limit=7"),
        ("GET", "/sessions?order=recent&limit=100&cursor=c"),
        ("PATCH", "/sessions/demo"),
        ("POST", "/sessions/demo/fork"),
        ("DELETE", "/sessions/demo"),
    ]


def test_a_page_of_sessions_leads_to_the_next() -> None:
    row = {"session_id": "demo", "title": "Mine", "created_at": "t0", "forked_from": None, "last_used_at": "t1"}
    running = {"turn_id": "t1", "agent_id": "default", "of a newer endpoint": 1}
    played = Played(
        answer({"session_ids": ["demo"], "sessions": [{**row, "running_turn": running}], "next_cursor": "c"}),
        answer({"session_ids": [], "sessions": [], "next_cursor": None}),
    )
    client = Client("http://endpoint", transport=played)

    first = client.sessions(order="recent", limit=1)
    second = client.sessions(order="recent", limit=1, cursor=first.next_cursor)

    assert first.sessions == (ListedSession("demo", "Mine", "t0", None, "t1", RunningTurn("t1", "default")),)
    assert second == SessionsPage((), None)
    assert [dict(r.url.params) for r in played.requests] == [
        {"order": "recent", "limit": "1"},
        {"order": "recent", "limit": "1", "cursor": "c"},
    ]


def test_a_session_is_renamed_and_forked() -> None:
    played = Played(answer({"session_id": "a b", "title": "Mine"}), answer(FORK, 201))
    client = Client("http://endpoint", transport=played)

    assert client.rename("a b", "Mine") == "Mine"
    assert client.fork("a b", before_turn="t1", fork_id="other") == Fork("other", "a b", "default", 4, 4, "as then")

    assert [json.loads(r.content) for r in played.requests] == [
        {"title": "Mine"},
        {"before_turn": "t1", "session_id": "other"},
    ]
    assert played.requests[1].url.raw_path == b"/sessions/a%20b/fork"
    assert played.requests[1].headers["idempotency-key"]


def test_an_empty_answer_is_none_and_a_refusal_an_exception() -> None:
    client = Client(
        "http://endpoint",
        transport=Played(Connection((), None, 204, {}), problem(404, "not-found"), httpx.ReadTimeout),
    )

    assert client.call("DELETE", "/sessions/demo") is None
    with pytest.raises(EndpointProblemError) as refused:
        client.call("GET", "/sessions/demo")
    assert refused.value.kind == "not-found"
    with pytest.raises(ConnectionLostError):
        client.call("GET", "/sessions/demo")


@pytest.fixture
def session() -> botocore.session.Session:
    session = botocore.session.Session()
    session.set_credentials("AKIAEXAMPLE", "secret", "session-token")
    return session


@pytest.mark.parametrize(
    ("url", "region"),
    [("https://abc123.lambda-url.eu-west-1.on.aws", "eu-west-1"), ("http://endpoint", "ap-south-1")],
)
def test_a_request_is_signed_as_botocore_signs_it(url: str, region: str, session: botocore.session.Session) -> None:
    session.set_config_variable("region", "ap-south-1")
    played = Played(answer(reply("Hello.")))

    Client(url, SigV4Auth(session), transport=played).send("a b", "Grüße")

    sent = played.requests[0]
    expected = AWSRequest("POST", str(sent.url), data=sent.content)
    expected.context["timestamp"] = sent.headers["x-amz-date"]
    credentials = session.get_credentials()
    assert credentials is not None
    signer = Signer(credentials, "lambda", region)
    expected.headers["X-Amz-Date"] = sent.headers["x-amz-date"]
    expected.headers["X-Amz-Security-Token"] = "session-token"
    signature = signer.signature(signer.string_to_sign(expected, signer.canonical_request(expected)), expected)
    assert sent.headers["authorization"].endswith(f"Signature={signature}")
    assert f"/{region}/lambda/aws4_request" in sent.headers["authorization"]
    assert sent.headers["x-amz-security-token"] == "session-token"


def test_without_credentials_there_is_nothing_to_sign_with(monkeypatch: pytest.MonkeyPatch) -> None:
    session = botocore.session.Session()
    monkeypatch.setattr(session, "get_credentials", lambda: None)

    with pytest.raises(ValueError, match="no AWS credentials"):
        SigV4Auth(session)


def test_a_token_is_asked_for_at_each_request() -> None:
    tokens = iter(["one", "two"])
    played = Played(answer([]), answer([]), answer([]))

    client = Client("http://endpoint", BearerAuth(lambda: next(tokens)), transport=played)
    client.call("GET", "/sessions")
    client.call("GET", "/sessions")
    Client("http://endpoint", BearerAuth("fixed"), transport=played).call("GET", "/sessions")

    assert [r.headers["authorization"] for r in played.requests] == ["Bearer one", "Bearer two", "Bearer fixed"]


def test_whom_the_caller_speaks_for_is_said_with_each_request() -> None:
    played = Played(answer([]), answer([]))

    client = Client("http://endpoint", session_owner="José, of 100%", transport=played)
    client.call("GET", "/sessions")
    Client("http://endpoint", transport=played).call("GET", "/sessions")

    assert [r.headers.get("session-owner") for r in played.requests] == ["Jos%C3%A9%2C%20of%20100%25", None]


def test_importing_the_client_needs_httpx_alone() -> None:
    look = "import agent_sessions_client, sys; print(sorted({n.partition('.')[0] for n in sys.modules} & {names}))"
    source = look.replace("{names}", "{'boto3', 'botocore', 'agent_sessions', 'strands', 'pydantic', 'lambda_src'}")
    path = Path(agent_sessions_client.__file__).parents[1]

    run = subprocess.run(
        [sys.executable, "-c", source], env={"PYTHONPATH": str(path)}, capture_output=True, text=True, check=True
    )

    assert run.stdout.strip() == "[]"
