"""Signing in at the development issuer: what a client that keeps the rules gets, and what others do not."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from local.development_issuer import DevelopmentIssuer
from local.development_sign_in import CLIENT_ID, CODE_SECONDS, DevelopmentSignIn, TokenRefusedError

PAGE = "http://127.0.0.1:8000/"
VERIFIER = "v" * 43
ASKED = {
    "client_id": CLIENT_ID,
    "redirect_uri": PAGE,
    "response_type": "code",
    "scope": "openid",
    "state": "st",
    "nonce": "no",
    "code_challenge": base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode(),
    "code_challenge_method": "S256",
}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issuer(clock: Clock) -> DevelopmentSignIn:
    return DevelopmentSignIn((PAGE,), clock)


def returned(location: str) -> dict[str, str]:
    assert location.startswith(f"{PAGE}?")
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


def code_of(issuer: DevelopmentSignIn, person: str = "ada") -> str:
    answer = issuer.authorize({**ASKED, "person": person}, {})
    assert returned(answer.location)["state"] == "st"
    return returned(answer.location)["code"]


def form(code: str, **changed: Any) -> dict[str, str]:
    return {
        "grant_type": "authorization_code",
        "client_id": CLIENT_ID,
        "redirect_uri": PAGE,
        "code": code,
        "code_verifier": VERIFIER,
        **changed,
    }


def test_a_code_is_good_once_and_for_a_minute(issuer: DevelopmentSignIn, clock: Clock) -> None:
    code, late = code_of(issuer), code_of(issuer)

    grant, _ = issuer.redeem(form(code))
    assert (grant.person, grant.nonce) == ("ada", "no")
    with pytest.raises(TokenRefusedError, match="invalid_grant"):
        issuer.redeem(form(code))
    clock.now += CODE_SECONDS
    with pytest.raises(TokenRefusedError, match="invalid_grant"):
        issuer.redeem(form(late))


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_grant"),
        ({"redirect_uri": "http://localhost:8000/"}, "invalid_grant"),
        ({"client_id": "other"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "refresh_token": "made up"}, "invalid_grant"),
    ],
)
def test_who_breaks_the_rules_gets_no_token_and_the_code_is_gone(
    issuer: DevelopmentSignIn, changed: dict[str, str], code: str
) -> None:
    with pytest.raises(TokenRefusedError, match=code):
        issuer.redeem(form(code_of(issuer), **changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"client_id": "other"},
        {"redirect_uri": "http://127.0.0.1:8000/other"},
        {"redirect_uri": "https://evil.example.com/"},
        {"redirect_uri": ""},
    ],
)
def test_no_browser_is_sent_to_an_address_that_is_not_known(issuer: DevelopmentSignIn, changed: dict[str, str]) -> None:
    answer = issuer.authorize({**ASKED, **changed, "person": "ada"}, {})

    assert (answer.status, answer.location) == (400, "")


@pytest.mark.parametrize("changed", [{"code_challenge_method": "plain"}, {"code_challenge": ""}, {"response_type": ""}])
def test_without_s256_there_is_no_code(issuer: DevelopmentSignIn, changed: dict[str, str]) -> None:
    answer = issuer.authorize({**ASKED, **changed, "person": "ada"}, {})

    assert returned(answer.location) == {"error": "invalid_request", "state": "st"}


def test_who_has_signed_in_is_not_asked_again_until_they_sign_out(issuer: DevelopmentSignIn) -> None:
    assert "Sign in as Ada" in issuer.authorize(ASKED, {}).body
    assert returned(issuer.authorize({**ASKED, "prompt": "none"}, {}).location)["error"] == "login_required"
    signed_in = issuer.authorize({**ASKED, "person": "ben"}, {})
    name, _, value = signed_in.cookie.partition(";")[0].partition("=")
    cookies = {name: value}
    grant, refresh_token = issuer.redeem(form(returned(issuer.authorize(ASKED, cookies).location)["code"]))
    assert grant.person == "ben"

    out = issuer.end_session({"post_logout_redirect_uri": PAGE}, cookies)

    assert (out.location, "Max-Age=0" in out.cookie) == (PAGE, True)
    assert "Sign in as Ada" in issuer.authorize(ASKED, cookies).body
    with pytest.raises(TokenRefusedError, match="invalid_grant"):
        issuer.redeem(form("", grant_type="refresh_token", refresh_token=refresh_token))
    assert issuer.end_session({"post_logout_redirect_uri": "https://evil.example.com/"}, cookies).location == ""


def test_a_refresh_token_is_good_once(issuer: DevelopmentSignIn) -> None:
    _, first = issuer.redeem(form(code_of(issuer)))

    grant, second = issuer.redeem(form("", grant_type="refresh_token", refresh_token=first))

    assert grant.person == "ada"
    assert second != first
    with pytest.raises(TokenRefusedError, match="invalid_grant"):
        issuer.redeem(form("", grant_type="refresh_token", refresh_token=first))


def test_what_is_asked_is_shown_as_text(issuer: DevelopmentSignIn) -> None:
    shown = issuer.authorize({**ASKED, "state": '"><script>alert(1)</script>'}, {}).body

    assert "<script>" not in shown


def test_a_refresh_token_that_is_given_back_is_good_for_nothing(issuer: DevelopmentSignIn) -> None:
    _, refresh_token = issuer.redeem(form(code_of(issuer)))
    asked = {"client_id": CLIENT_ID, "token": refresh_token}

    for revoked in ({**asked, "client_id": "other"}, {**asked, "token": "unknown"}, asked, asked):
        issuer.revoke(revoked)

    with pytest.raises(TokenRefusedError, match="invalid_grant"):
        issuer.redeem({"grant_type": "refresh_token", "client_id": CLIENT_ID, "refresh_token": refresh_token})


@pytest.fixture(scope="module")
def served() -> Iterator[DevelopmentIssuer]:
    served = DevelopmentIssuer((PAGE.removesuffix("/"),))
    yield served
    served.close()


class TestServed:
    @staticmethod
    def ask(served: DevelopmentIssuer, method: str, path: str, **headers: str) -> tuple[HTTPResponse, str]:
        """Send a head without a body."""
        address = urlsplit(served.url)
        connection = HTTPConnection(str(address.hostname), address.port, timeout=10)
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer, text

    @pytest.mark.parametrize("host", ["rebound.example.com", "127.0.0.1.example.com:80", "", "[", "localhost.evil"])
    def test_who_came_by_another_name_is_refused(self, served: DevelopmentIssuer, host: str) -> None:
        for method, path in (("GET", "/authorize"), ("GET", "/keys"), ("POST", "/token"), ("POST", "/revoke")):
            answer, _ = self.ask(served, method, path, Host=host, Content_Length="0")

            assert answer.status == 403, (method, path)
        assert self.ask(served, "GET", "/keys", Host=f"localhost:{urlsplit(served.url).port}")[0].status == 200

    @pytest.mark.parametrize(
        ("length", "status"),
        [
            ("many", 400),
            ("-1", 400),
            ("1.5", 400),
            ("\u0661".encode().decode("latin-1"), 400),
            ("9" * 5000, 413),
            ("16385", 413),
        ],
    )
    def test_a_length_that_is_none_or_too_much_is_said(
        self, served: DevelopmentIssuer, length: str, status: int
    ) -> None:
        answer, text = self.ask(served, "POST", "/token", Content_Length=length)

        assert answer.status == status
        assert json.loads(text)["error"] == "invalid_request"

    def test_without_a_length_nothing_is_read(self, served: DevelopmentIssuer) -> None:
        assert self.ask(served, "POST", "/token", Transfer_Encoding="chunked")[0].status == 411
        assert self.ask(served, "POST", "/token", Content_Length="0")[0].status == 400

    def test_its_pages_may_look_as_they_do_and_nothing_else(self, served: DevelopmentIssuer) -> None:
        answer, text = self.ask(served, "GET", "/authorize")

        style = re.search("<style>(.*?)</style>", text, re.DOTALL)
        assert style
        digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
        policy = answer.headers["content-security-policy"]
        assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'"
