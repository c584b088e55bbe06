"""``make run`` on a bucket of a store that is like S3: a conversation, a restart, an erasure.

The store is the S3 that ``--s3-endpoint`` names, and otherwise an emulator that knows no conditional deletes.
"""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mypy_boto3_s3 import S3Client

from tests.contract.places import BucketPlace, s3_client_for
from tests.doubles.s3_gateway import error, gateway, ignoring, no_conditional_delete
from tests.doubles.s3_server import S3Server
from tests.endpoint.test_local_run import AWS, Running, start, text_of

TURNS = 10


@pytest.fixture
def endpoint(other_s3: str) -> Iterator[str]:
    if other_s3:
        yield other_s3
        return
    with S3Server() as server, gateway(server.url, no_conditional_delete(error(501, "NotImplemented"))) as running:
        yield running.url


@pytest.fixture
def s3_client(endpoint: str) -> S3Client:
    return s3_client_for(endpoint)


@pytest.fixture
def bucket(s3_client: S3Client) -> BucketPlace:
    name = f"make-run-{uuid.uuid4().hex}"
    s3_client.create_bucket(Bucket=name)
    return BucketPlace(s3_client, name)


@pytest.fixture
def processes() -> Iterator[list[Any]]:
    started: list[Any] = []
    yield started
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def run(processes: list[Any], folder: Path, endpoint: str, bucket: BucketPlace, **variables: str) -> Running:
    store = {"STORE": f"s3://{bucket.bucket}/sessions", "AWS_ENDPOINT_URL_S3": endpoint}
    processes.append(start(folder, {**AWS, **store, **variables}))
    return Running(processes[-1])


@pytest.mark.timeout(300)
def test_ten_turns_a_restart_and_an_erasure_without_a_409(
    processes: list[Any], tmp_path: Path, endpoint: str, bucket: BucketPlace
) -> None:
    # When: ten turns are taken, one right after the other
    server = run(processes, tmp_path, endpoint, bucket)
    path = "/sessions/demo/messages"
    statuses = [server.ask("POST", path, {"prompt": f"I like number {n}."})[0] for n in range(TURNS)]
    server.say("Hello.", "other")
    assert server.end() == 0

    # Then every one is answered, and the next process has them all
    assert statuses == [200] * TURNS
    again = run(processes, tmp_path, endpoint, bucket)
    reply = again.say("What did I say first?")
    assert reply["restored_messages"] == 2 * TURNS
    assert "I like number 0." in text_of(reply)

    # And when it is erased, it is gone with everything in it, and its id can be used again at once
    assert again.ask("DELETE", "/sessions/demo")[0] == 204
    assert [key for key in bucket.keys() if "session_demo/" in key] == []  # noqa: SIM118 - a method of Place
    assert again.ask("GET", "/sessions/demo")[0] == 404
    assert again.ask("DELETE", "/sessions/demo")[0] == 404
    assert again.say("And now?")["restored_messages"] == 0
    assert again.say("Still there?", "other")["restored_messages"] == 2
    assert again.end() == 0


@pytest.mark.emulator_only
@pytest.mark.timeout(300)
def test_a_store_that_ignores_conditions_is_refused_when_it_starts_and_says_what_to_do(
    processes: list[Any], tmp_path: Path
) -> None:
    with S3Server() as server, gateway(server.url, ignoring("if-match", "if-none-match")) as unsafe:
        bucket = BucketPlace(s3_client_for(unsafe.url), f"unsafe-{uuid.uuid4().hex}")
        bucket.client.create_bucket(Bucket=bucket.bucket)
        store = {"STORE": f"s3://{bucket.bucket}/sessions", "AWS_ENDPOINT_URL_S3": unsafe.url}
        process = start(tmp_path, {**AWS, **store})
        processes.append(process)
        output, _ = process.communicate(timeout=60)

        assert process.returncode == 1, output
        assert output.splitlines()[-1].startswith(f"STORE=s3://{bucket.bucket}/sessions cannot be used: ")
        assert "ignores If-None-Match: *" in output
        assert "ALLOW_UNCONDITIONAL=true" in output
        assert bucket.keys() == []

        # Whoever wants it all the same gets it
        willing = run(processes, tmp_path, unsafe.url, bucket, ALLOW_UNCONDITIONAL="true")
        assert [willing.say(prompt)["restored_messages"] for prompt in ("One.", "Two.")] == [0, 2]
