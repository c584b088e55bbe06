"""Every order of the storage requests of several processes, with at most so many deaths at every point.

:mod:`tests.concurrency.interleaving` draws orders by a seed; here all of them are taken. None is left out because it
looks like another one. What makes it cheap is that no process runs twice through the same answers:

    a process     is run alone (:mod:`tests.concurrency.lone_process`), once for each row of answers it can be given
    the storage   answers a request as it does; what it holds is a value
    a state       is where each process stands, what the storage holds, what is on its way, and the clock
    an order      is a way through the states; two beginnings that come to one state go on as one
    an end        is run once more by all processes together (:mod:`tests.concurrency.together`), along the way that led
                  to it: they must come to the same end, and what is promised is asked there
"""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.concurrency.greenlets import LEASE_SECONDS, START, WRITES, Arrival, Choice, Death, Look, Step, TimePasses
from tests.concurrency.lone_process import Given, Known, LoneProcess, Request, Woken
from tests.concurrency.together import Together, subsets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.concurrency.together import MakeCallers

AWAKE = "awake"
TOLD_EVERY_SECONDS = 60


class Dead(NamedTuple):
    """A process that has died, and what is left of it."""

    outcome: tuple[str, ...]


class State(NamedTuple):
    """Everything that decides how it goes on.

    Attributes:
        standing: Where each process stands.
        asleep: Each thread that sleeps, as process and thread, and what it has seen of what it waits for.
        late: The requests of processes that have died, as process, thread and request.
        storage: What the storage holds, by its number.
        now: The clock.
        deaths: How many processes may die yet.
        delays: How often time may pass yet while a process could go on.
    """

    standing: tuple[Known | Dead, ...]
    asleep: tuple[tuple[int, int, object], ...]
    late: tuple[tuple[int, int, int], ...]
    storage: int
    now: float
    deaths: int
    delays: int


class End(NamedTuple):
    """What is left when all have come to an end.

    Attributes:
        outcomes: What became of the callers.
        storage: What the storage holds, by its number.
        now: The clock.
        died: Whether a process died.
    """

    outcomes: tuple[str, ...]
    storage: int
    now: float
    died: bool


@dataclass
class Counts:
    """How much has been tried.

    Attributes:
        runs: Beginnings that were followed to an end, or to a state that was known.
        states: Different states.
        steps: Ways from one state to another.
        deaths: Those of them on which a process dies.
        ends: Different ends, each of them asked what is promised.
        looks: How often it was looked whether what a process did was allowed by what was stored.
        left: Ways that were not taken.
        replays: How often a process was started alone.
    """

    runs: int = 0
    states: int = 0
    steps: int = 0
    deaths: int = 0
    ends: int = 0
    looks: int = 0
    left: int = 0
    replays: int = 0


class EveryOrder:
    """The orders of some processes.

    Args:
        make: Makes the callers of a world.
        names: The processes.
        bodies: What the storage holds at the beginning.
        deaths: How many processes may die.
        delays: How often time may pass while a process could go on.
        alike: Whether the processes do the same: then the first of them may as well be the first that asks.
    """

    def __init__(
        self,
        make: MakeCallers,
        names: tuple[str, ...],
        bodies: dict[str, Any],
        *,
        deaths: int = 0,
        delays: int = 0,
        alike: bool = False,
    ) -> None:
        self._make, self._bodies, self._names, self._alike = make, bodies, names, alike
        self._deaths, self._delays = deaths, delays
        self.counts = Counts()
        self.ends: set[End] = set()
        self._came_by: dict[State, tuple[State, Choice] | None] = {}
        self._storages: list[dict[str, Any]] = []
        self._storage_numbers: dict[object, int] = {}
        self._requests: list[Request] = []
        self._request_numbers: dict[object, int] = {}
        self._answers: dict[object, tuple[object, str, int]] = {}
        self._processes = [LoneProcess(name, make, bodies) for name in names]
        self._untried: list[tuple[State, Choice]] = []
        self._beginning = State((), (), (), self._number_storage(bodies), START, deaths, delays)
        for process in self._processes:
            self._beginning = self._beginning._replace(standing=(*self._beginning.standing, process.beginning))
            self._beginning = self._with_sleepers(self._look(self._beginning, process.looks))
        self._discover(self._beginning, None)

    # --- going through them -----------------------------------------------------------------------------

    def explore(
        self,
        *,
        runs: float = math.inf,
        seed: int | None = None,
        seconds: float = math.inf,
        tell: Callable[[Counts], object] = lambda _: None,
    ) -> Counts:
        """Take every order; or so many runs, drawn by a seed; or as many as there is time for.

        Raises:
            AssertionError: Something that is promised does not hold. It says in which order.
        """
        draw = None if seed is None else random.Random(seed)
        told = began = time.monotonic()
        while self._untried and self.counts.runs < runs and time.monotonic() - began < seconds:
            which = len(self._untried) - 1 if draw is None else draw.randrange(len(self._untried))
            self._untried[which], self._untried[-1] = self._untried[-1], self._untried[which]
            way: tuple[State, Choice] | None = self._untried.pop()
            self.counts.runs += 1
            while way is not None:
                way = self._go(*way)
            if time.monotonic() - told > TOLD_EVERY_SECONDS:
                told = time.monotonic()
                tell(self._counted())
        return self._counted()

    def _counted(self) -> Counts:
        self.counts.left = len(self._untried)
        self.counts.states = len(self._came_by)
        self.counts.ends = len(self.ends)
        self.counts.replays = sum(process.runs for process in self._processes)
        return self.counts

    def _go(self, state: State, choice: Choice) -> tuple[State, Choice] | None:
        """Go one step, and say where to go on; nowhere when it is known from there."""
        self.counts.steps += 1
        self.counts.deaths += isinstance(choice, Death)
        try:
            after = self._after(state, choice)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._told([*self._way_to(state), choice])}") from error
        if after in self._came_by:
            return None
        return self._discover(after, (state, choice))

    def _discover(self, state: State, came_by: tuple[State, Choice] | None) -> tuple[State, Choice] | None:
        """Note a state, and what may come next there."""
        self._came_by[state] = came_by
        choices = list(self._choices(state, came_by[1] if came_by else None))
        if not choices:
            self._see_end(state)
            return None
        first, *others = choices
        if came_by is None:
            others = choices
        self._untried.extend((state, choice) for choice in reversed(others))
        return state, first

    def _choices(self, state: State, latest: Choice | None) -> Iterator[Choice]:
        """What may come next. Whoever has gone on comes first: a part of all orders has those with few changes then."""
        steps: list[Choice] = [Arrival(self._names[process], thread) for process, thread, _ in state.late]
        for name, standing in zip(self._names, state.standing, strict=True):
            if isinstance(standing, Known):
                steps += [Step(name, thread) for thread in standing.requests]
                if self._alike and state.standing == self._beginning.standing:
                    break
        steps += [Step(self._names[process], thread) for process, thread, seen in state.asleep if seen is AWAKE]
        went_on = latest.process if isinstance(latest, Step) else None
        steps.sort(key=lambda step: not isinstance(step, Step) or step.process != went_on)
        if state.asleep and (state.delays or not steps):
            steps.append(TimePasses())
        yield from steps
        running = any(isinstance(standing, Known) and not standing.has_ended for standing in state.standing)
        assert steps or not running, f"deadlock\n{self._told(self._way_to(state))}"
        for name, standing in zip(self._names, state.standing, strict=True):
            if state.deaths and isinstance(standing, Known):
                # Elsewhere a death shows nothing that one at the write before, or at the next one, does not show.
                sending = [thread for thread, ask in standing.requests.items() if ask.name.startswith(WRITES)]
                if sending:
                    yield from (Death(name, late) for late in subsets(sending))

    # --- one step ---------------------------------------------------------------------------------------

    def _after(self, state: State, choice: Choice) -> State:
        if isinstance(choice, TimePasses):
            asleep = tuple((process, thread, AWAKE) for process, thread, _ in state.asleep)
            return state._replace(now=state.now + LEASE_SECONDS, delays=max(0, state.delays - 1), asleep=asleep)
        number = self._names.index(choice.process)
        if isinstance(choice, Arrival):
            (late,) = (late for late in state.late if late[:2] == (number, choice.thread))
            _, _, storage = self._ask(late[2], state.storage, state.now)
            left = tuple(other for other in state.late if other is not late)
            return self._with_sleepers(state._replace(late=left, storage=storage))
        standing = state.standing[number]
        assert isinstance(standing, Known)
        if isinstance(choice, Death):
            late_ones = [(number, thread, self._number_request(standing.requests[thread])) for thread in choice.late]
            return state._replace(
                standing=_replaced(state.standing, number, Dead(standing.outcome)),
                asleep=tuple(sleeper for sleeper in state.asleep if sleeper[0] != number),
                late=tuple(sorted([*state.late, *late_ones])),
                deaths=state.deaths - 1,
            )
        return self._after_step(state, number, standing, choice.thread)

    def _after_step(self, state: State, number: int, standing: Known, thread: int) -> State:
        storage, asleep = state.storage, state.asleep
        if thread in standing.sleeping:
            answer: object = Woken()
            told = AWAKE
            asleep = tuple(sleeper for sleeper in asleep if sleeper[:2] != (number, thread))
        else:
            answer, told, storage = self._ask(self._number_request(standing.requests[thread]), state.storage, state.now)
        known, looks = self._processes[number].next(
            standing, Given(thread, answer, state.now), (thread, told, state.now)
        )
        assert known.error is None, repr(known.error)
        after = state._replace(standing=_replaced(state.standing, number, known), storage=storage, asleep=asleep)
        return self._with_sleepers(self._look(after, looks))

    def _ask(self, request: int, storage: int, now: float) -> tuple[object, str, int]:
        """What the storage answers, a name for the answer, and what it holds then."""
        found = self._answers.get((request, storage, now))
        if found is None:
            answer, bodies = self._requests[request].ask(self._storages[storage], now)
            found = self._answers[request, storage, now] = (answer, repr(answer), self._number_storage(bodies))
        return found

    def _look(self, state: State, looks: list[Look]) -> State:
        if not looks:
            return state
        bodies = dict(self._storages[state.storage])
        for look in looks:
            self.counts.looks += 1
            look(bodies)
        return state._replace(storage=self._number_storage(bodies))

    def _with_sleepers(self, state: State) -> State:
        """The same state, in which it is known of each sleeper whether what it waits for is another one by now."""
        bodies = self._storages[state.storage]
        before = {sleeper[:2]: sleeper[2] for sleeper in state.asleep}
        asleep = [
            (number, thread, before.get((number, thread), bodies.get(key)), bodies.get(key))
            for number, standing in enumerate(state.standing)
            if isinstance(standing, Known)
            for thread, key in standing.sleeping.items()
        ]
        if not asleep:
            return state
        return state._replace(
            asleep=tuple(
                (number, thread, seen if seen is not AWAKE and seen == there else AWAKE)
                for number, thread, seen, there in asleep
            )
        )

    # --- values by their numbers ------------------------------------------------------------------------

    def _number_storage(self, bodies: dict[str, Any]) -> int:
        key = tuple(sorted(bodies.items()))
        number = self._storage_numbers.setdefault(key, len(self._storages))
        if number == len(self._storages):
            self._storages.append(dict(bodies))
        return number

    def _number_request(self, request: Request) -> int:
        number = self._request_numbers.setdefault(request.what, len(self._requests))
        if number == len(self._requests):
            self._requests.append(request)
        return number

    # --- ends -------------------------------------------------------------------------------------------

    def _see_end(self, state: State) -> None:
        """Have the processes come to an end together, and see there what is promised."""
        outcomes = sorted(outcome for standing in state.standing for outcome in standing.outcome)
        end = End(tuple(outcomes), state.storage, state.now, state.deaths < self._deaths)
        if end in self.ends:
            return
        self.ends.add(end)
        way = self._way_to(state)
        together = Together(self._make, self._bodies, deaths=self._deaths, delays=self._delays)
        try:
            together.follow(way)
            assert not together.is_running(), "together, the callers have not come to their end"
            elsewhere = _differences((end.outcomes, self._storages[end.storage]), together.end())
            assert not elsewhere, f"together, the callers end elsewhere: {elsewhere}"
            together.check()
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._told(way)}\n" + "\n".join(together.history)) from error
        finally:
            together.abandon()

    def stored_at(self, end: End) -> dict[str, Any]:
        """What the storage holds at an end."""
        return self._storages[end.storage]

    def _way_to(self, state: State) -> list[Choice]:
        way: list[Choice] = []
        came_by = self._came_by[state]
        while came_by is not None:
            way.append(came_by[1])
            came_by = self._came_by[came_by[0]]
        return way[::-1]

    def _told(self, way: list[Choice]) -> str:
        """An order for somebody who reads it."""
        state, lines = self._beginning, []
        for choice in way:
            what = ""
            if isinstance(choice, Step):
                standing = state.standing[self._names.index(choice.process)]
                assert isinstance(standing, Known)
                what = "wakes" if choice.thread in standing.sleeping else standing.requests[choice.thread].name
            lines.append(f"{choice} {what}".rstrip())
            if choice is not way[-1]:
                state = self._after(state, choice)
        return "\n".join(lines)


def _replaced(standing: tuple[Known | Dead, ...], number: int, by: Known | Dead) -> tuple[Known | Dead, ...]:
    return (*standing[:number], by, *standing[number + 1 :])


def _differences(one: tuple[tuple[str, ...], dict[str, Any]], other: tuple[tuple[str, ...], dict[str, Any]]) -> object:
    """Where two ends differ."""
    stored = {key: (one[1].get(key), other[1].get(key)) for key in one[1].keys() | other[1].keys()}
    changed = {key: values for key, values in stored.items() if values[0] != values[1]}
    return (*sorted(set(one[0]) ^ set(other[0])), *sorted(changed.items()))
