"""The example app: a function with the session layer alone, on real sessions, and what it is allowed."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from aws_cdk import App

from agent_sessions.exceptions import SessionNotFoundError
from agent_sessions.owner import owner_prefix
from agent_sessions.session_store import SessionStore
from tests.doubles.scripted_model import ScriptedModel, tool_use
from tests.infra.policy_evaluator import Decision, decide
from tests.infra.synthesis import ResolvedTemplate

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "session-report"
OWNER = {"issuer": "111122223333", "subject": "AROAEXAMPLE"}


def load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"file://{tmp_path}/sessions"
    monkeypatch.setenv("SESSION_STORE", url)
    return url


def converse(place: str, *prompts: str, script: list[Any], agent_id: str = "default") -> None:
    from strands import Agent, tool

    @tool
    def clock() -> str:
        """Tell the time."""
        return "noon"

    @tool
    def broken() -> str:
        """Fail."""
        raise RuntimeError("out of order")

    store = SessionStore.from_url(place).for_owner(owner_prefix(**OWNER))
    model = ScriptedModel(*script, input_tokens=10, output_tokens=5)
    for prompt in prompts:
        manager = store.session_manager("demo")
        Agent(model=model, tools=[clock, broken], agent_id=agent_id, session_manager=manager, callback_handler=None)(
            prompt
        )


def report(event: dict[str, Any]) -> dict[str, Any]:
    handler = load("session_report", EXAMPLE / "function" / "session_report.py").lambda_handler
    answer: dict[str, Any] = json.loads(json.dumps(handler(event, None)))
    return answer


def test_turns_tools_and_tokens_are_counted(place: str) -> None:
    converse(place, "What time?", "Thanks", script=[tool_use("clock"), "Noon.", "You are welcome."])

    answer = report({"owner": OWNER, "session_id": "demo"})

    assert answer["session_id"] == "demo"
    assert answer["agents"] == {
        "default": {
            "messages": 6,
            "turns": 2,
            "tools": {"clock": 1},
            "failed_tools": 0,
            "tokens": {"inputTokens": 30, "outputTokens": 15, "totalTokens": 45},
        }
    }


def test_each_agent_is_reported_and_failed_tools_are_counted(place: str) -> None:
    converse(place, "Try", script=[tool_use("broken"), "It failed."], agent_id="a")
    converse(place, "Hello", script=["Hi."], agent_id="b")

    agents = report({"owner": owner_prefix(**OWNER), "session_id": "demo"})["agents"]

    assert (agents["a"]["tools"], agents["a"]["failed_tools"], agents["a"]["turns"]) == ({"broken": 1}, 1, 1)
    assert (agents["b"]["tools"], agents["b"]["messages"]) == ({}, 2)


def test_conversations_longer_than_a_page_are_read_to_the_end(place: str) -> None:
    converse(place, *["Again"] * 60, script=["Yes."] * 60)

    assert report({"owner": OWNER, "session_id": "demo"})["agents"]["default"]["turns"] == 60


def test_nothing_that_was_said_is_in_the_report(place: str) -> None:
    converse(place, "The secret is xylophone", script=["xylophone it is"])

    assert "xylophone" not in json.dumps(report({"owner": OWNER, "session_id": "demo"}))


def test_another_owner_has_no_such_session(place: str) -> None:
    converse(place, "Hello", script=["Hi."])

    with pytest.raises(SessionNotFoundError):
        report({"owner": {**OWNER, "subject": "AROAOTHER"}, "session_id": "demo"})


@pytest.mark.parametrize("owner", [None, "", "me", {"issuer": "x"}, 7])
def test_an_event_without_an_owner_is_refused(place: str, owner: object) -> None:
    with pytest.raises(ValueError, match="owner must be"):
        report({"owner": owner, "session_id": "demo"})


def test_the_function_needs_no_agent_runtime() -> None:
    code = "import sys; sys.modules['strands'] = None; import session_report"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{ROOT / 'layer'}:{EXAMPLE / 'function'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def template() -> ResolvedTemplate:
    app = App()
    module = load("session_report_app", EXAMPLE / "app.py")
    module.SessionReport(app, "dev", "arn:aws:kms:eu-central-1:111122223333:key/k")
    source: dict[str, Any] = app.synth().get_stack_by_name("session-report-dev").template
    return ResolvedTemplate(source)


def test_the_function_has_the_session_layer_and_no_other(template: ResolvedTemplate) -> None:
    function = template.properties("AWS::Lambda::Function")
    parameters = {name.lower(): p["Default"] for name, p in template.source["Parameters"].items() if "Default" in p}

    (layer,) = function["Layers"]
    assert parameters[layer] == "/agent-session-kit/dev/session-layer-arn"
    store = function["Environment"]["Variables"]["SESSION_STORE"]
    assert parameters[store.removeprefix("s3://").removesuffix("/sessions")] == "/agent-session-kit/dev/bucket-name"


def test_the_function_may_read_and_nothing_else(template: ResolvedTemplate) -> None:
    statements = [
        s for p in template.of_type("AWS::IAM::Policy") for s in p["Properties"]["PolicyDocument"]["Statement"]
    ]
    (bucket,) = [
        resource.removesuffix("/sessions/*")
        for s in statements
        for resource in ([s["Resource"]] if isinstance(s["Resource"], str) else s["Resource"])
        if resource.endswith("/sessions/*")
    ]

    def may(action: str, resource: str, prefix: str = "sessions/o_x/") -> bool:
        return decide(statements, action, resource, {"s3:prefix": prefix}) is Decision.ALLOWED

    assert may("s3:GetObject", f"{bucket}/sessions/o_x/session_1/session.json")
    assert may("s3:ListBucket", bucket)
    assert may("kms:Decrypt", "arn:aws:kms:eu-central-1:111122223333:key/k")
    assert not may("s3:GetObject", f"{bucket}/other")
    assert not may("s3:ListBucket", bucket, prefix="")
    for action in ("s3:PutObject", "s3:DeleteObject"):
        assert not may(action, f"{bucket}/sessions/o_x/session_1/session.json")
