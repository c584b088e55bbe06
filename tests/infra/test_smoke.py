"""`make smoke`: passes on what keeps its promises, and notices what does not."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from agent_sessions_client import BearerAuth, Client, SigV4Auth
from infra.commands.smoke.__main__ import caller_of, forged, main
from infra.commands.smoke.bucket import check_bucket
from infra.commands.smoke.conversation import check_conversation, check_forged_token
from infra.commands.smoke.report import Report, expect
from tests.doubles.issuer import AUDIENCE, running

BUCKET = "the-sessions"
SESSION = boto3.Session(aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="secret", region_name="eu-central-1")


class Lines:
    """Collects what a report says."""

    def __init__(self) -> None:
        self.text = ""
        self.report = Report(self.add)

    def add(self, line: str) -> None:
        self.text += line

    def failures(self) -> list[str]:
        return [line.split("FAILED")[1].split(":")[0].strip() for line in self.text.splitlines() if "FAILED" in line]


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        client = SESSION.client("s3")
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        client.put_public_access_block(
            Bucket=BUCKET,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        )
        client.put_bucket_encryption(
            Bucket=BUCKET,
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
            },
        )
        yield client


class DeniesEverything:
    """Stands for the client without TLS, whose requests the bucket's policy denies."""

    def get_object(self, **_request: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "explicit deny"}}, "GetObject")


def test_a_bucket_that_keeps_its_promises_passes_and_is_left_as_it_was(s3: Any, lines: Lines) -> None:
    check_bucket(lines.report, s3, DeniesEverything(), BUCKET, kms=False)  # type: ignore[arg-type]  # stands for a client

    assert lines.failures() == [], lines.text
    assert lines.report.close() == 0
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def test_an_open_door_for_plain_http_is_noticed(s3: Any, lines: Lines) -> None:
    check_bucket(lines.report, s3, s3, BUCKET, kms=False)

    assert lines.failures() == ["plain HTTP is denied"]
    assert lines.report.close() == 1


def test_another_encryption_than_configured_is_noticed(s3: Any, lines: Lines) -> None:
    check_bucket(lines.report, s3, DeniesEverything(), BUCKET, kms=True)  # type: ignore[arg-type]  # stands for a client

    assert lines.failures() == ["an object is encrypted as configured", "with a key, equal bytes get another ETag"]


def test_a_store_that_ignores_conditions_is_noticed(s3: Any, lines: Lines) -> None:
    def forget_conditions(params: dict[str, Any], **_event: Any) -> None:
        for header in ("If-Match", "If-None-Match"):
            params["headers"].pop(header, None)

    s3.meta.events.register("before-call.s3", forget_conditions)

    check_bucket(lines.report, s3, DeniesEverything(), BUCKET, kms=False)  # type: ignore[arg-type]  # stands for a client

    assert {
        "a key is not created twice",
        "a stale ETag does not replace",
        "a stale ETag does not delete",
    } <= set(lines.failures())


def test_a_public_bucket_is_noticed(s3: Any, lines: Lines) -> None:
    s3.delete_public_access_block(Bucket=BUCKET)

    check_bucket(lines.report, s3, DeniesEverything(), BUCKET, kms=False)  # type: ignore[arg-type]  # stands for a client

    assert lines.failures() == ["nothing is public"]


class Gateway(ThreadingHTTPServer):
    """What stands in front of a function: lets signed requests through, to a server that answers them."""

    daemon_threads = True

    def __init__(self, target: str, *, asks_for_signature: bool = True, holds_back: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.target = target
        self.asks_for_signature = asks_for_signature
        self.holds_back = holds_back
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Forward(BaseHTTPRequestHandler):
    server: Gateway

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        signed = self.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
        in_scope = "/eu-central-1/lambda/aws4_request" in self.headers.get("authorization", "")
        if self.server.asks_for_signature and not (signed and in_scope):
            self._send(403, b'{"Message": "Forbidden"}')
            return
        headers = {
            name: self.headers[name] for name in ("content-type", "accept", "idempotency-key") if name in self.headers
        }
        with httpx.stream(self.command, self.server.target + self.path, headers=headers, content=body) as response:
            if self.server.holds_back or "event-stream" not in response.headers.get("content-type", ""):
                self._send(response.status_code, response.read(), response.headers.get("content-type", ""))
                return
            self.send_response(response.status_code)
            self.send_header("content-type", response.headers["content-type"])
            self.send_header("connection", "close")
            self.end_headers()
            for piece in response.iter_raw():
                self.wfile.write(piece)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - http.server's names

    def _send(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Nothing to the test's output."""


@contextmanager
def served(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, **settings: str) -> Iterator[str]:
    """The kit's own endpoint, on files and with the offline model."""
    from tests.endpoint.function import forget_function, processes

    for name, value in {
        "SESSION_STORE": f"file://{tmp_path}/sessions",
        "AGENT_MODEL": "offline:echo",
        **settings,
    }.items():
        monkeypatch.setenv(name, value)
    with processes():
        forget_function()
        from lambda_src.models.providers import MODEL_PROVIDERS
        from local.offline_model import OfflineModel
        from local.server import LocalServer

        monkeypatch.setitem(
            MODEL_PROVIDERS, "offline", lambda model_id, _settings: OfflineModel(model_id, words_per_second=200)
        )
        from lambda_src import handler

        server = LocalServer(0)
        server.serve(handler.lambda_handler)  # type: ignore[arg-type]  # its context is the local one
        yield server.url
        server.stop()


@pytest.fixture
def endpoint(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """An endpoint behind a gateway that knows signatures."""
    with served(tmp_path, monkeypatch, ENDPOINT_AUTH="local") as url:
        gateways: list[Gateway] = []

        def behind(**options: bool) -> str:
            gateways.append(Gateway(url, **options))
            return gateways[-1].url

        yield behind
        for gateway in gateways:
            gateway.shutdown()
            gateway.server_close()


def test_a_conversation_with_an_endpoint_that_remembers_passes(endpoint: Callable[..., str], lines: Lines) -> None:
    url = endpoint()

    check_conversation(lines.report, Client(url, SigV4Auth(SESSION)), Client(url))

    assert lines.failures() == [], lines.text
    assert lines.report.passed == 8


def test_an_endpoint_that_keeps_an_answer_until_it_is_whole_is_noticed(
    endpoint: Callable[..., str], lines: Lines
) -> None:
    check_conversation(lines.report, Client(endpoint(holds_back=True), SigV4Auth(SESSION)), None)

    assert lines.failures() == ["an answer arrives in pieces, while it is made"], lines.text


def test_a_deployment_without_streaming_is_not_asked_for_a_stream(
    endpoint: Callable[..., str], lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_conversation(lines.report, Client(endpoint(), SigV4Auth(SESSION)), None, streaming=False)

    assert lines.failures() == [], lines.text
    assert "pieces" not in lines.text


def test_an_endpoint_that_answers_strangers_is_noticed(endpoint: Callable[..., str], lines: Lines) -> None:
    url = endpoint(asks_for_signature=False)

    check_conversation(lines.report, Client(url, SigV4Auth(SESSION)), Client(url))

    assert lines.failures() == ["a request without a signature or a token is refused"]


def test_an_endpoint_with_tokens_passes_with_one_and_refuses_a_forged_one(
    tmp_path: Any, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running() as issuer:
        settings = {"ENDPOINT_AUTH": "jwt", "JWT_ISSUER": issuer.url, "JWT_AUDIENCES": AUDIENCE}
        token = issuer.token()
        with served(tmp_path, monkeypatch, **settings) as url:
            check_forged_token(lines.report, Client(url, BearerAuth(forged(token))))
            check_conversation(lines.report, Client(url, caller_of("jwt", SESSION, token)), Client(url))

    assert lines.failures() == [], lines.text
    assert lines.report.passed == 9


def test_an_endpoint_that_takes_forged_tokens_is_noticed(endpoint: Callable[..., str], lines: Lines) -> None:
    check_forged_token(lines.report, Client(endpoint(asks_for_signature=False), BearerAuth(forged("a.b.cd"))))

    assert lines.failures() == ["a token with a forged signature is refused"]


def test_with_tokens_a_token_is_asked_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("TOKEN", raising=False)
    tokens = ["-c", "auth=jwt", "-c", "jwt_issuer=https://login.example.com", "-c", "jwt_audiences=x"]

    assert main(["https://abc.lambda-url.eu-central-1.on.aws/", *tokens]) == 2
    assert "TOKEN=" in capsys.readouterr().err


def test_a_url_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([""]) == 2
    assert "make smoke URL=" in capsys.readouterr().err


@pytest.mark.usefixtures("open_app")
def test_a_url_of_another_deployment_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        assert main(["https://abc.lambda-url.eu-central-1.on.aws/", "-c", "stage=test"]) == 2

    assert "is not the endpoint of agent-session-kit-test" in capsys.readouterr().err


def test_a_check_that_raises_is_a_failed_check_and_the_next_one_runs(lines: Lines) -> None:
    lines.report.check("first", lambda: expect(holds=False, found="nothing"))
    lines.report.check("second", lambda: 1 / 0)
    assert lines.report.check("third", lambda: 3) == 3

    assert lines.failures() == ["first", "second"]
    assert lines.text.endswith("ok      third (0.00 s)\n")
