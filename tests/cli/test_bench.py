"""``agent-sessions bench``: it measures, and leaves nothing behind."""

import json
from typing import Any

import pytest

from agent_sessions_cli import bench
from tests.cli.conftest import Terminal


def below(terminal: Terminal) -> dict[str, bytes]:
    return {key: body for key, body in terminal.stored().items() if ".locks/" not in key}


def test_each_kind_of_request_and_a_turn_are_measured_and_nothing_is_left(terminal: Terminal) -> None:
    terminal.talk("ada", "One.")
    before = below(terminal)

    seen = terminal.run("bench", "--rounds", "3", "--json")
    table = terminal.run("bench", "--rounds", "3", "--bytes", "32")

    assert seen.exit_code == table.exit_code == 0, seen.output + table.output
    rows = [json.loads(line) for line in seen.output.splitlines()]
    assert [row["name"] for row in rows] == ["put", "replace", "get", "list", "delete", "turn"]
    assert all(0 < row["p50_ms"] <= row["p95_ms"] for row in rows)
    assert "what a turn adds" in table.output
    assert below(terminal) == before
    assert terminal.store.sessions().session_ids == ("ada",)


def test_ctrl_c_leaves_nothing_either(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    turn = bench._take_turn

    def interrupted(*given: Any) -> None:
        turn(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "_take_turn", interrupted)
    terminal.store.session_manager("ada")
    before = below(terminal)

    assert terminal.run("bench").exit_code == 130
    assert below(terminal) == before


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(number) for number in range(1, 21)]

    assert (bench.percentile(values, 0.5), bench.percentile(values, 0.95), bench.percentile([3.0], 0.95)) == (10, 19, 3)
