"""The authorization matrix: every route of the router, with every kind of caller there is, for every ``auth``.

A route that is added comes in by itself. Nobody but a session's owner gets anything of it, or changes it, and nothing
secret of a request is in a log line, a metric, an answer or a key. The counts are in the summary of the run.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent_sessions.owner import owner_prefix
from lambda_src.doors.page_files import page_files
from lambda_src.doors.page_routes import is_of_page
from tests.concurrency.killing import EVERYTHING
from tests.conftest import TOTAL
from tests.doubles.issuer import AUDIENCE, Issuer, running
from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.function import ACCOUNT, ALICE, BOB, Answer, Caller, Function, answer_in, http_event

Scripted = Callable[..., tuple[Function, ScriptedModel]]

PROMPT = "prompt-plugh42"
OWNERS_PROMPT = "prompt-of-the-owner-rezrov8"
SUBJECT = "subject-xyzzy17"
PERSON = "person-frobozz99"
CLIENT = "client-7f3a"
TURN = "00000000-0000-4000-8000-000000000000"
POOL = "eu-west-1:1f6a2c0e-0000-4b1c-9c3e-7d1f2a3b4c5d"
ODD_IDS = ("..", "%2E%2E", "%2F", "..%2F..", "%00", "%E9", "%ED%A0%80", "%25", "a%2Fb", "session_chat", "x" * 300)
LOGOUT = "http://schemas.openid.net/event/backchannel-logout"
NOBODY = (401,)


Claims = dict[str, Any]
AUDIENCE_TOKEN: Claims = {"aud": AUDIENCE}
CLIENT_TOKEN: Claims = {"aud": None, "client_id": CLIENT, "token_use": "access"}
"""As Amazon Cognito makes them: without an audience."""


@dataclass(frozen=True)
class Asker:
    """Somebody who sends a request.

    Attributes:
        headers: What they send.
        authorizer: What Lambda says of them.
        refused_with: The statuses they are refused with at every route; none: they are somebody, but not the owner.
    """

    headers: dict[str, str] = field(default_factory=dict)
    authorizer: Any = None
    refused_with: tuple[int, ...] = ()


@dataclass
class World:
    """A way of knowing callers: the owner of the session that all others want, and the others."""

    settings: dict[str, str]
    owner: Asker
    others: dict[str, Asker]


def signed(caller: Caller, identity: object = None, **headers: str) -> Asker:
    authorizer = caller.authorizer()
    authorizer["iam"]["cognitoIdentity"] = identity
    return Asker(headers, authorizer)


def refused(asker: Asker, *statuses: int) -> Asker:
    return Asker(asker.headers, asker.authorizer, statuses)


def bearing(token: str, scheme: str = "Bearer", **headers: str) -> Asker:
    return Asker({"authorization": f"{scheme} {token}", **headers})


def of_pool(user: str, pool: str = POOL) -> dict[str, Any]:
    return {"amr": ["authenticated"], "identityId": f"eu-west-1:{user * 8}-0000-4000-8000-000000000000"} | {
        "identityPoolId": pool
    }


def unknown(issuer: Issuer) -> dict[str, Asker]:
    """Who is nobody where callers sign: forged headers say nothing, for Lambda writes the context."""
    principal = f"arn:aws:iam::{ACCOUNT}:user/alice"
    forged = {"x-amzn-iam-user-id": ALICE.unique_id, "x-amz-caller-arn": principal, "x-forwarded-user": "alice"}
    context = '{"requestContext": {"authorizer": {"iam": {"userId": "AROAEXAMPLEALICE:x"}}}}'
    return {
        "no identity": refused(Asker(), *NOBODY),
        "a token": refused(bearing(issuer.token(SUBJECT)), *NOBODY),
        "a signature that nobody checked": refused(bearing("Credential=ALICE", "AWS4-HMAC-SHA256"), *NOBODY),
        "forged headers": refused(Asker(forged), *NOBODY),
        "a context in a header": refused(Asker({"requestcontext": context, "x-amzn-context": context}), *NOBODY),
        "an unknown form": refused(
            Asker({}, {"iam": {"accountId": ACCOUNT, "userId": f"AGPAEXAMPLE:{PERSON}"}}), *NOBODY
        ),
        "an account without a principal": refused(Asker({}, {"iam": {"accountId": ACCOUNT}}), *NOBODY),
        "another authorizer": refused(Asker({}, {"jwt": {"claims": {"sub": SUBJECT}}}), *NOBODY),
        "nobody, on behalf": refused(Asker({"session-owner": PERSON}), *NOBODY),
    }


def tokens(issuer: Issuer, kind: Claims = AUDIENCE_TOKEN) -> dict[str, Asker]:
    """Who is nobody, or somebody else, where callers bring tokens.

    Args:
        issuer: Whose tokens.
        kind: What the claims of a good one are beside issuer, subject and time.
    """
    import time

    def made(subject: str = SUBJECT, **claims: Any) -> str:
        return issuer.token(subject, **{**kind, **claims})

    def unsigned(subject: str = SUBJECT) -> str:
        return issuer.unsigned({"alg": "none", "kid": "rsa-1"}, sub=subject, **kind)

    now, good = int(time.time()), made()
    head, says, signature = good.split(".")
    bad = {
        "expired": bearing(made(exp=now - 3600)),
        "not yet valid": bearing(made(nbf=now + 3600)),
        "issued in the future": bearing(made(iat=now + 3600)),
        "without an end": bearing(made(exp=None)),
        "wrong issuer": bearing(made(iss="https://issuer.example.com")),
        "alg none": bearing(unsigned()),
        "HS256 with the public key": bearing(issuer.with_public_key(sub=SUBJECT, **kind)),
        "unknown kid": bearing(made(header={"kid": "kid-unknown"})),
        "no kid": bearing(made(header={"kid": ""})),
        "key in the header": bearing(made(key="rsa-strange", header={"jku": issuer.base + "/keys"})),
        "another key under a known kid": bearing(made(key="rsa-strange", header={"kid": "rsa-1"})),
        "ID token": bearing(made(token_use="id")),
        "ID token that says nothing of its use": bearing(made(nonce="n-0S6")),
        "logout token": bearing(made(header={"typ": "logout+jwt"})),
        "logout token without a type": bearing(made(events={LOGOUT: {}})),
        "changed claims": bearing(f"{head}.{made('another').split('.')[1]}.{signature}"),
        "no signature": bearing(f"{head}.{says}."),
        "two tokens": bearing(f"{good}, Bearer {good}"),
        "two headers": Asker({"authorization": f"Bearer {made('another')},Bearer {good}"}),
        "another scheme": bearing(good, "Basic"),
        "a scheme glued to it": Asker({"authorization": f"Bearer{good}"}),
        "in another header": Asker({"x-authorization": f"Bearer {good}", "x-amzn-oidc-data": good}),
        "in a cookie": Asker({"cookie": f"token={good}"}),
        "no token": Asker(),
        "a signature": signed(ALICE),
    }
    if kind["aud"] is not None:
        bad |= {
            "wrong audience": bearing(made(aud="https://other.example.com")),
            "no audience": bearing(made(aud=None)),
        }
    if "client_id" in kind:
        bad |= {
            "another client": bearing(made(client_id="another")),
            "no client": bearing(made(client_id=None)),
            "clients as a list": bearing(made(client_id=[CLIENT])),
            "a client in capitals": bearing(made(client_id=CLIENT.upper())),
            "the client as its audience": bearing(made(client_id=None, aud=CLIENT)),
            "the client as its authorized party": bearing(made(client_id=None, azp=CLIENT)),
            "ID token of the client": bearing(made(client_id=None, aud=CLIENT, token_use="id")),
            "a token that does not say what it is for": bearing(made(token_use=None)),
        }
    return {
        **{name: refused(asker, *NOBODY) for name, asker in bad.items()},
        "another subject": bearing(made("another")),
        "another subject in lower case": bearing(made("another"), "bearer"),
        "the owner, on behalf": refused(bearing(good, **{"session-owner": PERSON}), 400),
        "another subject, on behalf": refused(bearing(made("another"), **{"session-owner": SUBJECT}), 400),
    }


ODD_NAMES = ("", ",", "é", "%E9", "%", "x" * 201)


def worlds(issuer: Issuer) -> dict[str, World]:
    pooled = {"identityId": "eu-west-1:aaaaaaaa-0000-4000-8000-000000000000"}
    return {
        "iam": World(
            {},
            signed(ALICE),
            {
                **unknown(issuer),
                "another role": signed(BOB),
                "the same id in another account": signed(Caller(ALICE.unique_id, account="999999999999")),
                "another role that names the owner": signed(BOB, **{"session-owner": owner_prefix(ACCOUNT, "alice")}),
                "whom the owner speaks for": signed(ALICE, **{"session-owner": PERSON}),
                "a user of a pool with the owner's role": signed(ALICE, of_pool("a")),
            },
        ),
        "identity pool": World(
            {},
            signed(ALICE, of_pool("a")),
            {
                **unknown(issuer),
                "another user": signed(ALICE, of_pool("b")),
                "the same user of another pool": signed(ALICE, of_pool("a", POOL.replace("1f", "2f"))),
                "the role": signed(ALICE),
                "half an identity": refused(signed(ALICE, pooled), *NOBODY),
                "an odd identity": refused(signed(ALICE, of_pool("/")), *NOBODY),
            },
        ),
        "on behalf": World(
            {},
            signed(ALICE, **{"session-owner": PERSON}),
            {
                **unknown(issuer),
                "the caller itself": signed(ALICE),
                "another person": signed(ALICE, **{"session-owner": f"{PERSON}x"}),
                "the same name in capitals": signed(ALICE, **{"session-owner": PERSON.upper()}),
                "the same name with another caller": signed(BOB, **{"session-owner": PERSON}),
                "a path": signed(BOB, **{"session-owner": f"../{owner_prefix(ACCOUNT, ALICE.unique_id)}"}),
                **{
                    f"odd name {name[:3]!r}": refused(signed(ALICE, **{"session-owner": name}), 400)
                    for name in ODD_NAMES
                },
            },
        ),
        "users of a pool share their role": World(
            {"COGNITO_IDENTITY_OWNERS": "false"},
            signed(ALICE, of_pool("a")),
            {
                **unknown(issuer),
                "another role of the same user": signed(BOB, of_pool("a")),
                "another role": signed(BOB),
                "the same id in another account": signed(Caller(ALICE.unique_id, account="999999999999"), of_pool("a")),
                "whom the role speaks for": signed(ALICE, of_pool("a"), **{"session-owner": PERSON}),
                "the user as a name": signed(BOB, of_pool("b"), **{"session-owner": of_pool("a")["identityId"]}),
            },
        ),
        "jwt": World(  # with the chat page, which everybody may load
            {"ENDPOINT_AUTH": "jwt", "JWT_ISSUER": issuer.url, "JWT_AUDIENCES": AUDIENCE}
            | {"PAGE": "true", "PAGE_CLIENT_ID": "page"},
            bearing(issuer.token(SUBJECT)),
            tokens(issuer),
        ),
        "jwt of clients": World(
            {"ENDPOINT_AUTH": "jwt", "JWT_ISSUER": issuer.url, "JWT_CLIENT_IDS": CLIENT},
            bearing(issuer.token(SUBJECT, **CLIENT_TOKEN)),
            tokens(issuer, CLIENT_TOKEN),
        ),
        "none": World(
            {"ENDPOINT_AUTH": "none"},
            Asker(),
            {
                "on behalf": refused(Asker({"session-owner": PERSON}), 400),
                "signed, on behalf": refused(signed(ALICE, **{"session-owner": PERSON}), 400),
            },
        ),
    }


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with running() as issuer:
        issuer.configuration |= {f"{name}_endpoint": f"{issuer.base}/{name}" for name in ("authorization", "token")}
        yield issuer


def routes_of(function: Function) -> list[tuple[str, str, bool]]:
    """Every route: its method, a path that it takes, and whether anybody may ask for it."""
    router = function.module.router
    routes = [*router._static_routes, *router._dynamic_routes]
    named = {(route.method, route.path) for route in routes}
    paths = [(method, path.replace("<session_id>", "chat").replace("<turn_id>", TURN)) for method, path in named]
    paths = [(method, path.replace("/assets/.+", f"{page_files().assets_path}/style.css")) for method, path in paths]
    assert not [path for _, path in paths if "<" in path], "a parameter that this test does not know"
    return sorted((method, path, router.is_public(path)) for method, path in paths)


def send(function: Function, asker: Asker, method: str, path: str, *, prompt: str = PROMPT, **options: Any) -> Answer:
    body: dict[str, Any] | None = {"prompt": prompt} if method in {"POST", "PUT", "PATCH"} else None
    if path.endswith("/fork"):
        body = {"before_message": 0}
    if method == "PATCH":
        body = {"title": prompt}
    event = http_event(method, path, body, caller=None, headers=asker.headers, **options)
    if asker.authorizer is not None:
        event["requestContext"]["authorizer"] = asker.authorizer
    return answer_in(function.invoke(event))


@pytest.mark.parametrize(
    "auth",
    ["iam", "identity pool", "users of a pool share their role", "on behalf", "jwt", "jwt of clients", "none"],
)
def test_nobody_but_the_owner_gets_anything_of_a_session(
    auth: str,
    issuer: Issuer,
    scripted: Scripted,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, Any], None],
) -> None:
    world = worlds(issuer)[auth]
    function, model = scripted(otherwise="Hello.", **world.settings)
    assert send(function, world.owner, "POST", "/sessions/chat/messages", prompt=OWNERS_PROMPT).status == 200
    routes = routes_of(function)
    counted: Counter[str] = Counter()
    told: list[str] = []

    for asker in world.others.values():
        for method, path, is_public in routes:
            calls_before = len(model.requests)
            answer = send(function, asker, method, path)
            what = f"{auth}: {method} {path}: {answer.status} {answer.text}"
            told.append(f"{answer.text}{answer.headers}")
            if is_public:
                assert answer.status == 200, what
                counted["public"] += 1
            elif asker.refused_with:
                assert answer.status in asker.refused_with, what
                assert answer.status != 401 or answer.headers["www-authenticate"], what
                assert len(model.requests) == calls_before, what
                counted["refused"] += 1
            else:
                # Somebody else: their own session of that name, or none.
                assert answer.status in {200, 201, 202, 204, 404, 409}, what
                assert '"restored_messages":2' not in answer.text, what
                counted["saw nothing of it"] += 1

    counted["odd ids"] = odd_ids(function, world)
    counted["forged cursors"] = forged_cursors(function, world, told)
    unharmed = send(function, world.owner, "GET", "/sessions/chat/messages").json["messages"]
    assert [message["message_id"] for message in unharmed] == [0, 1]
    assert send(function, world.owner, "GET", "/sessions").json["session_ids"] == ["chat"]
    of_page = {path for _, path, is_public in routes if is_public and is_of_page(path)}
    assert len(of_page) == (2 if "PAGE" in world.settings else 0), "its document and a file, for everybody"
    has_read: set[str] = set()
    for method, path, _ in sorted(routes, key=lambda route: route[0] == "DELETE"):
        answer = send(function, world.owner, method, path)
        assert answer.status in {200, 201, 202, 204, 404, 409}, f"{auth}: {method} {path}: {answer.text}"
        counted["answered its owner"] += 1
        has_read |= {path} if OWNERS_PROMPT in answer.text else set()
    assert {"/export", "/sessions/chat/messages"} <= has_read

    leaks(world, told, capsys.readouterr(), tmp_path)
    for name, number in counted.items():
        record_property(f"{TOTAL}authorization, {auth}: {name}", number)
    assert counted["refused"] >= 2 * 7


def odd_ids(function: Function, world: World) -> int:
    """Ids that might lead elsewhere, from whoever is somebody, and one who is not. How many were tried."""
    tried = 0
    others = list(world.others.values())
    somebody = others if EVERYTHING else [asker for asker in others if not asker.refused_with]
    for asker in [*somebody, others[0], world.owner]:
        for odd in ODD_IDS:
            for method, path in (("GET", f"/sessions/{odd}"), ("DELETE", f"/sessions/{odd}")):
                answer = send(function, asker, method, path)
                assert answer.status in (asker.refused_with or (404, 405, 422)), f"{method} {path}: {answer.text}"
                tried += 1
    return tried


def forged_cursors(function: Function, world: World, told: list[str]) -> int:
    """Cursors of the owner's pages, and ones that are made up, from everybody. How many were tried."""
    for number in range(2):
        assert send(function, world.owner, "POST", f"/sessions/extra-{number}/messages").status == 200
    page = send(function, world.owner, "GET", "/sessions", query={"limit": 1}).json
    assert page["next_cursor"]
    tried = 0
    for asker in world.others.values():
        for cursor in (page["next_cursor"], page["next_cursor"][::-1], "AAAA", "Li4vLi4v"):
            answer = send(function, asker, "GET", "/sessions", query={"cursor": cursor})
            assert answer.status in (asker.refused_with or (200, 422)), answer.text
            assert "extra-" not in answer.text, answer.text
            told.append(answer.text)
            tried += 1
    for number in range(2):
        assert send(function, world.owner, "DELETE", f"/sessions/extra-{number}").status == 204
    return tried


def leaks(world: World, told: list[str], captured: Any, folder: Path) -> None:
    """Look for what must be nowhere: tokens, subjects, names and prompts."""
    sent = [value for asker in [*world.others.values(), world.owner] for value in asker.headers.values()]
    secrets = {PROMPT, OWNERS_PROMPT, SUBJECT, PERSON, "kid-unknown"}
    # A token is known by its signature, wherever a part of it went.
    secrets |= {part for value in sent for part in re.findall(r"\.([A-Za-z0-9_-]{40,})", value)}
    logged = captured.out + captured.err
    assert "request answered" in logged
    names = "\n".join(str(path.relative_to(folder)) for path in folder.rglob("*"))
    for secret in secrets:
        assert secret not in logged, f"{secret} is in the log"
        assert secret not in names, f"{secret} is in a key"
        if secret != PROMPT:  # others' sessions hold the same prompt: their own
            assert secret not in "\n".join(told), f"{secret} is in an answer"
