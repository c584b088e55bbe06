"""The life of a base: what each event makes of each state, and what may then be done to what is stored."""

from collections.abc import Callable

import pytest

from agent_sessions._objects.base_state import BaseState, Phase
from agent_sessions._objects.tail_and_base import Base

OLD, NEW = Base("old", 0, 9, b"old"), Base("new", 0, 19, b"new")

UNSEEN = BaseState()
ABSENT = BaseState(Phase.ABSENT)
STRAY = BaseState(Phase.STRAY, "e1")
NAMED = BaseState(Phase.NAMED, "e1", OLD)
UNNAMED = BaseState(Phase.UNNAMED, "e2", NEW)
UNKNOWN = BaseState(Phase.UNKNOWN, "e1", OLD)
ALL = (UNSEEN, ABSENT, STRAY, NAMED, UNNAMED, UNKNOWN)

Event = Callable[[BaseState], BaseState]


def seen(state: BaseState) -> BaseState:
    return state.seen("e1")


def seen_nothing(state: BaseState) -> BaseState:
    return state.seen(None)


def believed(state: BaseState) -> BaseState:
    return state.believed(OLD)


def written(state: BaseState) -> BaseState:
    return state.written(NEW, "e2")


@pytest.mark.parametrize(
    ("before", "event", "after"),
    [
        (UNSEEN, seen, STRAY),
        (UNSEEN, seen_nothing, ABSENT),
        (UNSEEN, BaseState.read_failed, BaseState(Phase.UNKNOWN)),
        (STRAY, believed, NAMED),
        (NAMED, BaseState.let_go, STRAY),
        (UNNAMED, BaseState.let_go, BaseState(Phase.UNNAMED, "e2")),
        (UNNAMED, BaseState.named, BaseState(Phase.NAMED, "e2", NEW)),
        (BaseState(Phase.UNNAMED, "e2"), BaseState.named, BaseState(Phase.STRAY, "e2")),
        (NAMED, BaseState.write_failed, UNKNOWN),
        (ABSENT, BaseState.write_failed, BaseState(Phase.UNKNOWN)),
        *((state, written, UNNAMED) for state in ALL),
        *((state, BaseState.removed, ABSENT) for state in ALL),
        *((state, BaseState.named, state) for state in ALL if state is not UNNAMED),
        *((state, BaseState.let_go, state._replace(base=None)) for state in (UNSEEN, ABSENT, STRAY, UNKNOWN)),
    ],
)
def test_each_event_leads_from_one_state_to_another(before: BaseState, event: Event, after: BaseState) -> None:
    assert event(before) == after


@pytest.mark.parametrize(
    ("state", "may_be_swept", "to_withdraw"),
    [
        (UNSEEN, True, None),
        (ABSENT, False, None),
        (STRAY, True, None),
        (NAMED, False, None),
        (UNNAMED, False, "e2"),
        (BaseState(Phase.UNNAMED, "e2"), False, "e2"),
        (UNKNOWN, False, None),
    ],
)
def test_only_what_no_record_names_is_removed(state: BaseState, may_be_swept: bool, to_withdraw: str | None) -> None:
    assert (state.may_be_swept, state.to_withdraw) == (may_be_swept, to_withdraw)


@pytest.mark.parametrize(
    ("state", "message_in_it", "message_behind_it"),
    [
        (ABSENT, False, False),
        (STRAY, True, True),
        (NAMED, True, False),
        (UNNAMED, True, False),
        (UNKNOWN, True, True),
        (BaseState(Phase.UNKNOWN), True, True),
        (BaseState(Phase.UNNAMED, "e2"), True, True),
    ],
)
def test_a_copy_that_may_hold_a_message_goes_before_the_message_changes(
    state: BaseState, message_in_it: bool, message_behind_it: bool
) -> None:
    assert state.has_to_go_before(5) is message_in_it
    assert state.has_to_go_before(25) is message_behind_it
