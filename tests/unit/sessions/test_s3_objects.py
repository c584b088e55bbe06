"""What of a request is ours to choose."""

import io
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from urllib3 import HTTPResponse

from agent_sessions.object_store import Absent
from agent_sessions.s3_objects import S3Objects


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
        sent.append(("Expect" in request.headers, bytes(body if isinstance(body, bytearray) else body.read())))
        headers = HTTPHeaders()
        headers["ETag"] = '"1"'
        return AWSResponse(request.url, 200, headers, HTTPResponse(io.BytesIO(), preload_content=False))

    client.meta.events.register("before-send.s3.PutObject", answer)

    S3Objects(client, "sessions").put("key", b'{"n": 1}', Absent())
    client.put_object(Bucket="sessions", Key="key", Body=b'{"n": 1}')

    (ours_is_announced, body), (any_is_announced, _) = sent
    assert not ours_is_announced
    assert b'{"n": 1}' in body
    assert any_is_announced, "botocore announces no write any more: S3Objects may give it bytes again"
