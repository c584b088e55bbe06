"""Whose session it is: callers never meet, whatever they send."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_sessions.owner import owner_prefix
from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.function import ACCOUNT, ALICE, BOB, Caller, Function, http_event

Scripted = Callable[..., tuple[Function, ScriptedModel]]


def test_callers_with_the_same_session_id_have_different_sessions(scripted: Scripted) -> None:
    function, model = scripted("Hello Alice.", "Hello Bob.", "Yes, Alice.")

    function.reply("I am Alice.", caller=ALICE)
    bob = function.reply("I am Bob.", caller=BOB)
    alice = function.reply("Who am I?", caller=ALICE)

    assert bob["restored_messages"] == 0
    assert alice["restored_messages"] == 2
    assert model.requests[1].texts == ["I am Bob."]
    assert model.requests[2].texts == ["I am Alice.", "Hello Alice.", "Who am I?"]


def test_a_caller_cannot_read_list_or_delete_another_s_session(scripted: Scripted) -> None:
    function, _ = scripted("Hello Alice.")
    function.reply("I am Alice.", caller=ALICE)

    assert function.http("GET", "/sessions", caller=BOB).json["session_ids"] == []
    assert function.http("GET", "/sessions/chat", caller=BOB).problem == "not-found"
    assert function.http("GET", "/sessions/chat/messages", caller=BOB).problem == "not-found"
    assert function.http("DELETE", "/sessions/chat", caller=BOB).problem == "not-found"
    assert function.http("GET", "/sessions", caller=ALICE).json["session_ids"] == ["chat"]


@pytest.mark.parametrize("separator", ["/", "%2F", "%252F", "\\", "%5C"])
def test_an_id_cannot_lead_into_another_s_sessions(separator: str, scripted: Scripted) -> None:
    function, _ = scripted("Hello Alice.", otherwise="Hello Bob.")
    function.reply("I am Alice.", caller=ALICE)
    alices = owner_prefix(ACCOUNT, ALICE.unique_id)

    for escape in (f"..{separator}{alices}{separator}session_chat", f"x{separator}..{separator}..{separator}{alices}"):
        for method, path in (("GET", ""), ("GET", "/messages"), ("DELETE", ""), ("POST", "/messages")):
            body = {"prompt": "Hi"} if method == "POST" else None
            answer = function.http(method, f"/sessions/{escape}{path}", body, caller=BOB)
            assert answer.status in {404, 422}, answer.text

    assert function.http("GET", "/sessions/chat", caller=ALICE).json["agents"][0]["message_count"] == 2


def test_a_role_s_session_name_does_not_make_another_owner(scripted: Scripted) -> None:
    function, _ = scripted("One.", "Two.")

    function.reply("Hi", caller=Caller(ALICE.unique_id, "laptop"))
    again = function.reply("Hi", caller=Caller(ALICE.unique_id, "ci-job-4711"))

    assert again["restored_messages"] == 2


def test_the_same_unique_id_in_another_account_is_another_owner(scripted: Scripted) -> None:
    function, _ = scripted("One.", "Two.")

    function.reply("Hi", caller=ALICE)
    other = function.reply("Hi", caller=Caller(ALICE.unique_id, account="999999999999"))

    assert other["restored_messages"] == 0


def test_sessions_lie_under_the_owner_s_prefix(scripted: Scripted, tmp_path: Path) -> None:
    function, _ = scripted("Hello.")

    function.reply("Hi", caller=ALICE)

    assert [path.name for path in (tmp_path / "sessions").iterdir()] == [owner_prefix(ACCOUNT, ALICE.unique_id)]
    assert (tmp_path / "sessions" / owner_prefix(ACCOUNT, ALICE.unique_id) / "session_chat" / "session.json").exists()


def test_a_request_without_an_iam_principal_is_refused(scripted: Scripted) -> None:
    function, model = scripted()

    for method, path in (
        ("POST", "/sessions"),
        ("POST", "/sessions/chat/messages"),
        ("GET", "/sessions"),
        ("GET", "/sessions/chat"),
        ("GET", "/sessions/chat/messages"),
        ("DELETE", "/sessions/chat"),
        ("DELETE", "/sessions"),
        ("GET", "/export"),
    ):
        answer = function.http(method, path, {"prompt": "Hi"} if method == "POST" else None, caller=None)
        assert (answer.status, answer.problem) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "AWS4-HMAC-SHA256"
    assert model.requests == []


@pytest.mark.parametrize(
    "iam",
    [
        None,
        {},
        {"accountId": ACCOUNT},
        {"userId": "AROA:x"},
        {"accountId": "", "userId": "AROA:x"},
        {"accountId": ACCOUNT, "userId": ":x"},
        {"accountId": ACCOUNT, "userId": ""},
        {"accountId": ACCOUNT, "userId": None},
        {"accountId": ACCOUNT, "userId": ["AROA"]},
        {"accountId": ACCOUNT, "userId": "AROA\0:x"},
    ],
)
def test_an_incomplete_principal_is_refused(iam: object, scripted: Scripted) -> None:
    function, _ = scripted()
    event = http_event("GET", "/sessions")
    event["requestContext"]["authorizer"] = {"iam": iam}

    assert function.invoke(event)["statusCode"] == 401


def test_a_user_is_an_owner_with_or_without_a_colon(scripted: Scripted) -> None:
    function, _ = scripted("One.", "Two.")
    function.part("doors.caller")
    event = http_event("POST", "/sessions/chat/messages", {"prompt": "Hi"})
    event["requestContext"]["authorizer"]["iam"] |= {"userId": "AIDAEXAMPLE"}

    first = function.invoke(event)
    second = function.invoke(event)

    assert '"restored_messages":0' in first["body"]
    assert '"restored_messages":2' in second["body"]


# The table "principal key values" of the IAM user guide, and which subject each has had since the first version.
PRINCIPALS = {
    "a user": ("AIDACKCEVSQ6C2EXAMPLE", "AIDACKCEVSQ6C2EXAMPLE"),
    "an assumed role": ("AROADBQP57FF2AEXAMPLE:ada.lovelace", "AROADBQP57FF2AEXAMPLE"),
    "a SAML identity": ("AROASAMLEXAMPLE:ada@example.org", "AROASAMLEXAMPLE"),
    "a web identity": ("AROAWEBEXAMPLE:CognitoIdentityCredentials", "AROAWEBEXAMPLE"),
    "a service's role": ("AROASERVICEEXAMPLE:AWSCodeBuild-5b1c7d52-0f7d-4a9b", "AROASERVICEEXAMPLE"),
    "an instance's profile": ("AROAINSTANCEEXAMPLE:i-0123456789abcdef0", "AROAINSTANCEEXAMPLE"),
    "a federated user": (f"{ACCOUNT}:ada", f"{ACCOUNT}:ada"),
    "another federated user": (f"{ACCOUNT}:bob", f"{ACCOUNT}:bob"),
    "the root user": (ACCOUNT, ACCOUNT),
}


def request_of(user_id: object, account: object = ACCOUNT, *, session_id: str = "chat") -> dict[str, Any]:
    """A turn of a principal."""
    event = http_event("POST", f"/sessions/{session_id}/messages", {"prompt": "Hi"})
    event["requestContext"]["authorizer"]["iam"] |= {"userId": user_id, "accountId": account}
    return event


def test_every_kind_of_principal_that_aws_documents_is_an_owner_of_its_own(scripted: Scripted, tmp_path: Path) -> None:
    function, _ = scripted(otherwise="Hello.")

    for user_id, _ in PRINCIPALS.values():
        reply = function.invoke(request_of(user_id))
        assert '"restored_messages":0' in reply["body"], (user_id, reply["body"])

    owners = {path.name for path in (tmp_path / "sessions").iterdir()}
    assert owners == {owner_prefix(ACCOUNT, subject) for _, subject in PRINCIPALS.values()}
    assert len(owners) == len(PRINCIPALS)


@pytest.mark.parametrize("kind", PRINCIPALS)
def test_a_principal_finds_its_session_again(kind: str, scripted: Scripted) -> None:
    function, _ = scripted(otherwise="Hello.")
    user_id, _ = PRINCIPALS[kind]

    function.invoke(request_of(user_id))

    assert '"restored_messages":2' in function.invoke(request_of(user_id))["body"]


@pytest.mark.parametrize(
    "user_id",
    [
        "AROAEXAMPLEALICE",
        "AROAEXAMPLEALICE:",
        "AROAEXAMPLEALICE:a:b",
        "AROAEXAMPLEALICE:a b",
        "AROAEXAMPLEALICE:a\n",
        "AROAEXAMPLEALICE:\u00e9",
        "aroaexamplealice:laptop",
        " AROAEXAMPLEALICE:laptop",
        "AROA:laptop",
        "AROAEXAMPLEALICE\u0660:laptop",
        "AIDA",
        "AIDAEXAMPLE:laptop",
        "AIDAEXAMPLE\n",
        "AGPAEXAMPLE",
        "AIPAEXAMPLE:i-0123456789abcdef0",
        "ASIAEXAMPLE",
        "anonymous",
        "Anonymous",
        "999999999999",
        "999999999999:ada",
        f"{ACCOUNT}:",
        f"{ACCOUNT}:ada:x",
        f"{ACCOUNT}:a/da",
        f"{ACCOUNT}0",
        "\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669\u0660\u0661\u0662",
        "",
        None,
        7,
        True,
        ["AIDAEXAMPLE"],
        {"AIDAEXAMPLE": 1},
    ],
)
def test_a_principal_of_an_undocumented_form_is_refused_and_the_log_says_so(
    user_id: object, scripted: Scripted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    function, model = scripted(otherwise="Hello.")

    answer = function.invoke(request_of(user_id))

    assert answer["statusCode"] == 401, answer
    assert model.requests == []
    assert not list((tmp_path / "sessions").glob("*"))
    reasons = [line["reason"] for line in map(json.loads, capsys.readouterr().out.splitlines()) if "reason" in line]
    assert reasons == ["userId has no form that AWS documents for this account"]


@pytest.mark.parametrize(
    ("user_id", "account", "told"),
    [
        ("AGPAEXAMPLE:ada@example.com", ACCOUNT, "AGPA… (27 characters)"),
        ("AROAEXAMPLE:ada lovelace@example.com", ACCOUNT, "AROA… (36 characters)"),
        ("999999999999:ada@example.com", ACCOUNT, "… (28 characters)"),
        ("ada@example.com", ACCOUNT, "… (15 characters)"),
        ("AIDAEXAMPLE", "ada@example.com", "… (15 characters)"),
    ],
)
def test_the_log_tells_the_shape_of_a_name_that_is_not_known_and_nothing_of_it(
    user_id: str, account: str, told: str, scripted: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    function, _ = scripted(otherwise="Hello.")

    assert function.invoke(request_of(user_id, account))["statusCode"] == 401

    logged = capsys.readouterr()
    (line,) = [line for line in map(json.loads, logged.out.splitlines()) if "reason" in line]
    assert told in (line.get("user_id"), line["account_id"])
    assert "ada" not in logged.out + logged.err
    assert "example.com" not in logged.out + logged.err


@pytest.mark.parametrize("account", ["", "12345678901", "1234567890123", "anonymous", None, 123456789012, [ACCOUNT]])
def test_a_principal_without_an_account_is_refused(account: object, scripted: Scripted) -> None:
    function, _ = scripted(otherwise="Hello.")

    assert function.invoke(request_of("AIDAEXAMPLE", account))["statusCode"] == 401
    assert function.invoke(request_of(account, account))["statusCode"] == 401


def test_on_this_machine_there_is_one_owner(scripted: Scripted, tmp_path: Path) -> None:
    function, _ = scripted("Hello.", ENDPOINT_AUTH="local")

    function.reply("Hi", caller=None)

    assert [path.name for path in (tmp_path / "sessions").iterdir()] == [owner_prefix("local", "local")]


def test_callers_of_a_public_endpoint_share_one_owner_of_its_own(scripted: Scripted, tmp_path: Path) -> None:
    function, _ = scripted("Hello.", ENDPOINT_AUTH="none")

    function.reply("Hi", caller=None)

    owners = [path.name for path in (tmp_path / "sessions").iterdir()]
    assert owners == [owner_prefix("none", "public")]
    assert owners != [owner_prefix("local", "local")]
