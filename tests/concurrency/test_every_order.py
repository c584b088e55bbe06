"""The search for an order that breaks a promise: it finds one, it leaves none out; and a part of it, by a seed.

All of it is ``make verify``.
"""

import contextlib
import os
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from agent_sessions._life.session_age import SessionAge
from agent_sessions._life.session_life import SessionLife
from agent_sessions.object_store import Absent, PreconditionFailedError, StoredObject, Unchanged
from agent_sessions.repository_session_manager import RepositorySessionManager
from agent_sessions.types import Session, SessionType
from tests.concurrency import verify
from tests.concurrency.every_order import ChosenMachine, ObservedObjects, Orders, SeenBeforeError
from tests.concurrency.test_interleavings import Turn
from tests.conftest import TOTAL

RUNS = int(os.environ.get("AGENT_SESSIONS_RUNS", "40"))
SEED = int(os.environ.get("AGENT_SESSIONS_SEED", "0"))


def ends_of(
    *callers: Callable[[ObservedObjects], object], deaths: int = 0, alike: bool = False
) -> tuple[set[tuple[str, ...]], Orders]:
    """What the storage holds at the end of each order of what these callers do."""
    orders, ends = Orders(), set()
    while orders.untried:
        machine = ChosenMachine(orders.untried.pop(), orders, deaths=deaths, alike=alike)
        objects = ObservedObjects(machine)
        for number, caller in enumerate(callers):
            machine.start("ab"[number], lambda caller=caller, objects=objects: caller(objects))  # type: ignore[misc]
        with contextlib.suppress(SeenBeforeError):
            machine.run()
        if machine.ended:
            ends.add(tuple(sorted(f"{key}={body.decode()}" for key, (body, _) in objects.bodies.items())))
    return ends, orders


def create(key: str, body: str) -> Callable[[ObservedObjects], object]:
    def caller(objects: ObservedObjects) -> None:
        with contextlib.suppress(PreconditionFailedError):
            objects.put(key, body.encode(), Absent())

    return caller


def count(name: str, *, reads_again: bool) -> Callable[[ObservedObjects], object]:
    """Read a number and store one more. Who is refused tries again, with what it read first or with what is there."""

    def caller(objects: ObservedObjects) -> None:
        found = objects.get("count")
        number = 0 if found is None else int(found.body.split()[0])
        while True:
            try:
                body = f"{number + 1} by {name}".encode()
                objects.put("count", body, Absent() if found is None else Unchanged(found.etag))
            except PreconditionFailedError:
                found = objects.get("count")
                number = int(found.body.split()[0]) if reads_again and found is not None else number
            else:
                return

    return caller


def test_an_order_that_loses_an_update_is_found() -> None:
    careful, _ = ends_of(count("a", reads_again=True), count("b", reads_again=True))
    careless, _ = ends_of(count("a", reads_again=False), count("b", reads_again=False))

    assert careful == {("count=2 by a",), ("count=2 by b",)}
    assert careless == careful | {("count=1 by a",), ("count=1 by b",)}


def test_one_death_at_every_point_ends_in_everything_that_may_be_left() -> None:
    def two_writes(objects: ObservedObjects) -> None:
        objects.put("first", b"1", Absent())
        objects.put("second", b"2", Absent())

    alive, _ = ends_of(two_writes)
    dying, orders = ends_of(two_writes, deaths=1)

    assert alive == {("first=1", "second=2")}
    assert dying == {(), ("first=1",), ("first=1", "second=2")}
    assert orders.deaths > 0


def test_a_write_that_was_under_way_when_its_sender_died_arrives_at_any_time() -> None:
    def write_then_look(objects: ObservedObjects) -> None:
        found = objects.get("a")
        objects.put("seen", b"nothing" if found is None else found.body, Absent())

    ends, _ = ends_of(create("a", "1"), write_then_look, deaths=1)

    assert ("a=1", "seen=nothing") in ends  # late, behind the look
    assert ("a=1", "seen=1") in ends
    assert ("seen=nothing",) in ends  # lost


def mirrored(end: tuple[str, ...]) -> tuple[str, ...]:
    """The same end with the names of two callers exchanged."""
    names = str.maketrans("ab", "ba")
    return tuple(sorted(re.sub(r"\b[ab]\b", lambda name: name[0].translate(names), text) for text in end))


def test_leaving_out_what_makes_no_difference_loses_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers with a read beside their first thread, in all orders and in those that the search takes."""

    def caller(name: str) -> Callable[[ObservedObjects], None]:
        def run(objects: ObservedObjects) -> None:
            beside = objects.executor.submit(objects.get, "shared")
            mine = objects.get(f"of {name}")
            with contextlib.suppress(PreconditionFailedError):
                objects.put("shared", name.encode(), Absent() if mine is None else Unchanged(mine.etag))
            found = beside.result()
            objects.put(f"seen by {name}", b"nothing" if found is None else found.body, Absent())

        return run

    some, reduced = ends_of(caller("a"), caller("b"), deaths=1, alike=True)
    monkeypatch.setattr(ChosenMachine, "_matters_now", lambda *_: True)
    every, whole = ends_of(caller("a"), caller("b"), deaths=1)

    # The callers are alike, so the first of them always asked first.
    assert some | {mirrored(end) for end in some} == every
    assert reduced.runs < whole.runs


@pytest.mark.parametrize("case", verify.CASES, ids=str)
def test_in_a_part_of_all_orders_nothing_is_lost_mixed_or_shown_too_early(
    case: verify.Case, record_property: Callable[[str, object], None]
) -> None:
    orders, effects = verify.verify(case, runs=RUNS, seed=SEED)

    assert orders.deaths > 0
    assert effects > 0
    for what, value in (("runs", orders.runs), ("states", orders.states), ("with a death", orders.deaths)):
        record_property(f"{TOTAL}every order: {what}", value)


def test_an_effect_before_its_fence_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that shows its prompt before it is stored does not come through."""
    say = verify.WatchedWorld.say

    def show_and_say(world: verify.WatchedWorld, turn: Turn, *rest: Any) -> None:
        world.show(turn)
        say(world, turn, *rest)

    monkeypatch.setattr(verify.WatchedWorld, "say", show_and_say)

    with pytest.raises(AssertionError, match="has an effect before its first message is stored"):
        verify.verify(verify.CASES[0], runs=3)


def test_an_effect_while_the_fence_is_on_its_way_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller with ``fence="effects"`` that shows words without asking the manager does not come through."""
    effects = next(case for case in verify.CASES if case.mode == "effects")
    monkeypatch.setattr(RepositorySessionManager, "awaits_fence", lambda *_: False)

    with pytest.raises(AssertionError, match="has an effect before its first message is stored"):
        verify.verify(effects, runs=30)


def test_a_turn_that_does_not_ask_whether_its_session_lives_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that goes on with what it read beside the lease, whatever has become of the session since."""
    erased = next(case for case in verify.CASES if case.erases and case.ahead and case.mode == "effects")

    def believe(life: SessionLife, session_id: str, seen: StoredObject) -> Session:
        life._ages[session_id] = SessionAge(seen.last_modified, seen.last_modified, seen.read_at)
        return Session(session_id=session_id, session_type=SessionType.AGENT)

    monkeypatch.setattr(SessionLife, "find_life", believe)

    with pytest.raises(AssertionError, match="has an effect behind"):
        verify.verify(replace(erased, deaths=0), runs=4000)
