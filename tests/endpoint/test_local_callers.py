"""Who may call ``make run``: people with tokens, and pages of other origins."""

import json
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from infra.policies import cors as deployed
from lambda_src.runtime.streamed_answer import StreamedAnswer
from local import cors
from local.configuration import ConfigurationError, read_configuration
from local.function_url import Request
from local.server import LocalServer
from tests.endpoint.test_local_run import Run, run  # noqa: F401 - a fixture

PAGE = "https://app.example.com"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"AUTH": "iam"}, r"AUTH='iam' is not known. Allowed: local \(the default: one owner\), jwt .*, dev"),
        ({"JWT_ISSUER": "https://login.example.com"}, "JWT_ISSUER is for AUTH=jwt, and AUTH is local"),
        ({"AUTH": "dev", "JWT_AUDIENCES": "x"}, "JWT_AUDIENCES is for AUTH=jwt, and AUTH is dev"),
        ({"CORS_ORIGINS": "*"}, r"CORS_ORIGINS: '\*': every page of that kind could call; name each origin. Allowed: "),
        (
            {"CORS_ORIGINS": f"{PAGE}, {PAGE}/"},
            "CORS_ORIGINS: 'https://app.example.com/' is no origin as browsers send",
        ),
        ({"CORS_ORIGINS": f"{PAGE}:443"}, "CORS_ORIGINS: 'https://app.example.com:443': browsers leave out the port"),
    ],
)
def test_a_wrong_value_is_refused_by_name(variables: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read_configuration(variables, tmp_path)


def test_an_issuer_s_tokens_reach_the_endpoint_s_settings(tmp_path: Path) -> None:
    tokens = {"AUTH": "jwt", "JWT_ISSUER": "https://login.example.com", "JWT_AUDIENCES": "x"}

    assert read_configuration(tokens, tmp_path).endpoint_environment()["ENDPOINT_AUTH"] == "jwt"


class TestPeopleOfTheDevelopmentIssuer:
    def test_each_has_sessions_of_their_own_which_are_still_there_after_a_restart(self, run: Run) -> None:  # noqa: F811
        first = run(AUTH="dev")
        ada, ben = (line.split("=")[1] for line in first.welcome.splitlines() if line.startswith(("  ADA=", "  BEN=")))

        assert ask(first.port, ada, "My name is Ada.")["restored_messages"] == 0
        assert ask(first.port, ben, "What is my name?")["restored_messages"] == 0
        assert ask(first.port, None, "What is my name?")["status"] == 401
        accepted = ask(first.port, ben, "Later.", session="later", Prefer="respond-async")
        assert accepted["status"] == "running", accepted
        first.end()
        second = run(AUTH="dev")
        again = next(line.split("=")[1] for line in second.welcome.splitlines() if line.startswith("  ADA="))

        assert ask(second.port, ada, "What is my name?")["status"] == 401  # of the run before
        assert ask(second.port, again, "What is my name?")["restored_messages"] == 2
        assert '-H "authorization: Bearer $ADA"' in second.welcome
        second.end()
        assert not [line for line in (*first.output, *second.output) if "eyJ" in line or '"ada"' in line]


def ask(port: int, token: str | None, prompt: str, session: str = "demo", **more: str) -> Any:
    headers = {"Content-Type": "application/json", **more}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", f"/sessions/{session}/messages", json.dumps({"prompt": prompt}), headers)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


@pytest.fixture
def port() -> Iterator[int]:
    """A server whose handler streams what is asked for at /stream, and knows one page."""

    def handler(event: dict[str, Any], _: object) -> Any:
        assert event["requestContext"]["http"]["method"] != "OPTIONS", "a preflight reached the handler"
        if event["rawPath"] == "/stream":
            return StreamedAnswer(200, {"Content-Type": "text/event-stream"}, iter([b": hello\n\n"]))
        return {"statusCode": 409, "headers": {"Retry-After": "1"}, "body": "{}"}

    server = LocalServer(0, cors_origins=(PAGE,))
    server.serve(handler)
    yield server.server_address[1]
    server.stop()
    assert server.wait(10)


def asked(port: int, method: str, path: str, **headers: str) -> HTTPResponse:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def test_a_preflight_is_answered_for_a_page_that_may_call(port: int) -> None:
    answer = asked(port, "OPTIONS", "/sessions", Origin=PAGE, **PREFLIGHT)

    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert answer.headers["vary"] == "Origin"
    assert answer.headers["access-control-allow-credentials"] is None


@pytest.mark.parametrize("path", ["/", "/stream"])
def test_every_answer_can_be_read_by_the_page_streamed_or_not(path: str, port: int) -> None:
    answer = asked(port, "GET", path, Origin=PAGE)

    assert answer.headers["access-control-allow-origin"] == PAGE
    assert {"Retry-After", "Location", "Idempotency-Key"} <= set(
        answer.headers["access-control-expose-headers"].split(",")
    )
    assert answer.headers["access-control-allow-credentials"] is None


@pytest.mark.parametrize("origin", ["http://localhost:5173", "http://127.0.0.1:8000"])
def test_another_page_of_this_machine_gets_no_leave(origin: str, port: int) -> None:
    for method, headers in (("GET", {}), ("OPTIONS", PREFLIGHT)):
        answer = asked(port, method, "/", Origin=origin, **headers)

        assert answer.headers["access-control-allow-origin"] is None


@pytest.mark.parametrize(
    "origin", ["https://evil.example.com", f"{PAGE}.evil.example.com", f"{PAGE}:444", "http://app.example.com", "null"]
)
def test_a_page_that_is_not_named_is_refused(origin: str, port: int) -> None:
    assert asked(port, "GET", "/", Origin=origin).status == 403
    assert asked(port, "OPTIONS", "/", Origin=origin, **PREFLIGHT).status == 403


def test_the_name_of_a_page_is_no_name_of_this_machine(port: int) -> None:
    assert asked(port, "GET", "/", Host="app.example.com", Origin=PAGE).status == 403


def test_without_origins_nothing_is_said() -> None:
    request = Request("OPTIONS", "/", [("origin", PAGE), ("access-control-request-method", "POST")])

    assert cors.preflight(request, ()) is None
    assert cors.answer_headers(request, ()) == []


def test_the_deployed_url_tells_browsers_the_same() -> None:
    for name in ("METHODS", "REQUEST_HEADERS", "EXPOSED_HEADERS", "MAX_AGE_SECONDS"):
        assert getattr(cors, name) == getattr(deployed, name)


def test_a_page_may_use_every_method_that_the_endpoint_takes() -> None:
    contract = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
    taken = {method.upper() for path in contract["paths"].values() for method in path if method != "parameters"}

    assert set(deployed.METHODS) == taken


def test_a_page_may_read_every_header_that_the_endpoint_sends() -> None:
    contract = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
    operations = [each for path in contract["paths"].values() for name, each in path.items() if name != "parameters"]
    sent = {name for each in operations for answer in each["responses"].values() for name in answer.get("headers", {})}

    assert "X-Request-Id" in sent
    assert sent <= {*deployed.EXPOSED_HEADERS, "Cache-Control"}  # which pages read anyway (Fetch standard)
