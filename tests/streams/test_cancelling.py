"""A turn that is cancelled: whatever it is doing, it ends soon, in good order, and the next one works."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from strands import Agent, ModelRetryStrategy, tool

from tests.doubles.s3_server import S3Server
from tests.doubles.scripted_model import Pause, throttled, tool_use
from tests.endpoint.test_local_run import Running, start
from tests.streams.conftest import Serve
from tests.streams.served import EVENTS, Gate, Served, names, problem_of, text_of, told_text

SOON_SECONDS = 2.5  # two, and what a busy machine takes


def cancel(served: Served, turn_id: str, session_id: str = "chat") -> None:
    answer = served.request("DELETE", f"/sessions/{session_id}/turns/{turn_id}")
    assert answer.status_code == 202, answer.text
    assert answer.json() == {
        "session_id": session_id,
        "agent_id": "default",
        "turn_id": turn_id,
        "status": "running",
    }


def agent_with(*tools: Any) -> Any:
    """An agent with tools of the test's own."""

    def build(session_manager: Any, settings: Any) -> Any:
        from lambda_src.models.providers import build_model

        return Agent(
            agent_id=settings.agent_id,
            model=build_model(settings),
            tools=list(tools),
            session_manager=session_manager,
            callback_handler=None,
            retry_strategy=None,
        )

    return build


def pairs_are_valid(served: Served) -> bool:
    """Whether every tool call that is stored has its result right behind it."""
    messages = [item["message"] for item in served.request("GET", "/sessions/chat/messages").json()["messages"]]
    for message, behind in zip(messages, [*messages[1:], {"content": []}], strict=True):
        calls = [block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block]
        results = [block["toolResult"]["toolUseId"] for block in behind["content"] if "toolResult" in block]
        if calls and sorted(calls) != sorted(results):
            return False
    return True


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ([["One two ", Pause(30), "three."]], "One two "),
        ([[Pause(30), "Never."]], "(This turn was cancelled before there was an answer.)"),
    ],
    ids=["speaking", "thinking"],
)
def test_a_model_is_not_listened_to_any_more_and_what_it_said_is_kept(serve: Serve, script: Any, said: str) -> None:
    served = serve(*script, "Hello again.")

    with served.telling("Count") as stream:
        turn_id = stream.until("message")[0].data["turn_id"]
        if said.startswith("One"):
            stream.until("text")
        cancel(served, turn_id)
        asked_at = time.monotonic()
        reply = stream.until("reply")[-1].data

    assert time.monotonic() - asked_at < SOON_SECONDS
    assert (reply["stop_reason"], text_of(reply["message"])) == ("cancelled", said)
    view = served.request("GET", f"/sessions/chat/turns/{turn_id}").json()
    assert (view["status"], view["reply"]) == ("cancelled", reply)
    assert served.say("Hello?").json()["stop_reason"] == "end_turn"
    assert served.said() == ["user: Count", f"assistant: {said}", "user: Hello?", "assistant: Hello again."]


@pytest.mark.parametrize("calls", [1, 3], ids=["one", "parallel"])
@pytest.mark.parametrize("tool_ends", [True, False])
def test_tools_that_run_are_waited_for_or_told(serve: Serve, calls: int, tool_ends: bool) -> None:
    gate = Gate()

    @tool
    def work(number: int) -> str:
        """Do something for a while.

        Args:
            number: Which.
        """
        if tool_ends and number == 0:
            return "done at once"
        gate.reached.set()
        gate.opened.wait(1.5 if tool_ends else 30)
        return "done"

    asked = ["Working. ", *(tool_use("work", tool_use_id=f"call-{number}", number=number) for number in range(calls))]
    served = serve(asked, "Hello again.", build_agent=agent_with(work))

    with served.telling("Work") as stream:
        turn_id = stream.until("message", role="assistant")[0].data["turn_id"]
        if calls > 1 or not tool_ends:
            assert gate.reached.wait(10)
        else:
            stream.until("message")  # it has ended already
        if calls == 1 and tool_ends:
            stream.until("reply")
            over = served.request("DELETE", f"/sessions/chat/turns/{turn_id}")
            assert (over.status_code, problem_of(over)) == (409, "turn-over")
            return
        cancel(served, turn_id)
        asked_at = time.monotonic()
        reply = stream.until("reply")[-1].data
    took = time.monotonic() - asked_at
    gate.opened.set()

    assert took < SOON_SECONDS
    assert reply["stop_reason"] == "cancelled"
    assert text_of(reply["message"]) == "Working. "
    assert pairs_are_valid(served)
    stored = str(served.request("GET", "/sessions/chat/messages").json())
    assert ("done at once" in stored) == (tool_ends and calls > 1)
    assert served.say("Hello?").json()["stop_reason"] == "end_turn"
    assert pairs_are_valid(served)


def test_a_call_that_the_model_had_not_finished_is_left_out(serve: Serve) -> None:
    served = serve()

    async def stream(*_: Any, **__: Any) -> Any:
        import asyncio

        yield {"messageStart": {"role": "assistant"}}
        yield {"contentBlockDelta": {"delta": {"text": "Let me see."}}}
        yield {"contentBlockStop": {}}
        yield {"contentBlockStart": {"start": {"toolUse": {"toolUseId": "call", "name": "calculator"}}}}
        yield {"contentBlockDelta": {"delta": {"toolUse": {"input": '{"expres'}}}}
        await asyncio.sleep(30)

    served.model.stream = stream  # type: ignore[method-assign]

    with served.telling("6*7?") as told:
        turn_id = next(iter(told)).data["turn_id"]
        told.until("tool")
        cancel(served, turn_id)
        reply = told.until("reply")[-1].data

    assert reply["message"]["content"] == [{"text": "Let me see."}]
    assert reply["stop_reason"] == "cancelled"


def test_a_finished_call_behind_which_the_model_goes_on_is_answered(serve: Serve) -> None:
    served = serve([tool_use("calculator", expression="6*7"), Pause(30), "never"], "Hello.")

    with served.telling("6*7?") as stream:
        turn_id = next(iter(stream)).data["turn_id"]
        stream.until("tool")
        cancel(served, turn_id)
        reply = stream.until("reply")[-1].data

    assert reply["stop_reason"] == "cancelled"
    assert pairs_are_valid(served)
    assert served.say("Hello?").status_code == 200


def test_a_retry_strategy_of_the_agent_s_own_is_not_waited_for(serve: Serve) -> None:
    throttled_once = threading.Event()

    class Noting(ModelRetryStrategy):
        def is_retryable(self, exception: Exception) -> bool:
            throttled_once.set()
            return super().is_retryable(exception)

    def build(session_manager: Any, settings: Any) -> Any:
        agent = agent_with()(session_manager, settings)
        agent.hooks.add_hook(Noting(initial_delay=60))
        return agent

    served = serve(throttled(), otherwise="Hello.", build_agent=build)

    with served.telling("Hi") as stream:
        turn_id = next(iter(stream)).data["turn_id"]
        assert throttled_once.wait(10)
        began = time.monotonic()
        cancel(served, turn_id)
        reply = stream.until("reply")[-1].data
        took = time.monotonic() - began

    assert took < SOON_SECONDS
    assert (reply["stop_reason"], text_of(reply["message"])) == (
        "cancelled",
        "(This turn was cancelled before there was an answer.)",
    )
    assert served.say("Hello?").json()["stop_reason"] == "end_turn"
    assert [line.partition(":")[0] for line in served.said()] == ["user", "assistant"] * 2


def test_a_retry_strategy_of_the_agent_s_own_is_waited_for_in_a_turn_that_goes_on(serve: Serve) -> None:
    def build(session_manager: Any, settings: Any) -> Any:
        agent = agent_with()(session_manager, settings)
        agent.hooks.add_hook(ModelRetryStrategy(initial_delay=1))
        return agent

    served = serve(throttled(), "Hello.", build_agent=build)

    assert text_of(served.say("Hi").json()["message"]) == "Hello."


def test_a_turn_that_is_over_cannot_be_cancelled(serve: Serve) -> None:
    served = serve("Hello.")
    turn_id = served.say("Hi").json()["turn_id"]

    answer = served.request("DELETE", f"/sessions/chat/turns/{turn_id}")

    assert (answer.status_code, problem_of(answer)) == (409, "turn-over")


def test_a_request_that_was_cancelled_gets_the_same_reply_again(serve: Serve) -> None:
    served = serve(["One ", Pause(30)])
    with served.telling("Count", idempotency_key="one") as stream:
        turn_id = stream.until("text")[0].data["turn_id"]
        cancel(served, turn_id)
        reply = stream.until("reply")[-1].data

    assert served.say("Count", idempotency_key="one").json() == reply
    assert len(served.model.requests) == 1


def test_the_next_turn_is_not_cancelled_by_an_old_note_and_the_session_s_end_takes_it_along(
    serve: Serve, tmp_path: Path
) -> None:
    served = serve(["One ", Pause(30)], ["Two ", Pause(1.5), "three."])
    with served.telling("Count") as stream:
        cancel(served, stream.until("text")[0].data["turn_id"])
        stream.until("reply")
    notes = list(tmp_path.rglob("cancel.json"))

    assert told_text(served.tell("Count on")) == "Two three."
    assert len(notes) == 1
    assert served.request("DELETE", "/sessions/chat").status_code == 204
    assert not list(tmp_path.rglob("cancel.json"))


def test_another_process_cancels_through_the_storage(serve: Serve, tmp_path: Path) -> None:
    with S3Server(buckets=["sessions"]) as s3:
        store = {"SESSION_STORE": "s3://sessions/p", "AWS_ENDPOINT_URL_S3": s3.url}
        served = serve(["One ", Pause(30)], **store)
        other = Running(
            start(
                tmp_path,
                {
                    "STORE": "s3://sessions/p",
                    "AWS_ENDPOINT_URL_S3": s3.url,
                    "AWS_REGION": "us-east-1",
                    "AWS_ACCESS_KEY_ID": "any",
                    "AWS_SECRET_ACCESS_KEY": "any",
                },
            )
        )
        try:
            with served.telling("Count") as stream:
                turn_id = stream.until("text")[0].data["turn_id"]
                cancel(Served(other.url, None, None), turn_id)  # type: ignore[arg-type]
                asked_at = time.monotonic()
                reply = stream.until("reply")[-1].data
        finally:
            other.process.kill()
            other.process.wait()

    assert time.monotonic() - asked_at < SOON_SECONDS
    assert (reply["stop_reason"], text_of(reply["message"])) == ("cancelled", "One ")


def test_a_follower_sees_the_turn_end_as_cancelled(serve: Serve) -> None:
    served = serve(["One ", Pause(30)])
    with served.telling("Count") as stream:
        turn_id = stream.until("text")[0].data["turn_id"]
        with served.open("GET", f"/sessions/chat/turns/{turn_id}") as follower:
            assert next(iter(follower)).name == "turn"
            cancel(served, turn_id)
            followed = list(follower)
        reply = stream.until("reply")[-1].data

    assert names(followed) == ["message", "reply"]
    assert followed[-1].data == reply
    assert reply["stop_reason"] == "cancelled"


def test_a_buffered_turn_is_cancelled_like_a_streamed_one(serve: Serve) -> None:
    from concurrent.futures import ThreadPoolExecutor

    served = serve(["One ", Pause(30)])
    with ThreadPoolExecutor(1) as pool:
        buffered = pool.submit(lambda: served.say("Count", idempotency_key="one"))
        with served.open(
            "POST", "/sessions/chat/messages", {"prompt": "Count"}, idempotency_key="one", accept=EVENTS
        ) as follower:
            turn = next((event.data for event in follower), None)
        if turn is None:
            pytest.fail("nothing to follow")
        cancel(served, turn["turn_id"])
        reply = buffered.result(10).json()

    assert reply["stop_reason"] == "cancelled"
