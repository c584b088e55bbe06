"""``python -m bench.bounds``: what each route costs where there is much of everything, beside what it may cost.

The function's handler runs in this process, S3's stand-in in one of its own. Sessions are put there as they lie in
storage; each case has a caller, and so a part of the store, of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from itertools import chain, islice
from statistics import median
from typing import TYPE_CHECKING, Any, cast

from agent_sessions.owner import owner_prefix
from bench.bounds_report import Measured, markdown
from bench.conversation import AGENT_ID, InstantModel, build_agent
from bench.publish import publish, say
from bench.run import head
from bench.stand_in import StandIn
from tests.bounds.stored import BEGIN as NOW
from tests.bounds.stored import DAY, marker_object, session_objects
from tests.doubles.s3_server import S3_LATENCY
from tests.endpoint.function import Caller, Context, http_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from strands import Agent

    from agent_sessions.session_manager import SessionManager
    from lambda_src.settings import Settings

BEGIN, END = "<!-- bounds: written by make bench-bounds -->", "<!-- end of bounds -->"
BUCKET = "bounds"
TTL_DAYS = 30
FUNCTION_SECONDS = 60.0
PUT_AT_ONCE = 2_000
WINDOW = 40


@dataclass(frozen=True)
class Size:
    """How much of everything.

    Attributes:
        messages: In a long session.
        living: Sessions that live.
        expired: Sessions that have expired, before them in the order of the ids.
        repeat: How often each case is measured.
    """

    messages: int = 20_000
    living: int = 1_000
    expired: int = 4_000
    repeat: int = 3


QUICK = Size(messages=1_200, living=20, expired=60, repeat=1)
"""Whether everything runs; no number of it means anything."""


@dataclass(frozen=True)
class Case:
    """A request to measure.

    Attributes:
        route: Which route.
        where: On what.
        put: Puts the sessions there, given the size; yields batches with their age in days.
        method: The request's method.
        path: The request's path.
        query: Its query.
        body: Its body.
        prepare: Requests to send before, by method and path.
        most_requests: What it may cost, given the size.
        most_seconds: What it may take.
        window: How many messages the agent's conversation manager keeps; ``None`` for all.
    """

    route: str
    where: str
    put: Callable[[Size], Iterator[tuple[float, Iterable[tuple[str, bytes]]]]]
    path: str
    most_requests: Callable[[Size], int]
    method: str = "GET"
    query: dict[str, Any] | None = None
    body: Any = None
    prepare: tuple[tuple[str, str, float], ...] = ()
    most_seconds: float = 10.0
    window: int | None = None


def _many(size: Size) -> Iterator[tuple[float, Iterable[tuple[str, bytes]]]]:
    for number in range(size.expired):
        yield TTL_DAYS + 5, session_objects(f"a{number:05}")
    yield from _living(size)


def _living(size: Size) -> Iterator[tuple[float, Iterable[tuple[str, bytes]]]]:
    for number in range(size.living):
        yield 0, session_objects(f"z{number:05}")


def _recent(size: Size) -> Iterator[tuple[float, Iterable[tuple[str, bytes]]]]:
    for number in range(10 * size.living):
        session_id = f"r{number:05}"
        yield 0, chain(session_objects(session_id), [marker_object(session_id, NOW)])


def _mixed(size: Size) -> Iterator[tuple[float, Iterable[tuple[str, bytes]]]]:
    for number in range(size.living + size.expired):
        age = TTL_DAYS + 5 if number % 5 else 0
        yield age, session_objects(f"s{number:05}")


def _long(size: Size) -> Iterator[tuple[float, Iterable[tuple[str, bytes]]]]:
    yield 0, session_objects("long", messages=size.messages, agent_ids=[AGENT_ID])


def _of_strands(size: Size) -> Iterator[tuple[float, Iterable[tuple[str, bytes]]]]:
    yield 0, session_objects("long", messages=size.messages, agent_ids=[AGENT_ID], life=None)


def _of_strands_with_window(size: Size) -> Iterator[tuple[float, Iterable[tuple[str, bytes]]]]:
    yield 0, session_objects("long", messages=size.messages, agent_ids=[AGENT_ID], life=None, window=WINDOW)


def _expired_long(size: Size) -> Iterator[tuple[float, Iterable[tuple[str, bytes]]]]:
    yield TTL_DAYS + 5, session_objects("long", messages=size.messages, agent_ids=[AGENT_ID])


def _nothing(_: Size) -> Iterator[tuple[float, Iterable[tuple[str, bytes]]]]:
    return iter(())


def _a_first_turn(size: Size) -> int:
    """The requests of a turn that takes a session of Strands' over, a listing of how old its objects are included."""
    return 4 * WINDOW + 240 + 2 * (size.messages // 1_000 + 2)


def _a_step(size: Size) -> int:
    """The requests of an erasure: three for each thousand objects, and a few to close and to open the place."""
    return 3 * (size.messages // 1_000 + 2) + 8


LONG, MESSAGES = "/sessions/long", "/sessions/long/messages"
_listing = "GET /sessions"
_reading = "GET …/messages"
PROMPT = {"prompt": "What is the state of order 1?"}

CASES: tuple[Case, ...] = (
    Case("GET /health", "", _nothing, "/health", lambda _: 0),
    Case("GET /openapi.json", "", _nothing, "/openapi.json", lambda _: 0),
    Case(_listing, "limit=1, what expired comes first", _many, "/sessions", lambda _: 12_000, query={"limit": 1}),
    Case(_listing, "limit=100, what expired comes first", _many, "/sessions", lambda _: 12_000, query={"limit": 100}),
    Case(_listing, "limit=1000, all living", _living, "/sessions", lambda s: s.living + 5, query={"limit": 1_000}),
    Case(_listing, "limit=100, every fifth lives", _mixed, "/sessions", lambda _: 12_000, query={"limit": 100}),
    Case(
        _listing,
        "order=recent, limit=50 of ten times as many, all of one day",
        _recent,
        "/sessions",
        lambda _: 1 + 3 * 51,
        query={"order": "recent", "limit": 50},
    ),
    Case("GET /sessions/{id}", "a long session", _long, LONG, lambda _: 15),
    Case("GET /sessions/{id}", "a long session that only Strands wrote", _of_strands, LONG, lambda _: 210),
    Case(_reading, "the first 100", _long, MESSAGES, lambda _: 104),
    Case(_reading, "100 from the middle", _long, MESSAGES, lambda _: 104, query={"cursor": "middle"}),
    Case(_reading, "the last 100", _long, MESSAGES, lambda _: 304, query={"cursor": "end"}),
    Case(_reading, "the last 100, only Strands wrote", _of_strands, MESSAGES, lambda _: 304, query={"cursor": "end"}),
    Case(
        _reading, "1,000 from the middle", _long, MESSAGES, lambda _: 1_004, query={"cursor": "middle", "limit": 1_000}
    ),
    Case("DELETE /sessions/{id}", "a long session", _long, LONG, _a_step, method="DELETE", most_seconds=20),
    Case(
        "DELETE /sessions/{id}",
        "what is left of it",
        _long,
        LONG,
        _a_step,
        method="DELETE",
        prepare=(("DELETE", LONG, 5.0),),
        most_seconds=20,
    ),
    Case(
        "POST …/messages",
        "a long session was here, and has expired",
        _expired_long,
        MESSAGES,
        lambda size: _a_step(size) + 240,
        method="POST",
        body=PROMPT,
        most_seconds=FUNCTION_SECONDS,
    ),
    Case(
        "POST …/messages",
        "the first turn of a long session that only Strands wrote, whose agent has a window of 40",
        _of_strands_with_window,
        MESSAGES,
        _a_first_turn,
        method="POST",
        body=PROMPT,
        most_seconds=10,
        window=WINDOW,
    ),
    Case(
        "POST …/messages",
        "the same without a window: taken over in pieces",
        _of_strands,
        MESSAGES,
        lambda size: size.messages + 300,
        method="POST",
        body=PROMPT,
        most_seconds=FUNCTION_SECONDS,
    ),
)


@dataclass
class RunningContext(Context):
    """The context of an invocation whose time runs, as Lambda's does."""

    def __post_init__(self) -> None:
        """The invocation begins."""
        self._began = time.monotonic()

    def get_remaining_time_in_millis(self) -> int:
        """What is left of the function's time."""
        return round((self.remaining_seconds - (time.monotonic() - self._began)) * 1000)


class Function:
    """The function's handler, on the stand-in."""

    def __init__(self, stand_in: StandIn) -> None:
        os.environ |= {
            "AWS_ACCESS_KEY_ID": "stand-in",
            "AWS_SECRET_ACCESS_KEY": "stand-in",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": stand_in.url,
            "SESSION_STORE": f"s3://{BUCKET}",
            "SESSION_TTL_DAYS": str(TTL_DAYS),
            "AGENT_ID": AGENT_ID,
            "POWERTOOLS_LOG_LEVEL": "CRITICAL",
        }
        # Only now: the settings are read when it is imported.
        from lambda_src import agent, handler

        self._handler = handler
        agent.build_agent = self._build_agent
        self.window: int | None = None
        """How many messages the agent's conversation manager keeps."""

    def ask(self, caller: Caller, method: str, path: str, seconds: float = FUNCTION_SECONDS, **event: Any) -> Any:
        """Send a request as the Function URL would."""
        context: Any = RunningContext(remaining_seconds=seconds, aws_request_id=str(uuid.uuid4()))
        return self._handler.lambda_handler(http_event(method, path, caller=caller, **event), context)

    def _build_agent(self, session_manager: SessionManager, settings: Settings) -> Agent:  # noqa: ARG002  # as users' own
        """Stand in for the agent that a user would have written."""
        return build_agent(cast("Any", session_manager), InstantModel(), window=self.window)


def measure(size: Size, tell: Callable[[str], None]) -> list[Measured]:
    """Measure every case."""
    with StandIn() as stand_in:
        stand_in.client().create_bucket(Bucket=BUCKET)
        stand_in.set_clock(NOW)
        function = Function(stand_in)
        function.ask(Caller("AROAWARM"), "POST", "/sessions/warm/messages", body=PROMPT)
        found = []
        for number, case in enumerate(CASES):
            tell(f"{case.route}, {case.where}")
            found.append(_measured(stand_in, function, case, number, size))
        return found


def _measured(stand_in: StandIn, function: Function, case: Case, number: int, size: Size) -> Measured:
    seconds, requests, answer = [], Counter[str](), ""
    function.window = case.window
    for repetition in range(size.repeat):
        caller = Caller(f"AROA{number:03}{repetition:03}")
        _fill(stand_in, caller, case, size)
        for method, path, within in case.prepare:
            function.ask(caller, method, path, within)
        stand_in.set_latency(S3_LATENCY)
        stand_in.take_log()
        start = time.monotonic()
        response = function.ask(caller, case.method, case.path, body=case.body, query=_query(case, size))
        seconds.append(time.monotonic() - start)
        stand_in.set_latency({})
        requests = Counter(entry.verb for entry in stand_in.take_log())
        answer = _answer(response)
    return Measured(
        case.route,
        case.where,
        dict(requests),
        median(seconds),
        answer,
        most_requests=case.most_requests(size),
        most_seconds=case.most_seconds,
    )


def _query(case: Case, size: Size) -> dict[str, Any]:
    where = {"middle": size.messages // 2, "end": size.messages - 100}
    return {name: str(where.get(value, value)) for name, value in (case.query or {}).items()}


def _fill(stand_in: StandIn, caller: Caller, case: Case, size: Size) -> None:
    prefix = owner_prefix(caller.account, caller.unique_id)
    for age, objects in _batches(case.put(size)):
        stand_in.set_clock(NOW - age * DAY)
        stand_in.put_objects(BUCKET, {f"{prefix}/{key}": body for key, body in objects})
    stand_in.set_clock(NOW)


def _batches(
    sessions: Iterator[tuple[float, Iterable[tuple[str, bytes]]]],
) -> Iterator[tuple[float, list[tuple[str, bytes]]]]:
    """The objects of sessions by their age, some thousands at a time."""
    waiting: dict[float, list[tuple[str, bytes]]] = {}
    for age, objects in sessions:
        rest = iter(objects)
        while part := list(islice(rest, PUT_AT_ONCE)):
            batch = waiting.setdefault(age, [])
            batch += part
            if len(batch) >= PUT_AT_ONCE:
                yield age, waiting.pop(age)
    yield from waiting.items()


def _answer(response: dict[str, Any]) -> str:
    """What the caller gets, in a few words."""
    body = json.loads(response["body"]) if response.get("body") else {}
    status = str(response["statusCode"])
    if "session_ids" in body:
        more = ", and a cursor" if body["next_cursor"] else ""
        return f"{status}, {len(body['session_ids']):,} sessions{more}"
    if "messages" in body:
        return f"{status}, {len(body['messages']):,} messages"
    if "agents" in body:
        return f"{status}, {sum(agent['message_count'] for agent in body['agents']):,} messages counted"
    if "erased_objects" in body:
        return f"{status}, {body['erased_objects']:,} erased"
    return status


def main(arguments: list[str] | None = None) -> None:
    """Measure, and say it; with ``--publish`` in docs/BENCHMARKS.md too."""
    parser = argparse.ArgumentParser(prog="python -m bench.bounds", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only show that everything runs; the numbers mean nothing")
    parser.add_argument("--publish", action="store_true", help="also update docs/BENCHMARKS.md")
    options = parser.parse_args(arguments)
    size = QUICK if options.quick else Size()
    found = measure(size, lambda text: say(sys.stderr, text))
    report = markdown(found, head(), messages=size.messages, living=size.living, expired=size.expired)
    say(sys.stdout, report)
    if options.publish:
        publish(report, BEGIN, END)
    if not all(case.is_bounded for case in found):
        raise SystemExit("some requests cost more than they may")


if __name__ == "__main__":
    main()
