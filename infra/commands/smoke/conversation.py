"""A short conversation with a deployed endpoint, as any caller would hold it."""

from urllib.parse import quote

from infra.commands.smoke.report import Report, expect
from infra.commands.smoke.signed_http import Answer, SignedClient

_OK, _CREATED, _NO_CONTENT, _FORBIDDEN, _NOT_FOUND = 200, 201, 204, 403, 404
_TURN_MESSAGES = 2
_STRANGERS = (401, _FORBIDDEN)


def check_conversation(report: Report, client: SignedClient, *, public: bool = False) -> None:
    """Begin a session, come back to it, read it, and erase it.

    Args:
        report: Where the results go.
        client: Of the endpoint.
        public: Whether the endpoint is meant to answer everybody.
    """
    if not public:
        report.check("a request without a signature is refused", lambda: _refused(client))
    session_id = report.check("a session begins with the first turn", lambda: _begin(client))
    if session_id is None:
        return
    path = f"/sessions/{session_id}"
    report.check("the second turn remembers the first", lambda: _continue(client, path))
    report.check("the conversation can be read", lambda: _read(client, path))
    report.check("the session is among the caller's", lambda: _listed(client, session_id))
    report.check("the session can be erased", lambda: _status(client.call("DELETE", path), _NO_CONTENT))
    report.check("an erased session is gone", lambda: _status(client.call("GET", path), _NOT_FOUND))


def _refused(client: SignedClient) -> None:
    answer = client.call("GET", "/sessions", signed=False)
    expect(answer.status in _STRANGERS, answer)


def _begin(client: SignedClient) -> str:
    answer = client.call("POST", "/sessions", {"prompt": "My favourite number is 4711. Say hello."})
    _status(answer, _CREATED)
    return str(answer.body["session_id"])


def _continue(client: SignedClient, path: str) -> None:
    answer = client.call("POST", f"{path}/messages", {"prompt": "Which number is my favourite? Answer with it."})
    _status(answer, _OK)
    expect(answer.body["restored_messages"] >= _TURN_MESSAGES, answer.body)
    expect("4711" in str(answer.body["message"]), answer.body["message"])


def _read(client: SignedClient, path: str) -> None:
    answer = client.call("GET", f"{path}/messages")
    _status(answer, _OK)
    expect("4711" in str(answer.body["messages"][0]), answer.body)
    expect(len(answer.body["messages"]) >= 2 * _TURN_MESSAGES, answer.body)


def _listed(client: SignedClient, session_id: str) -> None:
    cursor = ""
    while True:
        answer = client.call("GET", f"/sessions?limit=100{cursor}")
        _status(answer, _OK)
        if session_id in answer.body["session_ids"]:
            return
        expect(answer.body["next_cursor"], "a list without it")
        cursor = f"&cursor={quote(answer.body['next_cursor'], safe='')}"


def _status(answer: Answer, expected: int) -> None:
    expect(answer.status == expected, answer)
