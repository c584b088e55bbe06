"""A title is redacted with its prompt, whoever dies over it: no version of the session's record keeps the words."""

import contextlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agent_sessions.s3_session_manager import S3SessionManager
from tests.doubles.s3.faults import Fault
from tests.doubles.s3.messages import Request
from tests.doubles.s3_server import S3Server
from tests.doubles.scripted_model import Redact, ScriptedModel, Stop
from tests.expiry.world import BUCKET, PREFIX, Bucket

SECRET = "my secret words"
WRITES = ("PUT", "DELETE_OBJECTS")


class KilledError(Exception):
    """The request does not take effect."""


@pytest.fixture(scope="module")
def one_s3() -> Iterator[S3Server]:
    with S3Server(buckets=[BUCKET]) as server:
        yield server


@pytest.fixture
def bucket(one_s3: S3Server) -> Bucket:
    bucket = Bucket(one_s3)
    bucket.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return bucket


def process(bucket: Bucket, session_id: str, *script: Any) -> Any:
    manager = bucket.manager(session_id, recent=True, agent_id="default")
    return bucket.agent(session_id, session_manager=manager, model=ScriptedModel(*script))


def prompt() -> Any:
    return {"role": "user", "content": [{"text": SECRET}], "tracking_id": "prompt-1"}


def begin(bucket: Bucket, session_id: str) -> None:
    """A session whose first prompt has given it its title."""
    with contextlib.suppress(Exception):
        process(bucket, session_id, RuntimeError("the model fell over"))([prompt()])
    process(bucket, session_id, "Yes.")("Later")
    assert bucket.store.describe(session_id).title == SECRET


def by_the_repository(bucket: Bucket, session_id: str) -> Callable[[], object]:
    return lambda: redact(bucket.manager(session_id, recent=True), session_id)


def redact(repository: S3SessionManager, session_id: str) -> None:
    record = repository.read_message(session_id, "default", 0)
    assert record is not None
    record.message = record.redact_message = {"role": "user", "content": [{"text": "[gone]"}]}
    repository.update_message(session_id, "default", record)


def by_a_guardrail(bucket: Bucket, session_id: str) -> Callable[[], object]:
    """The prompt is asked again, and taken back wherever it is stored."""
    agent = process(bucket, session_id, [Redact(user="[gone]"), "No.", Stop("guardrail_intervened")])
    return lambda: agent([prompt()])


def versions(bucket: Bucket, session_id: str) -> list[str]:
    key = f"{PREFIX}/session_{session_id}/session.json"
    named = bucket.client.list_object_versions(Bucket=BUCKET, Prefix=key)["Versions"]
    bodies = [bucket.client.get_object(Bucket=BUCKET, Key=key, VersionId=each["VersionId"]) for each in named]
    return [body["Body"].read().decode() for body in bodies]


def dies_at(bucket: Bucket, verb: str, nth: int, *, applied: bool) -> Fault:
    """Let nothing leave the process from its nth write on."""

    def die(_request: Request) -> None:
        bucket.s3.faults.add(Fault("drop", times=None))
        if not applied:
            raise KilledError

    return bucket.s3.faults.add(Fault("call", verb=verb, nth=nth, applied=applied, callback=die))


@pytest.mark.parametrize(
    ("redaction", "applied"), [(by_the_repository, False), (by_the_repository, True), (by_a_guardrail, False)]
)
def test_whatever_write_a_redaction_dies_at_no_title_outlives_the_words(
    bucket: Bucket, redaction: Callable[[Bucket, str], Callable[[], object]], applied: bool
) -> None:
    points, redacted = Counter[str](), Counter[bool]()
    for verb in WRITES:
        for nth in itertools.count(1):
            name = f"{redaction.__name__}-{applied}-{verb}-{nth}".lower()
            begin(bucket, name)
            work = redaction(bucket, name)
            fault = dies_at(bucket, verb, nth, applied=applied)
            with contextlib.suppress(Exception):
                work()
            died = bool(fault.fired)
            bucket.s3.faults.clear()
            if not died:
                break
            points[verb] += 1

            def is_redacted(name: str = name) -> bool:
                key = f"{PREFIX}/session_{name}/agents/agent_default/messages/message_0.json"
                message: Any = json.loads(bucket.s3.objects(BUCKET, key)[key])
                return SECRET not in json.dumps(message)

            redacted[is_redacted()] += 1
            assert not is_redacted() or all(SECRET not in body for body in versions(bucket, name)), f"{verb} {nth}"
            process(bucket, name, "Yes.")("Next words")
            assert not is_redacted() or all(SECRET not in body for body in versions(bucket, name)), f"{verb} {nth}"

            redact(bucket.manager(name, recent=True), name)
            assert all(SECRET not in body for body in versions(bucket, name)), f"{verb} {nth}: redacted again"
    assert min(points.values()) > 1
    assert redacted[True]
    assert redacted[False]


def test_a_title_that_came_after_the_session_was_found_is_redacted_too(bucket: Bucket) -> None:
    process(bucket, "chat", "Yes.")("Hello")
    bucket.turn(SECRET, "other", session_manager=bucket.manager("other"))
    repository = bucket.manager("other", recent=True)
    assert repository.read_session("other") is not None
    process(bucket, "other", "Yes.")("Later")
    assert bucket.store.describe("other").title == SECRET

    redact(repository, "other")

    assert bucket.store.describe("other").title == "[gone]"
    assert all(SECRET not in body for body in versions(bucket, "other"))
