"""Callers that speak for others, and users behind an identity pool: whose space a request is in."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agent_sessions.owner import owner_prefix, part_prefix
from agent_sessions_cli.commands import agent_sessions
from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.function import ACCOUNT, ALICE, BOB, Function, http_event
from tests.endpoint.test_plain_events import raised

Scripted = Callable[..., tuple[Function, ScriptedModel]]
OWN = owner_prefix(ACCOUNT, ALICE.unique_id)
POOL = "eu-west-1:1f6a2c0e-0000-4b1c-9c3e-7d1f2a3b4c5d"
ADA, BEN = (f"eu-west-1:{digit * 8}-0000-4000-8000-000000000000" for digit in "ab")
PLAIN = {"owner": {"issuer": ACCOUNT, "subject": ALICE.unique_id}, "session_id": "chat", "prompt": "Hi"}


def as_(name: str) -> dict[str, str]:
    return {"Session-Owner": name}


def owners_in(folder: Path) -> set[str]:
    return {str(path.parents[1].relative_to(folder)) for path in folder.rglob("session_*/session.json")}


def test_a_caller_speaks_for_many_whose_sessions_never_meet(scripted: Scripted, tmp_path: Path) -> None:
    function, model = scripted(otherwise="Hello.")

    function.reply("I am Ada.", headers=as_("ada"))
    function.reply("I am Ben.", headers=as_("ben"))
    function.reply("I am the backend.")
    again = function.reply("Who am I?", headers=as_("ada"))

    assert again["restored_messages"] == 2
    assert model.requests[-1].texts == ["I am Ada.", "Hello.", "Who am I?"]
    assert owners_in(tmp_path / "sessions") == {OWN, part_prefix(OWN, "ada"), part_prefix(OWN, "ben")}


def test_neither_the_caller_nor_those_it_speaks_for_see_each_other_s_sessions(scripted: Scripted) -> None:
    function, _ = scripted(otherwise="Hello.")
    function.reply("Hi", "of-ada", headers=as_("ada"))
    function.reply("Hi", "of-the-backend")

    assert function.http("GET", "/sessions").json["session_ids"] == ["of-the-backend"]
    assert function.http("GET", "/sessions", headers=as_("ada")).json["session_ids"] == ["of-ada"]
    assert function.http("GET", "/sessions", headers=as_("ben")).json["session_ids"] == []
    assert function.http("GET", "/sessions/of-ada").status == 404
    assert function.http("DELETE", "/sessions/of-the-backend", headers=as_("ada")).status == 404


_IS_A_PREFIX = "the name is the prefix of another owner, which its own keys and log lines have"


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("ada", "..", "/"), id="words"),
        pytest.param(
            (part_prefix(OWN, "ada"), f"../{OWN}/"),
            id="another owner's prefix",
            marks=[
                pytest.mark.emits_on_purpose("a key", reason=_IS_A_PREFIX),
                pytest.mark.emits_on_purpose("a record of the log", reason=_IS_A_PREFIX),
                pytest.mark.emits_on_purpose("the output", reason=_IS_A_PREFIX),
            ],
        ),
    ],
)
def test_the_name_splits_the_caller_s_own_space_and_nobody_else_s(
    names: tuple[str, ...], scripted: Scripted, tmp_path: Path
) -> None:
    function, _ = scripted(otherwise="Hello.")
    function.reply("Hi", headers=as_("ada"))

    for name in names:
        assert function.http("GET", "/sessions", caller=BOB, headers=as_(name)).json["session_ids"] == []
        function.reply("Hi", caller=BOB, headers=as_(name))

    bobs = owner_prefix(ACCOUNT, BOB.unique_id)
    assert {owner.split("/")[0] for owner in owners_in(tmp_path / "sessions")} == {OWN, bobs}
    assert function.http("GET", "/sessions/chat", headers=as_("ada")).json["agents"][0]["message_count"] == 2


NAMES = [
    ("ada@example.org", "ada@example.org"),
    ("Ada Lovelace", "Ada Lovelace"),
    (" ada\t", "ada"),
    ("%C3%A9", "é"),
    ("%c3%a9", "é"),
    ("a%2Cb%25%00", "a,b%\0"),
    ("x" * 200, "x" * 200),
    ("%F0%9F%A6%9C" * 50, "\U0001f99c" * 50),
]


def test_any_text_is_a_name(scripted: Scripted, tmp_path: Path) -> None:
    function, _ = scripted(otherwise="Hello.")

    for header, name in NAMES:
        function.reply("Hi", headers=as_(header))

        assert part_prefix(OWN, name) in owners_in(tmp_path / "sessions"), header
    assert owners_in(tmp_path / "sessions") == {part_prefix(OWN, name) for _, name in NAMES}


NO_NAMES = ["", " ", "é", "ada,ben", "%", "%zz", "%E9", "%ED%A0%80", "%C0%AF", "a\nb", "a\0b", "x" * 201, "%41" * 201]


def test_a_header_that_holds_no_name_is_refused_with_what_is_allowed(scripted: Scripted) -> None:
    function, model = scripted()

    for header in NO_NAMES:
        answer = function.say("Hi", headers=as_(header))

        assert (answer.status, answer.problem) == (400, "session-owner-refused"), header
        assert "percent-encoded UTF-8" in answer.json["detail"]
    assert model.requests == []


def test_a_public_endpoint_refuses_the_header(scripted: Scripted) -> None:
    function, model = scripted(ENDPOINT_AUTH="none")

    answer = function.say("Hi", caller=None, headers=as_("ada"))

    assert (answer.status, answer.problem) == (400, "session-owner-refused")
    assert "Leave the header out" in answer.json["detail"]
    assert model.requests == []


def test_on_this_machine_the_header_splits_the_one_owner_s_space(scripted: Scripted, tmp_path: Path) -> None:
    function, _ = scripted(otherwise="Hello.", ENDPOINT_AUTH="local")

    function.reply("Hi", caller=None, headers=as_("ada"))

    assert owners_in(tmp_path / "sessions") == {owner_prefix("local", "local", "ada")}


def test_a_plain_event_names_whom_it_speaks_for(scripted: Scripted) -> None:
    function, _ = scripted(otherwise="Hello.")
    function.reply("Hi", headers=as_("%C3%A9"))

    for number, owner in enumerate([PLAIN["owner"], OWN]):
        event = {**PLAIN, "owner": owner, "on_behalf_of": "é", "request_id": f"event-{number}"}
        assert function.invoke(event)["restored_messages"] == 2 + 2 * number
    part = {**PLAIN, "owner": part_prefix(OWN, "é"), "request_id": "event-3"}
    assert function.invoke(part)["restored_messages"] == 6


@pytest.mark.parametrize("change", [{"on_behalf_of": ""}, {"on_behalf_of": "x" * 201}, {"on_behalf_of": 7}])
def test_a_plain_event_with_a_name_that_is_none_is_refused(change: dict[str, Any], scripted: Scripted) -> None:
    function, _ = scripted()

    name, message = raised(function, {**PLAIN, "request_id": "event", **change})

    assert (name, message.partition(":")[0]) == ("BadRequestError", "on_behalf_of")


def test_a_part_of_an_owner_s_space_has_no_parts(scripted: Scripted) -> None:
    function, _ = scripted()
    event = {**PLAIN, "owner": part_prefix(OWN, "ada"), "on_behalf_of": "ben", "request_id": "event"}

    name, message = raised(function, event)

    assert (name, message.partition(":")[0]) == ("BadRequestError", "on_behalf_of")


def through_pool(identity: object, method: str = "POST", path: str = "/sessions/chat/messages") -> dict[str, Any]:
    """A request of a user of an identity pool, as API Gateway describes it; all have one role."""
    event = http_event(method, path, {"prompt": "Hi"} if method == "POST" else None)
    event["requestContext"]["authorizer"]["iam"]["cognitoIdentity"] = identity
    return event


def user_of_pool(user: str, pool: str = POOL) -> dict[str, Any]:
    return {"amr": ["authenticated"], "identityId": user, "identityPoolId": pool}


def test_each_user_of_an_identity_pool_is_an_owner(scripted: Scripted, tmp_path: Path) -> None:
    function, _ = scripted(otherwise="Hello.")

    for user in (ADA, BEN):
        assert '"restored_messages":0' in function.invoke(through_pool(user_of_pool(user)))["body"]

    assert owners_in(tmp_path / "sessions") == {owner_prefix(POOL, ADA), owner_prefix(POOL, BEN)}
    listed = function.invoke(through_pool(user_of_pool(ADA), "GET", "/sessions"))
    assert json.loads(listed["body"])["session_ids"] == ["chat"]
    assert function.http("GET", "/sessions", caller=ALICE).json["session_ids"] == []


def test_where_identities_are_no_owners_their_role_s_sessions_stay_where_they_are(
    scripted: Scripted, tmp_path: Path
) -> None:
    function, _ = scripted(otherwise="Hello.", COGNITO_IDENTITY_OWNERS="false")

    function.reply("Hi", caller=ALICE)

    assert '"restored_messages":2' in function.invoke(through_pool(user_of_pool(ADA)))["body"]
    assert owners_in(tmp_path / "sessions") == {OWN}


def test_a_role_s_session_is_given_to_its_user_as_the_page_on_upgrading_says(
    scripted: Scripted, tmp_path: Path
) -> None:
    function, _ = scripted(otherwise="Hello.")
    function.reply("Hi", "ada-chat", caller=ALICE)  # as earlier releases stored it: under the role
    upgrading = (Path(__file__).parents[2] / "docs" / "UPGRADING.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^\$ agent-sessions (cp .*--to-issuer.*)$", upgrading, re.MULTILINE)
    in_place_of = {
        "s3://bucket/sessions": (tmp_path / "sessions").as_uri(),
        "--issuer 123456789012 --owner AROAEXAMPLE ": f"--issuer {ACCOUNT} --owner {ALICE.unique_id} ",
        "eu-west-1:POOL": POOL,
        "eu-west-1:IDENTITY": ADA,
    }
    assert all(words in command for words in in_place_of)
    for words, ours in in_place_of.items():
        command = command.replace(words, ours)

    copied = CliRunner().invoke(agent_sessions, command.split())

    assert copied.exit_code == 0, copied.output
    answer = function.invoke(through_pool(user_of_pool(ADA), path="/sessions/ada-chat/messages"))
    assert '"restored_messages":2' in answer["body"]
    other = function.invoke(through_pool(user_of_pool(BEN), "GET", "/sessions/ada-chat"))
    assert other["statusCode"] == 404


@pytest.mark.parametrize("identity", [None, {}, {"amr": None, "identityId": None, "identityPoolId": None}])
def test_a_principal_that_came_through_no_pool_is_itself(identity: object, scripted: Scripted, tmp_path: Path) -> None:
    function, _ = scripted(otherwise="Hello.")

    function.invoke(through_pool(identity))

    assert owners_in(tmp_path / "sessions") == {OWN}


NO_IDENTITIES: list[object] = [
    "x",
    7,
    [ADA],
    {"identityId": ADA},
    {"identityPoolId": POOL},
    {"identityId": ADA, "identityPoolId": ""},
    {"identityId": f"{ADA}\0", "identityPoolId": POOL},
    {"identityId": [ADA], "identityPoolId": POOL},
    {"identityId": "ada", "identityPoolId": POOL},
]


def test_an_identity_of_another_form_is_nobody(scripted: Scripted) -> None:
    function, model = scripted()

    for identity in NO_IDENTITIES:
        assert function.invoke(through_pool(identity))["statusCode"] == 401, identity
    assert model.requests == []


def test_a_turn_without_its_caller_is_taken_in_the_space_of_whom_it_speaks_for(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, _ = scripted(otherwise="Hello.", ASYNC_FUNCTION="agent:live")
    function.cold_start()
    sent: list[bytes] = []
    monkeypatch.setattr(
        function.part("turn_resource.without_caller"), "invoke", lambda name, payload: sent.append(payload)
    )

    accepted = function.say("Hi", headers={**as_("ada"), "Prefer": "respond-async"})
    function.invoke(json.loads(sent[0]))

    assert accepted.status == 202
    assert function.http("GET", "/sessions", headers=as_("ada")).json["session_ids"] == ["chat"]
    assert function.http("GET", "/sessions").json["session_ids"] == []
