"""Each thing that can happen is in the metrics of the request to which it happened, once."""

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from strands import tool

from agent_sessions.owner import owner_prefix
from tests.doubles.s3_server import S3Server
from tests.doubles.scripted_model import Pause, ScriptedModel, tool_use
from tests.endpoint import orchestra
from tests.endpoint.function import ALICE, Context, http_event
from tests.metrics import emf, faults
from tests.metrics.load import Load
from tests.streams.test_cancelling import agent_with

Written = Callable[[], list[emf.Line]]


@pytest.mark.parametrize("metric", faults.FAULTS)
def test_what_goes_wrong_is_counted_where_it_goes_wrong(s3: S3Server, written: Written, metric: str) -> None:
    load = Load(s3, SESSION_TTL_DAYS="7")

    faults.FAULTS[metric](load)

    lines = written()
    assert emf.sums(lines)[metric] == 1
    assert lines[-1].value(metric) == 1


def test_objects_renewed_are_counted(s3: S3Server, written: Written) -> None:
    load = Load(s3, SESSION_TTL_DAYS="7")
    load.say("Say hello", "chat")
    s3.clock.advance(1.5 * faults.DAY)

    load.say("Say hello", "chat")

    renewed = emf.sums(written())
    assert renewed["Renewals"] >= 2
    assert "RenewalsFailed" not in renewed


def test_a_line_names_no_owner_and_no_content_and_its_dimensions_are_service_and_stage(
    s3: S3Server, written: Written
) -> None:
    load = Load(s3, STAGE="prod", POWERTOOLS_SERVICE_NAME="shop")
    load.say("Say xyzzy-17", "chat")
    load.send("POST", "/sessions/chat/messages", {"prompt": 17})

    for line in written():
        assert line.dimensions == {"service": "shop", "stage": "prod"}
        text = json.dumps(line.content)
        assert "xyzzy" not in text
        assert owner_prefix(ALICE.account, ALICE.unique_id) not in text


def test_a_line_names_its_request_its_turn_and_its_session(s3: S3Server, written: Written) -> None:
    load = Load(s3)
    reply = json.loads(load.say("Say hello", "chat")["body"])
    refused = json.loads(load.send("POST", "/sessions/chat/messages", {"prompt": 17})["body"])

    turn, refusal = written()

    assert turn.content["turn_id"] == reply["turn_id"]
    assert (turn.content["session_id"], turn.content["agent_id"]) == ("chat", "default")
    assert turn.content["stop_reason"] == "end_turn"
    assert refusal.content["request_id"] == refused["request_id"]
    assert refusal.content["problem"] == "invalid-request"
    assert refusal.values == {"Requests": [1]}


def test_the_time_spent_waiting_for_another_caller_is_not_the_sessions_own(s3: S3Server, written: Written) -> None:
    load = Load(s3, LEASE_WAIT_SECONDS="5")
    load.say("Say hello", "chat")
    waiting: list[float] = []

    class Waiting:
        """A lease that another holds until it has been asked for it three times."""

        def __init__(self, claim: Any) -> None:
            self._claim, self._left = claim, 3

        def __getattr__(self, name: str) -> Any:
            return getattr(self._claim, name)

        def take(self) -> Any:
            from agent_sessions.claims import Refusal

            self._left -= 1
            return self._claim.take() if self._left < 0 else Refusal("another", 5)

    from agent_sessions import lease

    real = lease.SessionLease.acquire

    def acquire(self: Any, *, wait_seconds: float = 0.0) -> None:
        self._claim = Waiting(self._claim)
        real(self, wait_seconds=wait_seconds)
        waiting.append(self.waited_seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lease.SessionLease, "acquire", acquire)
        load.say("Say hello", "chat")

    line = written()[-1]
    assert line.value("LeaseWait") == pytest.approx(1000 * waiting[0], abs=0.01)
    assert line.value("LeaseWait") > 100
    assert line.value("SessionOverhead") + line.value("LeaseWait") <= line.value("TurnDuration")


@pytest.mark.parametrize("make", [orchestra.chain, orchestra.swarm], ids=["graph", "swarm"])
def test_a_turn_of_an_orchestrator_counts_the_tokens_and_the_time_of_its_nodes(
    s3: S3Server, written: Written, make: Any
) -> None:
    load = Load(s3)
    speak = "One." if make is orchestra.chain else [orchestra.hand_over("second"), "Over to you."]
    models = orchestra.models(first=speak, second=[[Pause(0.05), "Two."]])
    load.function.part("agent").build_agent = make(models)

    load.say("Say something", "chat")

    (line,) = written()
    calls = sum(len(model.requests) for model in models.values())
    assert line.value("Turns") == 1
    assert line.value("ModelCalls") == calls
    assert line.value("InputTokens") == 12 * calls
    assert line.value("ModelDuration") >= 50
    assert line.value("RestoreDuration") > 0


def test_a_stream_whose_reader_leaves_is_counted_to_the_end_of_its_turn(s3: S3Server, written: Written) -> None:
    load = Load(s3)
    body = {"prompt": "Say hello"}
    event = http_event("POST", "/sessions/chat/messages", body, headers={"accept": "text/event-stream"})
    answer = load.function.invoke(event, Context(remaining_seconds=60))
    assert not written()  # the answer begins, and the turn goes on

    answer.close()
    answer.wait()
    answer.wait()

    (line,) = written()
    assert (line.value("Turns"), line.value("OutputTokens")) == (1, 7)


def test_a_failure_that_no_reader_is_told_is_counted_all_the_same(s3: S3Server, written: Written) -> None:
    load = Load(s3)
    body = {"prompt": "meddle"}
    event = http_event("POST", "/sessions/chat/messages", body, headers={"accept": "text/event-stream"})
    answer = load.function.invoke(event, Context(remaining_seconds=60))
    answer.close()
    answer.wait()

    (line,) = written()
    assert (line.value("Conflicts"), line.value("TurnsCutOff")) == (1, 1)


def test_a_turn_without_its_caller_has_a_line_of_its_own(s3: S3Server, written: Written) -> None:
    load = Load(s3, ENDPOINT_AUTH="local")
    event = http_event("POST", "/sessions/chat/messages", {"prompt": "Say hi"}, headers={"prefer": "respond-async"})
    answer = load.function.invoke(event, Context(remaining_seconds=60))
    accepted = json.loads(b"".join(answer.pieces))
    answer.close()
    answer.wait()

    turn, request = sorted(written(), key=lambda line: -line.value("Turns"))
    assert turn.content["turn_id"] == accepted["turn_id"]
    assert turn.content["request_id"] == request.content["request_id"]
    assert (turn.value("Turns"), request.value("Turns")) == (1, 0)


def test_a_cancelled_turn_is_counted(s3: S3Server, written: Written) -> None:
    load = Load(s3)
    begun = threading.Event()
    load.function.models["load"] = ScriptedModel([tool_use("wait")], otherwise="Never.")

    @tool
    async def wait() -> str:
        """Wait until the turn is cancelled."""
        begun.set()
        await asyncio.Event().wait()
        return "never"

    load.function.part("agent").build_agent = agent_with(wait)
    body = {"prompt": "Say hello"}
    event = http_event("POST", "/sessions/chat/messages", body, headers={"accept": "text/event-stream"})
    answer = load.function.invoke(event, Context(remaining_seconds=60))
    turn_id = json.loads(next(answer.pieces).decode().partition("data: ")[2])["turn_id"]
    assert begun.wait(30)

    load.send("DELETE", f"/sessions/chat/turns/{turn_id}")
    for _ in answer.pieces:
        pass
    answer.wait()

    assert emf.sums(written())["TurnsCancelled"] == 1


def test_where_metrics_are_switched_off_nothing_is_written(s3: S3Server, written: Written) -> None:
    load = Load(s3, POWERTOOLS_METRICS_DISABLED="true")

    load.say("Say hello", "chat")

    assert written() == []


def test_each_metric_that_the_code_adds_to_is_in_the_table() -> None:
    from lambda_src.metrics import table

    declared = {name: value for name, value in vars(table).items() if isinstance(value, table.Metric)}
    assert set(declared.values()) == set(table.METRICS)
    assert len({metric.name for metric in table.METRICS}) == len(table.METRICS)
    sources = Path("lambda_src").rglob("*.py")
    code = "".join(path.read_text(encoding="utf-8") for path in sources if path.name != "table.py")
    assert [name for name in declared if f"table.{name}" not in code] == []
