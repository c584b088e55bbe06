"""What of a request is ours to choose."""

import io
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from moto import mock_aws
from urllib3 import HTTPResponse

from agent_sessions._storage.s3_objects import S3Objects
from agent_sessions.object_store import Absent


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_write_is_sent_at_once_and_not_announced_first(scheme: str) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=f"{scheme}://s3.eu-west-1.amazonaws.com",
        region_name="eu-west-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
    sent: list[tuple[bool, bytes]] = []

    def answer(request: AWSPreparedRequest, **_: Any) -> Any:
        body: Any = request.body
        sent.append(("Expect" in request.headers, body.read()))
        headers = HTTPHeaders()
        headers["ETag"] = '"1"'
        return AWSResponse(request.url, 200, headers, HTTPResponse(io.BytesIO(), preload_content=False))

    S3Objects(client, "others")  # any number of stores may use a client
    objects = S3Objects(client, "sessions")
    client.meta.events.register_last("before-send.s3.PutObject", answer)

    objects.put("key", b'{"n": 1}', Absent())
    client.put_object(Bucket="sessions", Key="key", Body=b'{"n": 1}')

    (ours_is_announced, body), (any_is_announced, _) = sent
    assert not ours_is_announced
    assert b'{"n": 1}' in body
    assert any_is_announced, "other writes are not ours to change, or botocore announces none any more"


def test_a_write_reaches_moto_in_the_same_process() -> None:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any")
        client.create_bucket(Bucket="sessions")
        objects = S3Objects(client, "sessions")

        objects.put("key", b'{"n": 1}', Absent())

        found = objects.get("key")
        assert found is not None
        assert found.body == b'{"n": 1}'
