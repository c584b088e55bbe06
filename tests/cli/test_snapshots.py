"""Snapshots in both directions: Strands' own manager reads what is exported, and what it wrote opens here."""

import json
from pathlib import Path
from typing import Any

import pytest
from strands import Agent
from strands.agent.conversation_manager import SlidingWindowConversationManager, SummarizingConversationManager

from tests.cli.conftest import Terminal
from tests.contract.damaged_records import Orchestra, ask
from tests.doubles.scripted_model import ScriptedModel, tool_use

snapshots = pytest.importorskip("strands.session.snapshot_session_manager", reason="this release has no snapshots")


def agent_with(manager: Any, *script: Any, window: Any = None, **options: Any) -> Agent:
    return Agent(
        agent_id="a1",
        model=ScriptedModel(*script),
        session_manager=manager,
        conversation_manager=window or SlidingWindowConversationManager(window_size=4),
        callback_handler=None,
        **options,
    )


def of_strands(folder: Path) -> Any:
    from strands.storage import LocalFileStorage

    return snapshots.SnapshotSessionManager("ada", storage=LocalFileStorage(str(folder)))


def facts(agent: Agent) -> dict[str, Any]:
    return {
        "messages": agent.messages,
        "state": agent.state.get(),
        "interrupts": agent._interrupt_state.to_dict(),
        "model_state": agent._model_state,
    }


PICTURE: Any = [{"text": "Look"}, {"image": {"format": "png", "source": {"bytes": b"\x89PNG"}}}]


def test_strands_manager_goes_on_with_what_was_exported(terminal: Terminal, tmp_path: Path) -> None:
    talking = agent_with(terminal.store.session_manager("ada"), "One.", "Two.", "Three.", state={"city": "Rome"})
    talking(PICTURE)
    talking("More")
    talking("And more")
    ours = facts(agent_with(terminal.store.session_manager("ada")))

    told = terminal.run("export", "ada", "--format", "snapshot", "-o", str(tmp_path / "out"))

    assert told.exit_code == 0, told.output
    theirs = agent_with(of_strands(tmp_path / "out"), "Four.")
    assert facts(theirs) == ours
    assert len(theirs.messages) == 4
    theirs("Go on")
    assert theirs.messages[-1]["content"] == [{"text": "Four."}]


def test_what_strands_manager_wrote_opens_here_and_goes_on(terminal: Terminal, tmp_path: Path) -> None:
    talking = agent_with(of_strands(tmp_path / "theirs"), "One.", "Two.", "Three.", state={"city": "Rome"})
    talking(PICTURE)
    talking("More")
    talking("And more")
    theirs = facts(talking)

    told = terminal.run("import", str(tmp_path / "theirs"), "--json")

    assert json.loads(told.output) == {"session_id": "ada", "records": 6}, told.output
    ours = agent_with(terminal.store.session_manager("ada"), "Four.")
    assert facts(ours) == theirs
    ours("Go on")
    assert "Four." in terminal.run("show", "ada").output
    assert terminal.run("doctor", "ada").exit_code == 0


def test_a_summary_stands_once_in_front_in_both_directions(on_folder: Terminal, tmp_path: Path) -> None:
    def summing() -> Any:
        return SummarizingConversationManager()

    talking = agent_with(on_folder.store.session_manager("ada"), "One.", "Two.", window=summing())
    talking("First")
    summed = agent_with(on_folder.store.session_manager("ada"), "Two.", window=summing())
    summed.conversation_manager._summary_message = {"role": "user", "content": [{"text": "So far."}]}  # type: ignore[attr-defined]
    summed.conversation_manager.removed_message_count = 2
    summed("Second")
    ours = facts(agent_with(on_folder.store.session_manager("ada"), window=summing()))

    assert on_folder.run("export", "ada", "--format", "snapshot", "-o", str(tmp_path / "out")).exit_code == 0
    theirs = facts(agent_with(of_strands(tmp_path / "out"), window=summing()))
    assert on_folder.run("rm", "ada", "--yes").exit_code == 0
    assert on_folder.run("import", str(tmp_path / "out")).exit_code == 0
    back = facts(agent_with(on_folder.store.session_manager("ada"), window=summing()))

    assert ours["messages"][0]["content"] == [{"text": "So far."}]
    assert theirs == ours
    assert back == ours


def test_a_pending_question_and_an_orchestrators_state_come_along(on_folder: Terminal, tmp_path: Path) -> None:
    asking = agent_with(on_folder.store.session_manager("ada"), tool_use("ask"), tools=[ask])
    assert asking("Ask them").stop_reason == "interrupt"
    on_folder.store.session_manager("ada").initialize_multi_agent(Orchestra())

    assert on_folder.run("export", "ada", "--format", "snapshot", "-o", str(tmp_path / "out")).exit_code == 0

    theirs = agent_with(of_strands(tmp_path / "out"), "Thanks.", tools=[ask])
    (name,) = theirs._interrupt_state.interrupts
    answer: Any = [{"interruptResponse": {"interruptId": name, "response": "yes"}}]
    done = theirs(answer)
    assert str(done).strip() == "Thanks."
    state = json.loads((tmp_path / "out/session/ada/scopes/multiAgent/o1/snapshots/snapshot_latest.json").read_bytes())
    assert state["data"] == {"orchestrator_id": "o1", "state": Orchestra().serialize_state()}
    assert on_folder.run("rm", "ada", "--yes").exit_code == 0
    assert on_folder.run("import", str(tmp_path / "out")).exit_code == 0
    rows = [json.loads(line) for line in on_folder.run("show", "ada", "--state", "--json").output.splitlines()]
    assert rows[-1] == {"multi_agent_id": "o1", "state": Orchestra().serialize_state()}


def test_nothing_is_overwritten_and_what_is_no_snapshot_is_said(on_folder: Terminal, tmp_path: Path) -> None:
    agent_with(on_folder.store.session_manager("ada"), "One.")("Hi")
    out = str(tmp_path / "out")
    assert on_folder.run("export", "ada", "--format", "snapshot", "-o", out).exit_code == 0
    before = on_folder.stored()

    assert on_folder.run("export", "ada", "--format", "snapshot", "-o", out).exit_code == 2
    assert on_folder.run("export", "ada", "--format", "snapshot").exit_code == 2
    assert on_folder.run("import", out).exit_code == 4
    assert on_folder.stored() == before
    (tmp_path / "empty").mkdir()
    assert on_folder.run("import", str(tmp_path / "empty")).exit_code == 3
    file = next((tmp_path / "out").rglob("snapshot_latest.json"))
    file.write_text('{"scope": "agent", "schema_version": "9", "created_at": "", "data": {}}')
    refused = on_folder.run("import", out)
    assert (refused.exit_code, "version 9" in refused.stderr) == (6, True)
