"""A turn on a long session that Strands' manager wrote, whose agent had no window."""

from collections.abc import Iterator

import pytest

from agent_sessions.owner import owner_prefix
from tests.bounds.stored import session_objects
from tests.doubles.s3_server import S3Server
from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import ALICE, Function

BUCKET = "sessions"


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server(buckets=[BUCKET]) as s3:
        for key, body in session_objects("chat", messages=1_100, life=None):
            s3.store.put(BUCKET, f"p/{owner_prefix(ALICE.account, ALICE.unique_id)}/{key}", body)
        yield s3


@pytest.fixture
def function(server: S3Server) -> Function:
    made = Function(
        {
            **CREDENTIALS,
            "AWS_ACCESS_KEY_ID": "somebody",  # not the deployed role: to judge thousands of keys takes minutes
            "SESSION_STORE": f"s3://{BUCKET}/p",
            "AWS_ENDPOINT_URL_S3": server.url,
            "AGENT_MODEL": "scripted:script",
        }
    )
    made.models["script"] = ScriptedModel(otherwise="Fine.")
    made.cold_start()
    return made


def test_what_there_is_no_time_for_is_told_to_come_back_and_the_request_sent_again_goes_on(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: a function whose time is half over when the first piece has been read
    from agent_sessions._objects import conversation_reader, stored_messages

    monkeypatch.setattr(stored_messages, "FOLLOWED", 200)
    monkeypatch.setattr(conversation_reader, "PIECE", 300)
    monkeypatch.setattr(conversation_reader._Reading, "_has_time", lambda _: False)

    # When
    answers = [function.http("POST", "/sessions/chat/messages", body={"prompt": "Hello?"})]
    while answers[-1].status == 409:
        assert answers[-1].problem == "session-busy"
        assert answers[-1].headers["retry-after"] == "1"
        assert "messages" in answers[-1].json["detail"]
        answers.append(function.http("POST", "/sessions/chat/messages", body={"prompt": "Hello?"}))

    # Then
    assert [answer.status for answer in answers] == [409, 409, 200]
    assert answers[-1].json["restored_messages"] == 1_100
