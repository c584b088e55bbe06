"""A short conversation with a deployed endpoint, as any caller would hold it."""

import time
from collections.abc import Callable
from typing import Any

from agent_sessions_client import Client, EndpointProblemError, Reply, Text
from infra.commands.smoke.report import Report, expect

_NOT_FOUND = 404
_TURN_MESSAGES = 2
_STRANGERS = (401, 403)
_APART_SECONDS = 0.1
"""Between the first piece of a long answer and its end. What was held back until it was whole arrives at once."""


def check_conversation(report: Report, client: Client, stranger: Client | None, *, streaming: bool = True) -> None:
    """Begin a session, come back to it, hear it speak, read it, and erase it.

    Args:
        report: Where the results go.
        client: Of the endpoint.
        stranger: The same without a signature; ``None`` where the endpoint is meant to answer everybody.
        streaming: Whether the endpoint is meant to answer in pieces.
    """
    if stranger is not None:
        report.check(
            "a request without a signature or a token is refused", lambda: _refused(stranger, "/sessions", *_STRANGERS)
        )
    session_id = report.check("a session begins with the first turn", lambda: _begin(client))
    if session_id is None:
        return
    path = f"/sessions/{session_id}"
    report.check("the second turn remembers the first", lambda: _continue(client, session_id))
    if streaming:
        report.check("an answer arrives in pieces, while it is made", lambda: _hear(client, session_id))
    report.check("the conversation can be read", lambda: _read(client, path))
    report.check("the session is among the caller's", lambda: _listed(client, session_id))
    report.check("the session can be erased", lambda: client.call("DELETE", path))
    report.check("an erased session is gone", lambda: _refused(client, path, _NOT_FOUND))


def check_forged_token(report: Report, forger: Client) -> None:
    """Send a token that nobody signed.

    Args:
        report: Where the result goes.
        forger: Sends it.
    """
    report.check("a token with a forged signature is refused", lambda: _refused(forger, "/sessions", _STRANGERS[0]))


def _refused(client: Client, path: str, *expected: int) -> None:
    try:
        answer = client.call("GET", path)
    except EndpointProblemError as refusal:
        expect(refusal.status in expected, refusal)
    else:
        expect(holds=False, found=answer)


def _begin(client: Client) -> str:
    return client.send(None, "My favourite number is 4711. Say hello.").session_id


def _continue(client: Client, session_id: str) -> None:
    reply = client.send(session_id, "Which number is my favourite? Answer with it.")
    expect(reply.data["restored_messages"] >= _TURN_MESSAGES, reply.data)
    expect("4711" in reply.text, reply)


def _hear(client: Client, session_id: str, now: Callable[[], float] = time.monotonic) -> None:
    heard = [(now(), event) for event in client.stream(session_id, "Count from one to thirty, in words.")]
    pieces = [(at, event.text) for at, event in heard if isinstance(event, Text)]
    ended, reply = heard[-1]
    expect(len(pieces) > 1, pieces)
    expect(ended - pieces[0][0] >= _APART_SECONDS, f"{len(pieces)} pieces within {ended - pieces[0][0]:.3f} s")
    expect(isinstance(reply, Reply) and reply.text == "".join(text for _, text in pieces), reply)


def _read(client: Client, path: str) -> None:
    answer = client.call("GET", f"{path}/messages")
    expect("4711" in str(answer["messages"][0]), answer)
    expect(len(answer["messages"]) >= 2 * _TURN_MESSAGES, answer)


def _listed(client: Client, session_id: str) -> None:
    cursor: dict[str, Any] = {}
    while True:
        answer = client.call("GET", "/sessions", limit="100", **cursor)
        if session_id in answer["session_ids"]:
            return
        expect(answer["next_cursor"], "a list without it")
        cursor = {"cursor": answer["next_cursor"]}
