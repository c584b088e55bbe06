"""A process is killed at each write of a turn while others follow the turn, and cancel it."""

import itertools
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from agent_sessions.exceptions import SessionException
from lambda_src.answers.errors import EndpointError
from lambda_src.contract import TurnBody
from lambda_src.turns.turn_events import MessageStored
from tests.concurrency.callers import endpoint_of
from tests.concurrency.killing import BATCH, EVERYTHING, Bucket, Folder, Job, Report, batches
from tests.concurrency.reference import is_prefix, stored_in, whole_turn


def follow_to_the_end(job: Job, seen: list[int], over: threading.Event) -> str | None:
    """Find a turn as another process does, and follow it. Returns how it ended; ``None`` if nothing is stored."""
    endpoint = endpoint_of(job)
    body = TurnBody.model_validate({"prompt": job["prompts"][0]})
    turn = None
    while turn is None:
        was_over = over.is_set()
        turn = endpoint.turn_of_request("owner", job["session_id"], body, job["key"])
        if turn is None and was_over:
            return None
        time.sleep(0.2)

    def watch(event: Any) -> None:
        if isinstance(event, MessageStored):
            seen.append(event.message_id)

    try:
        return str(turn.follow(watch)["stop_reason"])
    except EndpointError as error:
        return error.slug


def cancel_soon(job: Job, over: threading.Event) -> None:
    """Ask for the turn's end when it has begun. The request may fail with the caller it meets at the storage."""
    endpoint = endpoint_of(job)
    body = TurnBody.model_validate({"prompt": job["prompts"][0]})
    while not over.is_set():
        turn = endpoint.turn_of_request("owner", job["session_id"], body, job["key"])
        if turn is not None:
            with suppress(SessionException):
                endpoint.store("owner").ask_to_cancel(job["session_id"], turn.agent_id, turn.turn_id)
            return
        time.sleep(0.2)


@pytest.mark.parametrize("cancelled", [False, True], ids=["followed", "followed and cancelled"])
def test_whoever_follows_a_turn_that_dies_sees_what_is_stored_and_then_how_it_ended(
    place: Bucket | Folder, cancelled: bool, report: Report
) -> None:
    expected = whole_turn("prompt 1", "tools")
    tried, endings, ids = 0, Counter[str | None](), itertools.count()
    points = place.points()[:: 1 if EVERYTHING else 2 if isinstance(place, Bucket) else 3]
    for batch in batches(points):
        common: Job = {**place.place, "kind": "tools", "key": "request-1", "prompts": ["prompt 1"]}
        jobs: list[Job] = [{**common, "session_id": f"s{next(ids)}", "think_seconds": 0.4} for _ in batch]
        seen: list[list[int]] = [[] for _ in jobs]
        over = threading.Event()

        with ThreadPoolExecutor(2 * BATCH) as others:
            followers = [others.submit(follow_to_the_end, *each, over) for each in zip(jobs, seen, strict=True)]
            cancellers = [others.submit(cancel_soon, job, over) for job in jobs if cancelled]
            died = place.crash(jobs, batch)
            over.set()
            for canceller in cancellers:
                canceller.result()
            ended = [follower.result() for follower in followers]
        objects = place.objects()
        durable = [stored_in(objects, job["session_id"]) for job in jobs]
        # A last message that only its copy in the agent's record tells of is stored by whoever comes next.
        written = [
            sum(f"session_{job['session_id']}/agents/agent_default/messages/" in key for key in objects) for job in jobs
        ]
        again = place.zygote.run([{**job, "think_seconds": 0} for job in jobs])

        for job, dead, told, end, kept, count, result in zip(
            jobs, died, seen, ended, durable, written, again, strict=True
        ):
            assert told == list(range(len(told))), f"{job}: not in order, or not once: {told}"
            assert len(told) <= count, f"{job}: {told} of {kept}"
            assert is_prefix(kept, expected) or cancelled, f"{job}: not what the turn wrote: {kept}"
            assert (end is None) <= (not told), f"{job}: {end}"
            assert dead or end in {"end_turn", "cancelled"}, f"{job}: {end}"
            assert end is None or len(told) == count, f"{job}: {told} of {kept}, {end}"
            assert result is not None
            assert "reply" in result["turns"][0], f"{job}: {result}"
            roles = [role for role, _ in stored_in(place.objects(), job["session_id"])]
            assert all(role != following for role, following in itertools.pairwise(roles)), f"{job}: {roles}"
            endings[end] += 1
            tried += dead
        if not all(died) and isinstance(place, Folder):
            break
    assert tried > len(expected)
    assert endings["turn-cut-off"] > 0
    name = f"{place.name}, followed{' and cancelled' if cancelled else ''}: "
    report(f"{name}points tried", tried)
    report(f"{name}turns of which followers saw too much, too little or the wrong order", 0)
