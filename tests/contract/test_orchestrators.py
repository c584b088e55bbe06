"""The contract with graphs, swarms and orchestrators of one's own: resumed in another process where they stopped."""

import asyncio
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from strands import Agent
from strands.hooks import (
    AfterMultiAgentInvocationEvent,
    AfterNodeCallEvent,
    HookRegistry,
    MultiAgentInitializedEvent,
)
from strands.multiagent import Swarm

from agent_sessions.turn_request import OrchestratorRecord
from tests.contract.orchestra import BUILD, CRASHED, answers, describe, outcome
from tests.contract.strands_features import needs_swarm_checkpoints
from tests.contract.subjects import Subject
from tests.contract.test_redaction import everything_stored
from tests.doubles.scripted_model import ScriptedModel

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=("file", "s3", "file-turn", "s3-turn", "strands-file", "strands-s3"))
def reachable(request: pytest.FixtureRequest, make_subject: Any) -> Subject:
    """Each implementation that another process can reach."""
    found: Subject = make_subject(request.param)
    return found


def run_process(subject: Subject, s3_url: str, **order: Any) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT / "layer"), str(ROOT)))}
    command = [
        sys.executable,
        "-m",
        "tests.contract.orchestra",
        json.dumps({"subject": describe(subject, s3_url), **order}),
    ]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def result_of(finished: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert finished.returncode == 0, finished.stderr
    found: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("graph", {"a": "a is done", "b": "b is done", "c": "c is done"}),
        pytest.param("swarm", None, marks=needs_swarm_checkpoints),
    ],
)
def test_what_a_crash_cut_off_is_resumed_in_another_process(
    reachable: Subject, s3_url: str, kind: str, said: dict[str, str] | None
) -> None:
    crashed = run_process(reachable, s3_url, kind=kind, crash_in="b")
    assert crashed.returncode == CRASHED, crashed.stderr

    resumed = result_of(run_process(reachable, s3_url, kind=kind))

    assert resumed["status"] == "completed"
    assert "a" not in resumed["spoke"]
    assert resumed["spoke"][0] == "b"
    assert resumed["said"]["b"] == "b is done"
    if said is not None:
        assert resumed["said"] == said


@pytest.mark.parametrize("kind", ["graph", "swarm"])
def test_an_interrupt_of_a_node_is_answered_in_another_orchestrator(managers: Subject, kind: str) -> None:
    spoke: list[str] = []
    asked = outcome(BUILD[kind](managers.manager(), spoke, ask_in="b")("Do it."), spoke)
    assert asked["status"] == "interrupted"

    again: list[str] = []
    # The model of the resumed node only has what comes after the tool call left to say.
    orchestrator = BUILD[kind](managers.manager(), again)
    resumed = outcome(orchestrator(answers(asked["interrupts"])), again)

    assert resumed["status"] == "completed"
    assert "a" not in again
    assert resumed["said"]["b"] == "b is done"


@pytest.mark.parametrize("kind", ["graph", pytest.param("swarm", marks=needs_swarm_checkpoints)])
def test_one_that_was_completed_starts_anew(managers: Subject, kind: str) -> None:
    for _ in range(2):
        spoke: list[str] = []
        finished = outcome(BUILD[kind](managers.manager(), spoke)("Do it."), spoke)

        assert finished["status"] == "completed"
        assert spoke[0] == "a"
        assert spoke[-1] == {"graph": "c", "swarm": "b"}[kind]


def test_a_swarm_whose_next_agent_is_not_there_any_more_begins_anew(our_managers: Subject) -> None:
    asked = BUILD["swarm"](our_managers.manager(), [], ask_in="b")
    asked("Do it.")
    other = runner("other", "Done anew.")

    swarm = Swarm([other], id=asked.id, session_manager=our_managers.manager())
    result = swarm("Do it.")

    assert [node.node_id for node in result.node_history] == ["other"]
    assert str(result.results["other"].result).strip() == "Done anew."


def test_a_task_with_an_image_is_restored_with_its_bytes(our_managers: Subject) -> None:
    task: Any = [{"text": "Look"}, {"image": {"format": "png", "source": {"bytes": b"\x89PNG\x00\xff"}}}]
    spoke: list[str] = []
    BUILD["graph"](our_managers.manager(), spoke, ask_in="b")(task)

    restored = BUILD["graph"](our_managers.manager(), spoke)

    assert restored.state.task == task


def test_what_is_stored_names_the_turn_that_wrote_it_where_records_can(our_managers: Subject) -> None:
    first = our_managers.manager()
    graph = BUILD["graph"](first, [])
    first.name_turn("turn-1", lambda: {"tokens": 7})
    graph("Do it.")

    second = our_managers.manager()
    BUILD["graph"](second, [])

    assert first.orchestrator_record("the-graph") == OrchestratorRecord(None, None)
    assert second.orchestrator_record("another") is None
    restored = second.orchestrator_record("the-graph")
    assert restored is not None
    assert restored.state is not None
    assert restored.state["status"] == "completed"
    assert "kit" not in restored.state
    assert restored.turn_id in {"turn-1", None}
    noted = (None, None) if our_managers.name == "custom" else ("turn-1", {"tokens": 7})
    assert (restored.turn_id, restored.used) == noted


def without_secret(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "current_task": "[taken back]"}


def test_a_state_that_is_redacted_is_what_is_stored_from_then_on(our_managers: Subject) -> None:
    manager = our_managers.manager()
    graph = BUILD["graph"](manager, [])
    graph("Zanzibar")

    manager.redact_multi_agent(graph, without_secret)
    manager.sync_multi_agent(graph)

    record = our_managers.manager()
    BUILD["graph"](record, [])
    assert record.orchestrator_record("the-graph").state["current_task"] == "[taken back]"
    assert b"Zanzibar" not in everything_stored(our_managers)


def test_of_a_redacted_state_no_older_version_stays_even_if_the_first_write_fails(make_subject: Any) -> None:
    subject: Subject = make_subject("s3")
    place: Any = subject.stored
    place.client.put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration={"Status": "Enabled"})
    manager = subject.manager()
    graph = BUILD["graph"](manager, [])
    graph("Zanzibar")
    answers = iter([OSError("away"), None])

    def redacted(state: dict[str, Any]) -> dict[str, Any]:
        failure = next(answers, None)
        if failure is not None:
            raise failure
        return without_secret(state)

    with pytest.raises(OSError, match="away"):
        manager.redact_multi_agent(graph, redacted)
    manager.sync_multi_agent(graph)

    versions = place.client.list_object_versions(Bucket=place.bucket)["Versions"]
    for entry in versions:
        found = place.client.get_object(Bucket=place.bucket, Key=entry["Key"], VersionId=entry["VersionId"])
        assert b"Zanzibar" not in found["Body"].read()


# --- one's own ------------------------------------------------------------------------------------------


def relay_class() -> Any:
    from agent_sessions.multi_agent import MultiAgentBase

    class Relay(MultiAgentBase):
        """Asks its agents one after the other, and goes on after the last one that answered."""

        def __init__(self, agents: list[Agent], session_manager: Any = None) -> None:
            self.id = "relay"
            self.agents = agents
            self.answers: list[str] = []
            self.seen_state: dict[str, Any] | None = None
            self.hooks: HookRegistry = HookRegistry()
            if session_manager is not None:
                self.hooks.add_hook(session_manager)
            self.hooks.invoke_callbacks(MultiAgentInitializedEvent(self))

        async def invoke_async(self, task: Any, invocation_state: Any = None, **kwargs: Any) -> Any:
            self.seen_state = invocation_state
            for agent in self.agents[len(self.answers) :]:
                result = await agent.invoke_async(task)
                self.answers.append(str(result).strip())
                await self.hooks.invoke_callbacks_async(AfterNodeCallEvent(self, agent.name))
            await self.hooks.invoke_callbacks_async(AfterMultiAgentInvocationEvent(self))
            return ", ".join(self.answers)

        def serialize_state(self) -> dict[str, Any]:
            return {"answers": self.answers, "blob": b"\x00\xff"}

        def deserialize_state(self, payload: dict[str, Any]) -> None:
            assert payload["blob"] == b"\x00\xff"
            self.answers = list(payload["answers"])

    return Relay


def runner(name: str, *script: Any) -> Agent:
    return Agent(model=ScriptedModel(*script), name=name, callback_handler=None)


def test_an_orchestrator_of_ones_own_is_resumed_after_the_node_that_failed(our_managers: Subject) -> None:
    relay = relay_class()
    first = relay([runner("a", "one"), runner("b", RuntimeError("b fell"))], our_managers.manager())
    with pytest.raises(Exception, match="b fell"):
        first("Go")

    second = relay([runner("a"), runner("b", "two")], our_managers.manager())

    assert second("Go") == "one, two"
    assert relay([], our_managers.manager()).answers == ["one", "two"]


def test_an_orchestrator_of_ones_own_can_be_called_inside_a_running_event_loop() -> None:
    async def inside() -> Any:
        return relay_class()([runner("a", "one")])("Go")

    assert asyncio.run(inside()) == "one"


def test_an_orchestrator_of_ones_own_streams_its_result() -> None:
    async def collect() -> list[Any]:
        return [event async for event in relay_class()([runner("a", "one")]).stream_async("Go")]

    assert asyncio.run(collect()) == [{"result": "one"}]


def test_keyword_arguments_are_merged_into_the_invocation_state_with_a_warning() -> None:
    relay = relay_class()([runner("a", "one")])

    with pytest.warns(DeprecationWarning, match="invocation_state"):
        relay("Go", {"user": "ada"}, tenant="t1")
    assert relay.seen_state == {"user": "ada", "tenant": "t1"}

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        relay("Go", {"user": "ada"})
