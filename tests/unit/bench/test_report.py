"""What the benchmark makes of its samples: prices, verdicts, tables, plots; and that the whole of it runs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from bench.__main__ import main
from bench.conversation import InstantModel, build_agent, history, question
from bench.plot import line_plot
from bench.prices import usd_per_million
from bench.report import markdown, spread
from bench.targets import verdicts

ROOT = Path(__file__).parents[3]


def sample(contender: str, size: int, **changes: Any) -> dict[str, Any]:
    return {
        "contender": contender,
        "size": size,
        "window": None,
        "think_seconds": 0.0,
        "restore_seconds": 0.02,
        "turn_seconds": 0.1,
        "model_seconds": 0.0,
        "restored_messages": size,
        "restore_requests": {"GET": 2},
        "requests": {"GET": 2, "PUT": 4},
        "bytes_written": 1000,
        "bytes_read": 1000,
        "rounds_before": 2,
        "rounds_after": 1,
        **changes,
    }


def results(*samples: dict[str, Any]) -> dict[str, Any]:
    return {
        "head": {
            "date": "2026-11-23 12:00 UTC",
            "commit": "abc",
            "uncommitted_changes": False,
            "machine": {"cpu": "CPU", "cores": 2, "load_average": 0.5, "system": "Linux"},
            "versions": {"python": "3.11"},
        },
        "contenders": {name: name for name in dict.fromkeys(one["contender"] for one in samples)},
        "latency_seconds": {"GET": 0.015, "PUT": 0.025, "LIST": 0.03},
        "samples": list(samples),
        "footprints": [],
    }


def verdict(found: dict[str, Any], target: str, size: int | None = None) -> bool:
    (only,) = [one for one in verdicts(found) if one.target.startswith(target) and one.size == size]
    return only.is_met


def test_a_turn_is_priced_by_its_requests() -> None:
    assert usd_per_million({"GET": 10, "PUT": 4, "DELETE": 7}) == pytest.approx(24.0)
    with pytest.raises(KeyError):
        usd_per_million({"COPY": 1})


def test_a_ratio_is_judged_by_medians() -> None:
    kit = [sample("kit-message", 10, restore_seconds=seconds) for seconds in (0.011, 0.012, 5.0)]
    peer = sample("snapshot-turn", 10, restore_seconds=0.01)
    assert verdict(results(*kit, peer), "restore, kit-message", 10)
    assert not verdict(results(*kit, sample("kit-message", 10, restore_seconds=5.0), peer), "restore, kit-message", 10)


def test_the_models_time_is_not_the_sessions() -> None:
    kit = sample("kit-turn", 10, think_seconds=0.3, turn_seconds=0.74, model_seconds=0.6)
    peer = sample("snapshot-turn", 10, think_seconds=0.3, turn_seconds=0.7, model_seconds=0.6)
    assert verdict(results(kit, peer), "time added", 10)
    late = {**kit, "turn_seconds": 0.76}
    assert not verdict(results(late, peer), "time added", 10)


@pytest.mark.parametrize(("name", "size", "limit"), [("endpoint", 10, 1.9), ("endpoint-stream", 500, 1.2)])
def test_the_endpoint_is_judged_by_the_sessions_length(name: str, size: int, limit: float) -> None:
    peer = sample("snapshot-turn", size, think_seconds=0.3, turn_seconds=0.7, model_seconds=0.6)
    for added, is_met in ((0.99, True), (1.01, False)):
        turn_seconds = 0.6 + 0.1 * limit * added
        own = sample(name, size, think_seconds=0.3, turn_seconds=turn_seconds, model_seconds=0.6)
        assert verdict(results(own, peer), f"time added, model thinks, {name} /", size) is is_met


@pytest.mark.parametrize(
    ("target", "change"),
    [
        ("reads of a turn", {"requests": {"GET": 3, "PUT": 4}}),
        ("no LIST", {"requests": {"GET": 1, "LIST": 1, "PUT": 3}}),
        ("USD per million turns flat", {"requests": {"GET": 2, "PUT": 5}}),
        ("bytes written grow slower", {"bytes_written": 100_000}),
    ],
)
def test_what_must_not_grow_with_the_session(target: str, change: dict[str, Any]) -> None:
    assert verdict(results(sample("kit-turn", 10), sample("kit-turn", 1000)), target)
    assert not verdict(results(sample("kit-turn", 10), sample("kit-turn", 1000, **change)), target)


def test_a_target_whose_peer_did_not_run_is_not_judged() -> None:
    assert [one for one in verdicts(results(sample("kit-message", 10))) if one.size] == []


def test_a_spread_shows_the_median_between_its_extremes() -> None:
    assert spread([0.010, 0.030, 0.020]) == "20 (10\N{EN DASH}30)"
    assert spread([0.0104]) == "10"


def test_the_report_shows_what_differs_between_repetitions() -> None:
    report = markdown(results(sample("kit-turn", 10), sample("kit-turn", 10, requests={"GET": 3, "PUT": 4})))
    assert "| kit-turn | 2 GET, 4 PUT or 3 GET, 4 PUT |" in report
    assert "commit `abc`" in report


def test_a_plot_is_svg_with_a_line_and_a_label_for_each_series() -> None:
    drawn = line_plot(
        "a < b", "x", "y", {"one & two": [(10, 20), (100, 2000)], "three": [(10, 20)], "four": [(10, 21)]}
    )
    root = ET.fromstring(drawn)  # noqa: S314  # our own
    lines = root.findall("{http://www.w3.org/2000/svg}polyline")
    texts = {node.text: node for node in root.findall("{http://www.w3.org/2000/svg}text")}
    assert [line.get("points", "").count(",") for line in lines] == [2, 1, 1]
    assert {"one & two", "three", "four", "a < b"} <= texts.keys()
    # Labels of lines that end at one place stand below each other.
    assert abs(float(texts["three"].get("y", "0")) - float(texts["four"].get("y", "0"))) >= 12
    with pytest.raises(ValueError, match="series"):
        line_plot("t", "x", "y", {})


def test_a_history_is_made_of_whole_turns() -> None:
    for count in (0, 2, 4, 10, 100):
        messages = history(count)
        assert len(messages) == count
        assert [one["role"] for one in messages] == ["user", "assistant"] * (count // 2)
    with pytest.raises(ValueError, match="count=7"):
        history(7)


def test_a_history_is_what_turns_leave() -> None:
    agent = build_agent(None, InstantModel(), window=None)
    for number in range(2):
        agent(question(number))

    left = [{name: value for name, value in message.items() if name != "tracking_id"} for message in agent.messages]
    made: list[Any] = list(history(8))
    for message in (*left, *made):
        message.get("metadata", {}).get("metrics", {}).clear()  # how long the model took

    assert left == made


def test_the_benchmark_runs_and_leaves_report_samples_and_plots(tmp_path: Path) -> None:
    # Given a run as small as it can be; when it is over:
    names = ["kit-message", "kit-effects", "snapshot-turn", "endpoint", "endpoint-stream"]
    # In a process of its own, as by make: it collects garbage before it measures, and this process has much of it.
    run = [sys.executable, "-m", "bench", "--quick", "--out", str(tmp_path)]
    run += [word for name in names for word in ("--contender", name)]
    places = os.pathsep.join(str(ROOT / folder) for folder in ("layer", "client", "."))
    subprocess.run(run, check=True, env={**os.environ, "PYTHONPATH": places}, cwd=ROOT, stdout=subprocess.DEVNULL)

    # Then everything is there, and rendering it again changes nothing.
    found = json.loads((tmp_path / "results.json").read_text())
    assert {one["contender"] for one in found["samples"]} == set(names)
    assert all(one["requests"]["GET"] >= 1 and one["requests"]["PUT"] >= 1 for one in found["samples"])
    # The model's time is known, and is not in what is counted as added.
    assert all(one["model_seconds"] >= 2 * one["think_seconds"] for one in found["samples"])
    assert all(one["turn_seconds"] > one["model_seconds"] for one in found["samples"])
    assert all(one["cpu_seconds"] > 0 and one["peak_bytes"] > 10_000 for one in found["footprints"])
    # The endpoint's request is a turn with a lease around it, and its restore is nothing to be seen from outside.
    whole = [one for one in found["samples"] if one["contender"].startswith("endpoint")]
    assert all(one["restore_seconds"] is None and one["requests"]["DELETE"] == 1 for one in whole)
    report = (tmp_path / "report.md").read_text()
    restore, _, rest = report.partition("### Turn of 4")
    assert "the whole request" not in restore
    assert "the whole request" in rest
    main(["--render", str(tmp_path / "results.json"), "--out", str(tmp_path)])
    assert (tmp_path / "report.md").read_text() == report
    for name in ("restore.svg", "turn.svg"):
        assert ET.parse(tmp_path / name).getroot().tag.endswith("svg")  # noqa: S314  # our own


def test_an_unknown_contender_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="kit-message"):
        main(["--quick", "--out", str(tmp_path), "--contender", "nobody"])
