"""What stands in for IAM in the rehearsal: it refuses what the role does not allow, as S3 would."""

import threading
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from tests.deploy.permission_check import Call, PermissionCheck, calls_of

ARN = "arn:aws:s3:::sessions-bucket"
READ = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{ARN}/p/*"}
WRITE = {"Effect": "Allow", "Action": ["s3:PutObject", "s3:DeleteObject"], "Resource": f"{ARN}/p/*"}
LIST = {
    "Effect": "Allow",
    "Action": "s3:ListBucket",
    "Resource": ARN,
    "Condition": {"StringLike": {"s3:prefix": "p/*"}},
}


def environ(method: str, path: str, query: str = "", host: str = "localhost:5000", **headers: str) -> dict[str, Any]:
    return {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "HTTP_HOST": host, **headers}


@pytest.mark.parametrize(
    ("request_", "calls"),
    [
        (environ("PUT", "/sessions-bucket/p/x"), {Call("s3:PutObject", f"{ARN}/p/x")}),
        (environ("PUT", "/p/x", host="sessions-bucket.localhost:5000"), {Call("s3:PutObject", f"{ARN}/p/x")}),
        (
            environ("PUT", "/sessions-bucket/p/x", HTTP_IF_MATCH='"e"'),
            {Call("s3:PutObject", f"{ARN}/p/x"), Call("s3:GetObject", f"{ARN}/p/x")},
        ),
        (
            environ("PUT", "/sessions-bucket/p/x", HTTP_X_AMZ_COPY_SOURCE="sessions-bucket/p/%C3%A9"),
            {Call("s3:PutObject", f"{ARN}/p/x"), Call("s3:GetObject", f"{ARN}/p/é")},
        ),
        (
            environ("GET", "/sessions-bucket/p/x"),
            {Call("s3:GetObject", f"{ARN}/p/x"), Call("s3:ListBucket", ARN, "p/x", implied=True)},
        ),
        (environ("GET", "/sessions-bucket", "list-type=2&prefix=p%2F"), {Call("s3:ListBucket", ARN, "p/")}),
        (environ("GET", "/sessions-bucket", "list-type=2"), {Call("s3:ListBucket", ARN, None)}),
        (environ("GET", "/sessions-bucket", "versions&prefix=p/"), {Call("s3:ListBucketVersions", ARN, "p/")}),
        (environ("DELETE", "/sessions-bucket/p/x"), {Call("s3:DeleteObject", f"{ARN}/p/x")}),
        (environ("DELETE", "/sessions-bucket/p/x", "versionId=v1"), {Call("s3:DeleteObjectVersion", f"{ARN}/p/x")}),
        (
            environ("GET", "/sessions-bucket/p/x", "versionId=v1"),
            {Call("s3:GetObjectVersion", f"{ARN}/p/x"), Call("s3:ListBucket", ARN, "p/x", implied=True)},
        ),
    ],
)
def test_a_request_is_the_actions_that_iam_asks_about(request_: dict[str, Any], calls: set[Call]) -> None:
    assert calls_of(request_) == calls


def test_deleting_several_objects_is_asked_for_each() -> None:
    body = b"<Delete><Object><Key>p/a</Key></Object><Object><Key>p/b</Key></Object></Delete>"

    assert calls_of(environ("POST", "/sessions-bucket", "delete"), body) == {
        Call("s3:DeleteObject", f"{ARN}/p/a"),
        Call("s3:DeleteObject", f"{ARN}/p/b"),
    }


def test_deleting_versions_and_deleting_on_a_condition_ask_for_more() -> None:
    body = (
        b'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        b"<Object><Key>p/a&amp;b</Key><VersionId>v1</VersionId></Object>"
        b"<Object><Key>p/c</Key><ETag>e</ETag></Object></Delete>"
    )

    assert calls_of(environ("POST", "/sessions-bucket", "delete"), body) == {
        Call("s3:DeleteObjectVersion", f"{ARN}/p/a&b"),
        Call("s3:DeleteObject", f"{ARN}/p/c"),
        Call("s3:GetObject", f"{ARN}/p/c"),
    }


@pytest.mark.parametrize(
    "request_",
    [
        environ("GET", "/sessions-bucket", "acl"),
        environ("GET", "/sessions-bucket/p/x", "acl"),
        environ("PUT", "/sessions-bucket/p/x", "tagging"),
        environ("POST", "/sessions-bucket/p/x", "uploads"),
    ],
)
def test_a_request_that_is_not_known_is_an_error(request_: dict[str, Any]) -> None:
    with pytest.raises(NotImplementedError):
        calls_of(request_)


class Place:
    """An emulator behind the check, and two who call it: the function and somebody else."""

    def __init__(self, url: str, check: PermissionCheck) -> None:
        self.check = check
        self.function = self._client(url, "AKIAFUNCTION")
        self.administrator = self._client(url, "AKIAADMIN")

    @staticmethod
    def _client(url: str, key: str) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key="x",
            config=Config(retries={"total_max_attempts": 1}),
        )


@pytest.fixture
def place() -> Iterator[Place]:
    check = PermissionCheck(DomainDispatcherApplication(create_backend_app), "AKIAFUNCTION")
    server = make_server("127.0.0.1", 0, check, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    place = Place(f"http://localhost:{server.server_port}", check)
    place.administrator.create_bucket(Bucket="sessions-bucket")
    yield place
    server.shutdown()
    server.server_close()


def test_what_the_role_allows_goes_through(place: Place) -> None:
    place.check.forget([READ, WRITE, LIST])

    place.function.put_object(Bucket="sessions-bucket", Key="p/x", Body=b"1")
    assert place.function.get_object(Bucket="sessions-bucket", Key="p/x")["Body"].read() == b"1"
    assert place.function.list_objects_v2(Bucket="sessions-bucket", Prefix="p/")["KeyCount"] == 1
    place.function.delete_objects(Bucket="sessions-bucket", Delete={"Objects": [{"Key": "p/x"}]})

    assert not place.check.refused
    assert {call.action for call in place.check.calls} == {
        *("s3:PutObject", "s3:GetObject", "s3:ListBucket", "s3:DeleteObject"),
    }


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("put_object", {"Key": "p/x", "Body": b"1"}),
        ("get_object", {"Key": "q/x"}),
        ("list_objects_v2", {}),
        ("list_objects_v2", {"Prefix": "q/"}),
        ("delete_objects", {"Delete": {"Objects": [{"Key": "p/x"}]}}),
    ],
)
def test_what_the_role_does_not_allow_is_refused_as_s3_refuses(
    operation: str, arguments: dict[str, Any], place: Place
) -> None:
    place.check.forget([READ, LIST])

    with pytest.raises(ClientError) as refusal:
        getattr(place.function, operation)(Bucket="sessions-bucket", **arguments)

    assert refusal.value.response["Error"]["Code"] == "AccessDenied"
    assert place.check.refused


def test_before_a_role_is_known_nothing_is_allowed(place: Place) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        place.function.get_object(Bucket="sessions-bucket", Key="p/x")


def test_other_callers_are_none_of_its_business(place: Place) -> None:
    place.administrator.put_object(Bucket="sessions-bucket", Key="q/x", Body=b"1")

    assert not place.check.calls
