"""What AWS, the network or the credentials refuse is said by the operator's commands in one line."""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, SSOTokenLoadError

from infra.commands import destroy
from infra.commands.failures import obstacle
from infra.commands.smoke import __main__ as smoke
from infra.packaging.python_package import ROOT
from tests.infra.surroundings import KEYS, STACK


class Refuses(ThreadingHTTPServer):
    """An AWS that refuses one service's requests and answers the others."""

    daemon_threads = True

    def __init__(self, service: str, status: int, code: str) -> None:
        super().__init__(("127.0.0.1", 0), _Refusal)
        self.service, self.status, self.code = service, status, code
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class _Refusal(BaseHTTPRequestHandler):
    server: Refuses

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        service = self.headers["authorization"].split("/")[3]
        if service == self.server.service:
            error = f"<Code>{self.server.code}</Code><Message>no,\nreally not</Message>"
            is_s3 = service == "s3"
            body = f"<Error>{error}</Error>" if is_s3 else f"<ErrorResponse><Error>{error}</Error></ErrorResponse>"
            self._send(self.server.status, body)
        elif service == "sts":
            account = "<GetCallerIdentityResult><Account>123456789012</Account></GetCallerIdentityResult>"
            self._send(200, f"<GetCallerIdentityResponse>{account}</GetCallerIdentityResponse>")
        else:
            output = "<member><OutputKey>BucketName</OutputKey><OutputValue>the-sessions</OutputValue></member>"
            stack = f"<member><StackName>{STACK}</StackName><Outputs>{output}</Outputs></member>"
            result = f"<DescribeStacksResult><Stacks>{stack}</Stacks></DescribeStacksResult>"
            self._send(200, f"<DescribeStacksResponse>{result}</DescribeStacksResponse>")

    do_POST = do_GET = _answer  # noqa: N815 - http.server's names

    def _send(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Nothing to the test's output."""


@pytest.mark.usefixtures("open_app")
class TestRefusals:
    @pytest.mark.parametrize(
        ("service", "status", "code", "said"),
        [
            ("sts", 403, "ExpiredToken", "have expired"),
            ("sts", 400, "ExpiredTokenException", "have expired"),
            ("sts", 403, "InvalidClientTokenId", "does not accept these credentials"),
            ("sts", 403, "SignatureDoesNotMatch", "does not accept these credentials"),
            ("cloudformation", 403, "AccessDenied", "denies DescribeStacks"),
            ("cloudformation", 400, "Throttling", "Throttling"),
            ("s3", 403, "AccessDenied", "denies ListObjectVersions"),
        ],
    )
    def test_a_refusal_of_aws_is_one_line(
        self,
        service: str,
        status: int,
        code: str,
        said: str,
        shell: pytest.MonkeyPatch,
        cdk: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        server = Refuses(service, status, code)
        variables = {**KEYS, "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}
        for name, value in {**variables, "AWS_MAX_ATTEMPTS": "1"}.items():
            shell.setenv(name, value)

        code_of_destroy = destroy.main(["--force"])
        error = capsys.readouterr().err
        code_of_smoke = smoke.main(["https://abc.lambda-url.eu-west-1.on.aws/"])
        server.shutdown()
        server.server_close()

        assert code_of_destroy == 1
        assert error.count("\n") == 1
        assert said in error
        assert code_of_smoke == (1 if service != "s3" else 2)  # smoke's own stack is another one then
        assert not cdk.exists()

    @pytest.mark.parametrize(
        ("variables", "arguments", "said"),
        [
            ({}, [], "no AWS credentials"),
            ({"AWS_REGION": "eu-west-1"}, [], "no AWS credentials"),
            ({"AWS_ACCESS_KEY_ID": "half"}, [], "credentials cannot be used"),
            ({}, ["--profile", "gone"], "gone"),
            ({"AWS_PROFILE": "gone"}, [], "gone"),
            ({**KEYS, "AWS_REGION": "nowhere at all"}, [], "nowhere at all"),
            ({**KEYS, "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, [], "could not be asked"),
            ({**KEYS, "AWS_CONFIG_FILE": "broken"}, [], "broken"),
        ],
    )
    @pytest.mark.parametrize("command", ["destroy", "smoke"])
    def test_without_credentials_or_a_way_to_aws_it_is_one_line(
        self,
        command: str,
        variables: dict[str, str],
        arguments: list[str],
        said: str,
        shell: pytest.MonkeyPatch,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        (tmp_path / "broken").write_text("[profile\nregion\n")
        if "AWS_CONFIG_FILE" in variables:
            variables = {**variables, "AWS_CONFIG_FILE": str(tmp_path / "broken")}
        for name, value in {**variables, "AWS_MAX_ATTEMPTS": "1"}.items():
            shell.setenv(name, value)

        code = (
            destroy.main(arguments)
            if command == "destroy"
            else smoke.main(["https://abc.lambda-url.eu-west-1.on.aws/", *arguments])
        )

        error = capsys.readouterr().err
        assert code in {1, 2}
        assert error.count("\n") == 1
        assert said in error

    @pytest.mark.parametrize("module", ["destroy", "smoke", "config_docs"])
    def test_what_deploys_nothing_does_not_start_the_cdk(self, module: str) -> None:
        """It takes seconds, and says on an old Node.js that it is old."""
        look = f"import infra.commands.{module}, sys; sys.exit('aws_cdk' in sys.modules)"

        assert subprocess.run([sys.executable, "-c", look], cwd=ROOT, check=False).returncode == 0

    def test_as_a_user_starts_it_it_is_one_line_too(self, shell: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for module, arguments in (("destroy", []), ("smoke", ["https://abc.lambda-url.eu-west-1.on.aws/"])):
            done = subprocess.run(
                [sys.executable, "-m", f"infra.commands.{module}", *arguments],
                cwd=ROOT,
                env={"HOME": str(tmp_path), "PATH": os.environ["PATH"], "AWS_EC2_METADATA_DISABLED": "true"},
                capture_output=True,
                text=True,
                check=False,
            )

            assert done.returncode == 1
            assert done.stderr.count("\n") == 1, done.stderr
            assert "no AWS credentials" in done.stderr

    @pytest.mark.parametrize(
        "error",
        [
            SSOTokenLoadError(error_msg="expired\nlong ago"),
            EndpointConnectionError(endpoint_url="https://sts.eu-west-1.amazonaws.com/"),
            ConnectTimeoutError(endpoint_url="https://sts.eu-west-1.amazonaws.com/"),
        ],
    )
    def test_every_obstacle_is_named(self, error: Any) -> None:
        assert str(error) in obstacle(error)
