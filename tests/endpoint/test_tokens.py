"""Callers with a token: which tokens are taken, whose sessions they reach, and what an issuer that misbehaves does."""

import itertools
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import jwt
import pytest

from agent_sessions.owner import owner_prefix
from tests.doubles.issuer import AUDIENCE, CONFIGURATION, KEYS, Issuer, published, running
from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import ALICE, Answer, Function

Scripted = Callable[..., tuple[Function, ScriptedModel]]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running() as issuer:
        yield issuer


@dataclass(frozen=True)
class in_seconds:  # noqa: N801 - reads as the time it stands for
    """A time from the moment on at which the test runs."""

    seconds: int


def at_this_time(claims: dict[str, Any]) -> dict[str, Any]:
    now = int(time.time())
    return {name: now + value.seconds if isinstance(value, in_seconds) else value for name, value in claims.items()}


def with_issuer(scripted: Scripted, issuer: Issuer, **changed: str) -> Function:
    """A function that takes this issuer's tokens."""
    settings = {"ENDPOINT_AUTH": "jwt", "JWT_ISSUER": issuer.url, "JWT_AUDIENCES": AUDIENCE}
    function, _ = scripted(otherwise="Hello.", **{**settings, **changed})
    return function


def ask(function: Function, token: str | None, method: str = "GET", path: str = "/sessions", **options: Any) -> Answer:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    body = {"prompt": "Hi"} if method == "POST" else None
    return function.http(method, path, body, caller=None, headers={**headers, **options.pop("headers", {})}, **options)


def refused(answer: Answer) -> str:
    """Why a token was refused."""
    assert (answer.status, answer.problem) == (401, "unauthenticated"), answer.text
    detail = str(answer.json["detail"])
    challenge = answer.headers["www-authenticate"]
    assert challenge == f'Bearer error="invalid_token", error_description="{detail}"'
    return detail


def test_each_subject_is_an_owner(scripted: Scripted, issuer: Issuer, tmp_path: Path) -> None:
    function = with_issuer(scripted, issuer)

    for subject in ("ada", "ben", "ada"):
        assert ask(function, issuer.token(subject), "POST", "/sessions/chat/messages").status == 200

    assert {path.name for path in (tmp_path / "sessions").iterdir()} == {
        owner_prefix(issuer.url, "ada"),
        owner_prefix(issuer.url, "ben"),
    }
    described = ask(function, issuer.token("ada"), path="/sessions/chat").json
    assert described["agents"][0]["message_count"] == 4


TAKEN: list[dict[str, Any]] = [
    {},
    {"aud": ["https://other.example.com", AUDIENCE]},
    {"exp": in_seconds(-30)},
    {"nbf": in_seconds(30)},
    {"iat": None},
    {"token_use": "access"},
    {"client_id": "anything"},
    {"header": {"typ": None}},
    {"header": {"typ": "jwt"}},
    {"header": {"typ": "AT+JWT"}},
    {"header": {"typ": "application/at+jwt"}},
    {"header": {"nonce": "as Microsoft Graph's tokens have it"}},
]


def test_a_token_of_the_issuer_is_taken(scripted: Scripted, issuer: Issuer) -> None:
    function = with_issuer(scripted, issuer)

    for key, claims in itertools.product(("rsa-1", "ec-1"), TAKEN):
        assert ask(function, issuer.token(key=key, **at_this_time(claims))).status == 200, (key, claims)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"exp": in_seconds(-90)}, "has expired"),
    ({"exp": None}, "lacks a claim"),
    ({"exp": "soon"}, "cannot be read"),
    ({"exp": 1e999}, "cannot be read"),
    ({"nbf": in_seconds(90)}, "not valid yet"),
    ({"iss": "https://issuer.example.com"}, "Another issuer"),
    ({"iss": None}, "lacks a claim"),
    ({"aud": "https://other.example.com"}, "another audience"),
    ({"aud": [AUDIENCE + "/", 7]}, "another audience"),
    ({"aud": {AUDIENCE: True}}, "another audience"),
    ({"aud": None}, "lacks a claim"),
    ({"aud": ""}, "lacks a claim"),
    ({"subject": ""}, "subject is no name"),
    ({"subject": None}, "lacks a claim"),
    ({"subject": "a\0b"}, "subject is no name"),
    ({"subject": "\ud800"}, "subject is no name"),
    ({"token_use": "id"}, "not the ID token"),
    ({"token_use": ["access"]}, "not the ID token"),
    ({"at_hash": "x"}, "not the ID token"),
    ({"typ": "ID"}, "not the ID token"),
    ({"nonce": "n-0S6_WzA2Mj"}, "not the ID token"),
    ({"nonce": ""}, "not the ID token"),
    ({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}, "of another type"),
    ({"header": {"typ": "logout+jwt"}}, "of another type"),
    ({"header": {"typ": "secevent+jwt"}}, "of another type"),
    ({"header": {"typ": "dpop+jwt"}}, "of another type"),
    ({"header": {"typ": "JOSE"}}, "of another type"),
]


def test_a_subject_that_is_no_text_is_refused_although_its_signature_holds(scripted: Scripted, issuer: Issuer) -> None:
    function = with_issuer(scripted, issuer)
    key = jwt.PyJWK(published("rsa-1"), "RS256")

    for subject in (7, True, ["ada"], {"ada": 1}):
        token = issuer.token(subject)

        assert json.loads(jwt.api_jws.decode(token, key, ["RS256"]))["sub"] == subject
        assert "cannot be read" in refused(ask(function, token)), subject


def test_a_token_that_says_something_else_is_refused_with_the_reason(scripted: Scripted, issuer: Issuer) -> None:
    function = with_issuer(scripted, issuer)

    for claims, reason in REFUSED:
        assert reason in refused(ask(function, issuer.token(**{"subject": "ada", **at_this_time(claims)}))), claims


def test_a_token_that_nobody_trusted_has_signed_is_refused(scripted: Scripted, issuer: Issuer) -> None:
    function = with_issuer(scripted, issuer)

    assert "no such key" in refused(ask(function, issuer.token(key="rsa-strange")))
    assert "signature" in refused(ask(function, issuer.token(key="rsa-strange", header={"kid": "rsa-1"})))
    assert "algorithm" in refused(ask(function, issuer.unsigned({"alg": "none", "kid": "rsa-1"})))
    assert "algorithm" in refused(ask(function, issuer.unsigned({"alg": "None"})))
    assert "algorithm" in refused(ask(function, issuer.with_public_key()))
    assert "kid" in refused(ask(function, issuer.token(header={"kid": ""})))
    head, says, signature = issuer.token().split(".")
    assert "signature" in refused(ask(function, f"{head}.{issuer.token('ben').split('.')[1]}.{signature}"))
    assert refused(ask(function, f"{head}.{says}."))
    assert "cannot be read" in refused(ask(function, f"x.{says}.{signature}"))
    assert "one access token" in refused(ask(function, f"{head}.{'A' * 16_384}.{signature}"))


def test_a_key_that_is_too_weak_for_its_algorithm_or_of_another_kind_is_not_used(
    scripted: Scripted, issuer: Issuer
) -> None:
    function = with_issuer(scripted, issuer)
    issuer.keys = [
        {**published("rsa-1"), "kid": "ec-1"},
        {**published("ec-1"), "kid": "rsa-1"},
        {"kid": "x", "kty": "EC"},
    ]

    for token in (issuer.token(), issuer.token(key="ec-1"), issuer.token(header={"kid": "x"})):
        refused(ask(function, token))


@pytest.mark.parametrize(
    "key",
    [
        {**published("rsa-1"), "alg": "none"},
        {**published("rsa-1"), "alg": "HS256"},
        {**published("rsa-1"), "alg": "RSA-OAEP"},
        {**published("rsa-1"), "alg": ["RS256"]},
        {**published("ec-1"), "crv": "P-192"},
        {**published("ec-1"), "crv": "brainpoolP256r1"},
        {**published("ec-1"), "crv": ["P-256"]},
        {"kty": "OKP", "crv": "X25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
    ],
)
def test_a_published_key_that_cannot_be_used_signs_nothing_and_breaks_nothing(
    key: Any, scripted: Scripted, issuer: Issuer
) -> None:
    function = with_issuer(scripted, issuer)
    issuer.keys = ["rsa-2", {**key, "kid": "odd"}]
    signers = ("rsa-1", "ec-1")

    for signer in signers:
        refused(ask(function, issuer.token(key=signer, header={"kid": "odd"})))
    assert ask(function, issuer.token(key="rsa-2")).status == 200


def test_without_a_token_the_answer_says_what_to_send(scripted: Scripted, issuer: Issuer) -> None:
    function = with_issuer(scripted, issuer)

    for authorization in (None, "", "Basic YWRhOng=", "AWS4-HMAC-SHA256 Credential=x", "Bearerx"):
        answer = ask(function, None, headers={} if authorization is None else {"authorization": authorization})

        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer"), authorization
    assert issuer.asked == []


def test_the_scheme_s_case_and_the_spaces_around_do_not_matter(scripted: Scripted, issuer: Issuer) -> None:
    function = with_issuer(scripted, issuer)

    for form in ("bearer {}", "BEARER  {}", " Bearer {} "):
        assert ask(function, None, headers={"authorization": form.format(issuer.token())}).status == 200


def test_two_tokens_are_none(scripted: Scripted, issuer: Issuer) -> None:
    function = with_issuer(scripted, issuer)
    token = issuer.token()

    for form in (
        f"Bearer {token},Bearer {token}",
        f"Bearer {token}, Basic x",
        f"Bearer {token} {token}",
        "Bearer",
        "Bearer a",
    ):
        assert "one access token" in refused(ask(function, None, headers={"authorization": form}))


def test_an_access_token_of_cognito_is_taken_for_its_client_and_its_id_token_is_not(
    scripted: Scripted, issuer: Issuer
) -> None:
    function = with_issuer(scripted, issuer, JWT_AUDIENCES="", JWT_CLIENT_IDS="web, app")
    cognito: dict[str, Any] = {"aud": None, "client_id": "app", "token_use": "access"}

    assert ask(function, issuer.token(**cognito)).status == 200
    assert ask(function, issuer.token(**{**cognito, "token_use": None}, header={"typ": "at+jwt"})).status == 200
    assert "another client" in refused(ask(function, issuer.token(**{**cognito, "client_id": "else"})))
    assert "another client" in refused(ask(function, issuer.token(**{**cognito, "client_id": None})))
    assert "another client" in refused(ask(function, issuer.token(**{**cognito, "client_id": ["app"]})))
    assert "not the ID token" in refused(ask(function, issuer.token(aud="app", token_use="id")))
    assert "does not say" in refused(ask(function, issuer.token(**{**cognito, "token_use": None})))


def test_where_audiences_and_clients_are_named_a_token_needs_both(scripted: Scripted, issuer: Issuer) -> None:
    function = with_issuer(scripted, issuer, JWT_CLIENT_IDS="app")

    assert ask(function, issuer.token(client_id="app")).status == 200
    assert "another client" in refused(ask(function, issuer.token()))
    assert "another audience" in refused(ask(function, issuer.token(client_id="app", aud="other")))


@pytest.mark.parametrize("path", ["/", "/tenant/v2.0", "/eu-west-1_pool", "/realms/team/"])
def test_an_issuer_may_have_a_path(path: str, scripted: Scripted) -> None:
    with running(path) as issuer:
        function = with_issuer(scripted, issuer)

        assert ask(function, issuer.token()).status == 200
        assert issuer.asked == [path.rstrip("/") + CONFIGURATION, KEYS]
        assert "Another issuer" in refused(ask(function, issuer.token(iss=issuer.base)))


def test_with_a_jwks_url_the_configuration_is_not_asked_for(scripted: Scripted, issuer: Issuer) -> None:
    function = with_issuer(scripted, issuer, JWT_ISSUER="https://issuer.example.com/x", JWT_JWKS_URL=issuer.base + KEYS)

    assert ask(function, issuer.token(iss="https://issuer.example.com/x")).status == 200
    assert issuer.asked == [KEYS]


def test_a_rotated_key_is_found_and_an_old_one_is_refused(
    scripted: Scripted, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = with_issuer(scripted, issuer)
    assert ask(function, issuer.token()).status == 200
    later = time.monotonic() + 61
    keys = function.part("doors.caller")._token_check(function.module.endpoint.settings)._keys

    issuer.keys = ["rsa-2"]
    assert "no such key" in refused(ask(function, issuer.token(key="rsa-2")))
    monkeypatch.setattr(keys, "_now", lambda: later)
    assert ask(function, issuer.token(key="rsa-2")).status == 200
    assert "no such key" in refused(ask(function, issuer.token()))
    assert issuer.fetches() == 2


def test_a_storm_of_unknown_keys_makes_one_fetch(scripted: Scripted, issuer: Issuer) -> None:
    function = with_issuer(scripted, issuer)

    for number in range(50):
        refused(ask(function, issuer.token(key="rsa-strange", header={"kid": f"made-up-{number}"})))

    assert issuer.fetches() == 1


ELSEWHERE = {"Location": "https://attacker.example.com/keys", "Content-Length": "0"}
UNUSABLE: dict[str, tuple[str, tuple[int, dict[str, str], bytes]]] = {
    "is down": ("", (500, {}, b"")),
    "redirects its configuration": (CONFIGURATION, (302, ELSEWHERE, b"")),
    "redirects its keys": (KEYS, (307, ELSEWHERE, b"")),
    "sends no JSON": (KEYS, (200, {}, b"<html>")),
    "sends no object": (CONFIGURATION, (200, {}, b"[]")),
    "has no keys": (KEYS, (200, {}, b'{"keys": []}')),
    "sends too much": (KEYS, (200, {}, b'{"keys": [' + b" " * 600_000 + b"]}")),
    "breaks off": (KEYS, (200, {"Content-Length": "1000"}, b'{"keys"')),
    "is deep": (KEYS, (200, {}, b"[" * 100_000)),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_an_issuer_without_keys_is_503_and_never_401(
    what: str, scripted: Scripted, issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    function = with_issuer(scripted, issuer)
    part, answer = UNUSABLE[what]
    issuer.answer = lambda path: answer if path.endswith(part) else None

    told = ask(function, issuer.token())

    assert (told.status, told.problem) == (503, "issuer-unavailable")
    assert 1 <= int(told.headers["retry-after"]) <= 5
    assert "www-authenticate" not in told.headers
    assert "the issuer's keys could not be fetched" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://attacker.example.com"},
        {"issuer": None},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "ftp://issuer.example.com/keys"},
        {"jwks_uri": "https://me:pass@issuer.example.com/keys"},
        {"jwks_uri": None},
        {"jwks_uri": ["x"]},
        {"jwks_uri": "https://[/"},
    ],
)
def test_a_configuration_of_somebody_else_or_with_an_odd_address_is_not_believed(
    change: Any, scripted: Scripted, issuer: Issuer
) -> None:
    function = with_issuer(scripted, issuer)
    issuer.configuration |= change

    assert ask(function, issuer.token()).problem == "issuer-unavailable"
    assert issuer.fetches() == 0


def test_an_issuer_that_does_not_answer_is_not_waited_for(
    scripted: Scripted, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    function = with_issuer(scripted, issuer)
    function.cold_start()
    over = threading.Event()

    def never(path: str) -> None:
        over.wait()

    issuer.answer = never
    monkeypatch.setattr(function.part("callers.issuer"), "FETCH_SECONDS", 0.05)

    told = ask(function, issuer.token())
    over.set()

    assert told.problem == "issuer-unavailable"


def test_nobody_speaks_for_others_with_a_token(scripted: Scripted, issuer: Issuer) -> None:
    function = with_issuer(scripted, issuer)

    assert ask(function, issuer.token(), headers={"session-owner": "ben"}).problem == "session-owner-refused"
    assert ask(function, None, headers={"session-owner": "ben"}).problem == "unauthenticated"


def test_a_signature_is_no_token(scripted: Scripted, issuer: Issuer) -> None:
    function = with_issuer(scripted, issuer)

    assert function.http("GET", "/sessions", caller=ALICE).status == 401


def test_only_an_endpoint_with_tokens_imports_what_checks_them(tmp_path: Path) -> None:
    code = (
        "import json, sys; import lambda_src.handler; "
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules} & {'jwt', 'cryptography', 'urllib3'} "
        "| {name for name in sys.modules if name.startswith('lambda_src.callers.')})))"
    )

    def imported(**settings: str) -> list[str]:
        environment = {**CREDENTIALS, "SESSION_STORE": f"file://{tmp_path}", "PYTHONPATH": f"{ROOT}/layer:{ROOT}"}
        done = subprocess.run(
            [sys.executable, "-c", code], env={**environment, **settings}, capture_output=True, text=True, check=True
        )
        found: list[str] = json.loads(done.stdout)
        return found

    assert imported() == ["lambda_src.callers.iam", "lambda_src.callers.on_behalf"]
    with_tokens = imported(ENDPOINT_AUTH="jwt", JWT_ISSUER="https://issuer.example.com", JWT_AUDIENCES=AUDIENCE)
    assert {"jwt", "cryptography", "urllib3", "lambda_src.callers.tokens"} <= set(with_tokens)


def test_the_layer_has_what_checks_tokens_without_asking_for_it() -> None:
    # Each lock of the endpoint has both because Strands needs MCP. If it no longer does, tokens need an extra: ADR 26.
    needs = {package: " ".join(requires(package) or []).lower() for package in ("strands-agents", "mcp", "pyjwt")}

    assert re.search(r"\bmcp\b[^;]*(?= |$)", needs["strands-agents"])
    assert "pyjwt[crypto]" in needs["mcp"]
    assert "cryptography" in needs["pyjwt"]
    for lock in (ROOT / "requirements").glob("endpoint*.txt"):
        assert re.search(r"^pyjwt==", lock.read_text(), re.MULTILINE), lock.name
        assert re.search(r"^cryptography==", lock.read_text(), re.MULTILINE), lock.name
