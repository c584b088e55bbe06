"""The search for an order that breaks a promise: it finds one, it leaves none out; and a part of it, by a seed.

All of it is ``make verify``.
"""

import contextlib
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest

from agent_sessions._life.session_age import SessionAge
from agent_sessions._life.session_life import SessionLife
from agent_sessions.object_store import Absent, PreconditionFailedError, StoredObject, Unchanged
from agent_sessions.repository_session_manager import RepositorySessionManager
from agent_sessions.types import Session, SessionType
from tests.concurrency import verify
from tests.concurrency.every_order import EveryOrder
from tests.concurrency.greenlets import Death, GreenletMachine, Observed
from tests.concurrency.test_interleavings import Turn
from tests.concurrency.together import Together
from tests.concurrency.watched_orders import Case, WatchedWorld
from tests.conftest import TOTAL

RUNS = int(os.environ.get("AGENT_SESSIONS_RUNS", "40"))
SEED = int(os.environ.get("AGENT_SESSIONS_SEED", "0"))

Caller = Callable[[Observed, list[str]], object]
"""What a process does with the storage; what it notes is what is left of it."""

Ends = set[tuple[tuple[str, ...], ...]]


@dataclass
class Small:
    """A few processes with little to do."""

    callers: Sequence[Caller]
    machine: GreenletMachine
    objects: Observed
    notes: dict[str, list[str]] = field(default_factory=dict)

    def work(self) -> dict[str, Callable[[], object]]:
        return {name: partial(self._run, name, caller) for name, caller in zip("abc", self.callers, strict=False)}

    def _run(self, name: str, caller: Caller) -> None:
        caller(self.objects, self.notes.setdefault(name, []))

    def outcome(self) -> Sequence[object]:
        return [(name, *notes) for name, notes in sorted(self.notes.items())]

    def check(self) -> None:
        """Nothing is promised."""


def as_end(outcomes: tuple[str, ...], bodies: dict[str, Any]) -> tuple[tuple[str, ...], ...]:
    return outcomes, tuple(sorted(f"{key}={body.decode()}" for key, (body, _) in bodies.items()))


def ends_of(*callers: Caller, deaths: int = 0, delays: int = 0) -> tuple[Ends, EveryOrder]:
    """What is left of these callers at the end of each order, by the search."""
    orders = EveryOrder(partial(Small, callers), tuple("abc"[: len(callers)]), {}, deaths=deaths, delays=delays)
    orders.explore()
    return {as_end(end.outcomes, orders.stored_at(end)) for end in orders.ends}, orders


def all_ends_of(*callers: Caller, deaths: int = 0, delays: int = 0) -> tuple[Ends, int]:
    """The same by brute force: each order is run from its beginning, and no two count as one."""
    ends: Ends = set()
    runs, untried = 0, [[0]]
    while untried:
        plan, runs = untried.pop(), runs + 1
        together = Together(partial(Small, callers), {}, deaths=deaths, delays=delays)
        step = 0
        while choices := together.choices():
            if step == len(plan):
                plan.append(0)
            if step == len(plan) - 1 and plan[step] + 1 < len(choices):
                untried.append([*plan[:step], plan[step] + 1])
            together.take(choices[plan[step]])
            step += 1
        ends.add(as_end(*together.end()))
    return ends, runs


def stored(ends: Ends) -> set[tuple[str, ...]]:
    return {end[1] for end in ends}


def create(key: str, body: str) -> Caller:
    def caller(objects: Observed, notes: list[str]) -> None:
        try:
            objects.put(key, body.encode(), Absent())
        except PreconditionFailedError:
            notes.append("refused")

    return caller


def look(key: str) -> Caller:
    def caller(objects: Observed, notes: list[str]) -> None:
        found = objects.get(key)
        notes.append("nothing" if found is None else found.body.decode())

    return caller


def one_after_the_other(*callers: Caller) -> Caller:
    def caller(objects: Observed, notes: list[str]) -> None:
        for each in callers:
            each(objects, notes)

    return caller


def count(name: str, *, reads_again: bool) -> Caller:
    """Read a number and store one more. Who is refused tries again, with what it read first or with what is there."""

    def caller(objects: Observed, _: list[str]) -> None:
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


def read_beside(name: str) -> Caller:
    """Read something on another thread meanwhile, and use it after a write."""

    def caller(objects: Observed, notes: list[str]) -> None:
        beside = objects.executor.submit(objects.get, "agent.json")
        mine = objects.get(f"of {name}")
        with contextlib.suppress(PreconditionFailedError):
            objects.put("agent.json", name.encode(), Absent() if mine is None else Unchanged(mine.etag))
        found = beside.result()
        notes.append("nothing" if found is None else found.body.decode())

    return caller


def look_whether_it_is_read(name: str) -> Caller:
    """Ask whether the read on another thread has come to its end, and do something else then."""

    def caller(objects: Observed, notes: list[str]) -> None:
        beside = objects.executor.submit(objects.get, "agent.json")
        create("agent.json", name)(objects, notes)
        notes.append(f"read {beside.done()}, {beside.cancel()}")

    return caller


def write_beside(objects: Observed, notes: list[str]) -> None:
    """Write on two threads at once, and something else behind the first."""
    writes = [objects.executor.submit(create(key, key), objects, notes) for key in ("x", "y")]
    writes[0].result()
    create("behind x", "1")(objects, notes)
    writes[1].result()


def hold(objects: Observed, notes: list[str]) -> None:
    """Hold something for a while, as one holds a lease: who comes second waits until it is given back."""
    for _ in range(2):
        try:
            objects.put("held", b"", Absent())
        except PreconditionFailedError:
            objects.wait_for_change("held")
        else:
            notes.append(f"held at {objects.machine.now}")
            objects.delete(["held"])
            return


def delete_what_is_listed(objects: Observed, notes: list[str]) -> None:
    notes.append(str([found.key for found in objects.list("")]))
    objects.sweep("", lambda listed: listed)


SMALL: dict[str, tuple[int, int, list[Caller]]] = {
    "who reads again": (0, 0, [count("a", reads_again=True), count("b", reads_again=True)]),
    "who loses updates": (1, 0, [count("a", reads_again=False), count("b", reads_again=False)]),
    "two writes and two looks": (
        1,
        0,
        [one_after_the_other(create("x", "1"), create("y", "2")), one_after_the_other(look("y"), look("x"))],
    ),
    "three": (1, 0, [create("x", "1"), create("x", "2"), one_after_the_other(look("x"), look("x"))]),
    "two deaths": (2, 0, [create("x", "1"), one_after_the_other(look("x"), create("x", "2"), look("x"))]),
    "reads beside": (1, 0, [read_beside("a"), read_beside("b")]),
    "reads beside that are asked for": (1, 0, [look_whether_it_is_read("a"), create("agent.json", "b")]),
    "writes beside": (1, 0, [write_beside, one_after_the_other(look("y"), look("x"))]),
    "holders": (1, 1, [hold, hold]),
    "a sweep": (1, 0, [delete_what_is_listed, one_after_the_other(create("x", "1"), create("y", "2"))]),
}


@pytest.mark.parametrize("world", SMALL)
def test_the_search_comes_to_every_end_that_there_is_and_to_no_other(world: str) -> None:
    deaths, delays, callers = SMALL[world]

    ends, orders = ends_of(*callers, deaths=deaths, delays=delays)
    all_of_them, runs = all_ends_of(*callers, deaths=deaths, delays=delays)

    assert ends == all_of_them
    assert len(ends) > 1
    assert orders.counts.left == 0
    assert orders.counts.runs <= runs


def test_an_order_that_loses_an_update_is_found() -> None:
    careful, _ = ends_of(count("a", reads_again=True), count("b", reads_again=True))
    careless, _ = ends_of(count("a", reads_again=False), count("b", reads_again=False))

    assert stored(careful) == {("count=2 by a",), ("count=2 by b",)}
    assert stored(careless) == stored(careful) | {("count=1 by a",), ("count=1 by b",)}


def test_one_death_at_every_point_ends_in_everything_that_may_be_left() -> None:
    two_writes = one_after_the_other(create("first", "1"), create("second", "2"))

    alive, _ = ends_of(two_writes)
    dying, orders = ends_of(two_writes, deaths=1)

    assert stored(alive) == {("first=1", "second=2")}
    assert stored(dying) == {(), ("first=1",), ("first=1", "second=2")}
    assert orders.counts.deaths > 0


def test_a_write_that_was_under_way_when_its_sender_died_arrives_at_any_time() -> None:
    ends, _ = ends_of(one_after_the_other(create("x", "1"), look("x")), look("x"), deaths=1)

    assert ((("('a',)"), "('b', 'nothing')"), ("x=1",)) in ends  # late, behind the look of b
    assert (("('a',)", "('b', '1')"), ("x=1",)) in ends
    assert (("('a',)", "('b', 'nothing')"), ()) in ends  # lost


def test_a_process_that_looks_into_the_storage_without_asking_is_found() -> None:
    """What it saw would not be among the answers that tell how it goes on."""

    def peep(objects: Observed, notes: list[str]) -> None:
        objects.get("x")
        notes.append(str("x" in objects.bodies))

    with pytest.raises(AssertionError, match="looked into the storage without asking"):
        ends_of(peep, create("x", "1"))


def test_processes_that_know_of_one_another_without_the_storage_are_found() -> None:
    told: list[str] = []

    def whisper(objects: Observed, _: list[str]) -> None:
        objects.get("x")
        told.append("")

    def hear(objects: Observed, notes: list[str]) -> None:
        objects.get("x")
        notes.append(str(len(told)))

    with pytest.raises(AssertionError, match="together, the callers end elsewhere"):
        ends_of(whisper, hear)


def walks(case: Case, seeds: int) -> Iterator[Together]:
    """Real callers of a case, in orders that are drawn, at their ends."""
    past = verify.a_past(keyed=case.keyed) if case.past else {}
    for seed in range(seeds):
        draw = random.Random(seed)
        make = partial(verify.kind_of(case), case)
        together = Together(make, past, deaths=case.deaths, delays=1 if case.leased else 0)
        while choices := together.choices():
            deaths = [choice for choice in choices if isinstance(choice, Death)]
            others = [choice for choice in choices if choice not in deaths]
            together.take(draw.choice(deaths if deaths and draw.random() < 0.05 else others))
        yield together


@pytest.mark.parametrize("number", [1, 5, 9])
def test_no_order_that_is_drawn_comes_to_an_end_that_the_search_has_not_seen(number: int) -> None:
    """The search takes two callers that do the same as one, so the first of them is always the first that asks."""
    case = verify.CASES[number]
    orders = verify.orders_of(case, alike=False)
    orders.explore()
    seen = {as_end(end.outcomes, orders.stored_at(end)) for end in orders.ends}
    assert not orders.counts.left

    died = 0
    for together in walks(case, 100):
        assert as_end(*together.end()) in seen, "\n".join(together.history)
        died += together.died
    assert 0 < died < 100


@pytest.mark.parametrize("case", verify.CASES, ids=str)
def test_in_a_part_of_all_orders_nothing_is_lost_mixed_or_shown_too_early(
    case: Case, record_property: Callable[[str, object], None]
) -> None:
    counts = verify.verify(case, runs=RUNS, seed=SEED)

    assert counts.deaths > 0
    assert counts.looks > 0
    for what, value in (("states", counts.states), ("steps", counts.steps), ("deaths", counts.deaths)):
        record_property(f"{TOTAL}every order: {what}", value)


def test_an_effect_before_its_fence_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that shows its prompt before it is stored does not come through."""
    say = WatchedWorld.say

    def show_and_say(world: WatchedWorld, turn: Turn, *rest: Any) -> None:
        world.show(turn)
        say(world, turn, *rest)

    monkeypatch.setattr(WatchedWorld, "say", show_and_say)

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
        verify.verify(replace(erased, deaths=0), runs=4000, seed=0)
