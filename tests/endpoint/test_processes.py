"""One process: several requests at once, and waking up from a snapshot."""

import random
import sys
import threading
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.doubles.script import Request
from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import Caller, Context, Function, text_of

Scripted = Callable[..., tuple[Function, ScriptedModel]]


def test_requests_at_the_same_time_do_not_mix(scripted: Scripted) -> None:
    # given callers whose requests have all arrived before the first of them is read, and who all reach the model
    # before the first of them gets an answer
    callers = [Caller(f"AROA{number}") for number in range(8)]
    together = threading.Barrier(len(callers))

    def echo(request: Request) -> str:
        together.wait(timeout=30)
        return f"You said: {request.texts[-1]}"

    function, _ = scripted(otherwise=echo)
    function.cold_start()
    router = function.module.router
    arrive = router._to_proxy_event

    def arrive_together(event: Any) -> Any:
        together.wait(timeout=30)
        return arrive(event)

    router._to_proxy_event = arrive_together

    def say(number: int, words: str) -> Any:
        context = Context(aws_request_id=f"request-{number}")
        return function.reply(words, f"session-{number}", caller=callers[number], context=context)

    with ThreadPoolExecutor(len(callers)) as pool:
        first = list(pool.map(lambda number: say(number, f"first {number}"), range(len(callers))))
        second = list(pool.map(lambda number: say(number, f"second {number}"), range(len(callers))))

    for number in range(len(callers)):
        assert text_of(first[number]) == f"You said: first {number}"
        assert text_of(second[number]) == f"You said: second {number}"
        assert second[number]["session_id"] == f"session-{number}"
        assert second[number]["restored_messages"] == 2

    router._to_proxy_event = arrive
    for number, caller in enumerate(callers):
        listed = function.http("GET", "/sessions", caller=caller).json["session_ids"]
        assert listed == [f"session-{number}"]


def test_first_requests_at_the_same_time_are_all_answered(scripted: Scripted) -> None:
    function, _ = scripted(otherwise="Hello.")
    function.cold_start()

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda number: function.http("GET", f"/sessions/none-{number}").status, range(32)))

    assert statuses == [404] * 32


class TestSnapStart:
    @pytest.fixture
    def hooks(self, monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
        """The runtime's registry, which in Lambda it calls around a snapshot."""
        module: Any = types.ModuleType("snapshot_restore_py")
        registered = types.SimpleNamespace(before=[], after=[])
        module.register_before_snapshot = registered.before.append
        module.register_after_restore = registered.after.append
        monkeypatch.setitem(sys.modules, "snapshot_restore_py", module)
        return registered

    def test_work_that_every_process_would_repeat_is_done_before_the_snapshot(
        self, hooks: types.SimpleNamespace, s3_store: dict[str, str]
    ) -> None:
        function = Function({**CREDENTIALS, **s3_store})
        function.cold_start()

        for hook in hooks.before:
            hook()

        assert "lambda_src.agent" in sys.modules
        assert function.module.endpoint._store is not None
        assert function.part("models.providers")._bedrock.cache_info().currsize == 1

    def test_a_restored_process_shares_neither_connections_nor_chance(
        self, hooks: types.SimpleNamespace, s3_store: dict[str, str]
    ) -> None:
        function = Function({**CREDENTIALS, **s3_store})
        function.cold_start()
        for hook in hooks.before:
            hook()
        session, store = function.part("runtime.aws").boto_session(), function.module.endpoint._store
        random.seed(17)
        frozen = random.getstate()

        for hook in hooks.after:
            hook()

        assert random.getstate() != frozen
        assert function.part("runtime.aws").boto_session() is not session
        assert function.part("models.providers")._bedrock.cache_info().currsize == 0
        assert function.http("GET", "/sessions").json["session_ids"] == []
        assert function.module.endpoint._store is not store

    def test_without_the_runtime_s_hooks_the_function_starts_too(
        self, monkeypatch: pytest.MonkeyPatch, scripted: Scripted
    ) -> None:
        monkeypatch.setitem(sys.modules, "snapshot_restore_py", None)
        function, _ = scripted("Hello.")

        assert text_of(function.reply("Hi")) == "Hello."


def test_requests_to_s3_say_who_sends_them_from_where(s3_store: dict[str, str]) -> None:
    function = Function({**CREDENTIALS, **s3_store, "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13"})
    function.cold_start()
    function.http("GET", "/sessions")
    said: list[str] = []

    def note(request: Any, **_: Any) -> None:
        said.append(request.headers["User-Agent"].decode())

    function.module.endpoint._store.objects.client.meta.events.register("before-send.s3", note)

    function.http("GET", "/sessions")
    function.http("GET", "/sessions")

    first, *others = said
    assert set(others) == {first}
    assert first.startswith("Boto3/")
    assert "exec-env/AWS_Lambda_python3.13" in first
    assert first.count("Botocore/") == 1
    assert "strands-agents" in first
