"""The contract for sessions: created once, read back, apart from each other."""

import json
from typing import Any

import pytest
from mypy_boto3_s3 import S3Client

from agent_sessions.conformance.sessions import SessionsConformance
from tests.contract.places import read_json
from tests.contract.subjects import OfEachSubject, Subject, s3_subject


def new_session(subject: Subject, session_id: str) -> Any:
    return subject.types.Session(session_id=session_id, session_type=subject.types.SessionType.AGENT)


class TestSessions(OfEachSubject, SessionsConformance):
    pass


def test_constructing_a_manager_creates_the_session_and_the_next_one_finds_it(subject: Subject) -> None:
    first = subject.manager("s1")
    second = subject.manager("s1")

    created = subject.repository().read_session("s1")
    assert first.session_id == second.session_id == "s1"
    assert created is not None
    assert first.session.created_at == second.session.created_at == created.created_at


def test_fields_of_later_versions_are_ignored(subject: Subject) -> None:
    known = new_session(subject, "s1").to_dict()

    found = subject.types.Session.from_dict(known | {"invented_later": {"x": 1}})

    assert found.to_dict() == known


def test_a_session_record_holds_what_strands_writes(ours_stored: Subject) -> None:
    ours_stored.manager("s1")

    record = read_json(ours_stored.stored, "session_s1/session.json")

    assert set(record) - {"kit"} == {"session_id", "session_type", "created_at", "updated_at"}
    assert record["session_type"] == "AGENT"


def test_a_session_whose_record_is_not_json_is_refused_naming_the_record_and_left_alone(ours_stored: Subject) -> None:
    from agent_sessions.exceptions import SessionCorruptError

    ours_stored.stored.write("session_s1/session.json", b'{"session_id": "s1", ')

    with pytest.raises(SessionCorruptError) as caught:
        ours_stored.manager("s1")

    assert caught.value.key is not None
    assert caught.value.key.endswith("session_s1/session.json")
    assert ours_stored.stored.read("session_s1/session.json") == b'{"session_id": "s1", '


def test_a_folder_left_without_its_session_record_does_not_make_the_session_dead(ours_stored: Subject) -> None:
    message = {"message": {"role": "user", "content": [{"text": "left over"}]}, "message_id": 0}
    ours_stored.stored.write("session_s1/agents/agent_a/messages/message_0.json", json.dumps(message).encode())

    manager = ours_stored.manager("s1")

    assert manager.read_session("s1").session_id == "s1"


@pytest.mark.parametrize("prefix", ["", "p", "p/", "/p/", "a/b", "/a/b/"])
def test_every_way_to_write_a_prefix_gives_clean_keys(s3_client: S3Client, bucket: str, prefix: str) -> None:
    s3_subject("s3", s3_client, bucket, prefix).manager("s1")

    listed = s3_client.list_objects_v2(Bucket=bucket)["Contents"]

    clean = "/".join(part for part in prefix.split("/") if part)
    assert [entry["Key"] for entry in listed] == [f"{clean}/session_s1/session.json".lstrip("/")]
