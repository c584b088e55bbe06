"""Two callers of one session, one turn each, in every order of their requests, with one death at every point.

``make verify`` tries them all and prints how many there were; ``make verify ARGS="--runs 200 --seed 7"`` a part.
"""

import argparse
import gc
import logging
import math
import sys
import time
from dataclasses import replace
from functools import cache, partial
from typing import Any

from tests.concurrency.erased_orders import ErasedWorld
from tests.concurrency.every_order import Counts, EveryOrder
from tests.concurrency.greenlets import GreenletMachine, Observed, library_on
from tests.concurrency.keyed_orders import KeyedWorld
from tests.concurrency.test_interleavings import MODES
from tests.concurrency.watched_orders import CALLERS, Case, WatchedWorld

CASES = [Case(mode, leased, past) for mode in MODES for leased in (False, True) for past in (False, True)]
CASES += [Case(mode, leased=True, past=past, ahead=True) for mode in MODES for past in (False, True)]
CASES += [Case(mode, leased=ahead, past=True, ahead=ahead, erases=True) for mode in MODES for ahead in (False, True)]
CASES += [
    Case(mode, leased=True, past=past, ahead=ahead, keyed=True)
    for mode in ("effects", "turn")
    for ahead in (False, True)
    for past in (False, True)
]


def kind_of(case: Case) -> type[WatchedWorld]:
    """Which world a case is of."""
    return ErasedWorld if case.erases else KeyedWorld if case.keyed else WatchedWorld


@cache
def a_past(*, keyed: bool = False) -> dict[str, Any]:
    """What a session holds after three turns. The turns of the endpoint say which requests they have answered."""
    machine = GreenletMachine()
    objects = Observed(machine)
    names = [f"past{number}" for number in range(3)]
    with library_on(machine):
        if keyed:
            KeyedWorld(Case("turn", leased=True, past=True), machine, objects).live_through(names)
        else:
            world = WatchedWorld(Case("turn", leased=False, past=True), machine, objects)
            for name in names:
                assert world.take_turn(name, "turn", 2).replied
    return dict(objects.bodies)


def orders_of(case: Case, *, alike: bool = True) -> EveryOrder:
    """The orders of a case, none of them tried.

    Args:
        case: The case.
        alike: Whether two callers who do the same count as one, whichever of them asks first.
    """
    return EveryOrder(
        partial(kind_of(case), case),
        CALLERS,
        a_past(keyed=case.keyed) if case.past else {},
        deaths=case.deaths,
        delays=1 if case.leased else 0,
        alike=alike and not case.erases,
    )


def verify(case: Case, *, runs: float = math.inf, seed: int | None = None, seconds: float = math.inf) -> Counts:
    """Try every order; or so many runs of them, drawn by a seed; or as many as there is time for.

    Raises:
        AssertionError: Something that is promised does not hold. It says in which order.
    """

    def tell(counts: Counts) -> None:
        sys.stderr.write(f"{case!s:52} {counts.states:9,} states, {counts.ends:,} ends, {counts.left:,} ways left\n")

    try:
        return orders_of(case).explore(runs=runs, seed=seed, seconds=seconds, tell=tell)
    except AssertionError as error:
        raise AssertionError(f"{case}: {error}") from error


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(prog="make verify", description=__doc__)
    parser.add_argument("--runs", type=int, help="try so many runs of each case, drawn by the seed; all without it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=math.inf, help="try no longer than this at each case")
    parser.add_argument("--case", type=int, choices=range(len(CASES)), help="only this case, counted from 0")
    parser.add_argument("--deaths", type=int, default=1, help="how many of the two may die (1)")
    arguments = parser.parse_args()
    gc.set_threshold(50_000, 20, 100)  # states are values: there is nothing to collect among them
    logging.disable(logging.CRITICAL)  # cut-off turns and refusals are what this is about
    say(f"{'case':52} {'states':>9} {'steps':>10} {'deaths':>9} {'looks':>8} {'ends':>6} {'left':>6} {'s':>6}")
    left = 0
    for case in CASES if arguments.case is None else [CASES[arguments.case]]:
        started = time.monotonic()
        counts = verify(
            replace(case, deaths=arguments.deaths),
            runs=arguments.runs or math.inf,
            seed=arguments.seed if arguments.runs else None,
            seconds=60 * arguments.minutes,
        )
        left += counts.left
        say(
            f"{case!s:52} {counts.states:9,} {counts.steps:10,} {counts.deaths:9,} {counts.looks:8,} {counts.ends:6,}"
            f" {counts.left:6,} {time.monotonic() - started:6.0f}",
        )
    tried = "every order" if not left else f"a part of all orders, {left:,} ways not taken"
    say(f"{tried}: 0 turns lost, 0 mixed, 0 effects before their fence")


if __name__ == "__main__":
    main()
