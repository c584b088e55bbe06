"""Long sessions through months: no turn fails for their length, and the rule never reaches an object of them."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_sessions._life import key_listing, renewal, renewal_share
from agent_sessions.expiry import renewal_days, slack_days
from tests.conftest import TOTAL
from tests.expiry.long_session import DAY, LongSession

EXAMPLES = int(os.environ.get("EXPIRY_EXAMPLES", "12")) * 4
MOST, STEP = 20, 4


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is a thousand objects elsewhere is twenty here."""
    monkeypatch.setattr(renewal_share, "FEWEST_OBJECTS", 5)
    monkeypatch.setattr(renewal_share, "MOST_OBJECTS", MOST)
    monkeypatch.setattr(renewal, "STEP_OBJECTS", STEP)
    monkeypatch.setattr(key_listing, "PAGE", 10)
    monkeypatch.setattr(renewal, "MOST_PAGES", 3)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("messages", "days"), [(10, 90), (100, 90), (1_000, 90), (10_000, 60), (100_000, 40)])
def test_a_session_that_is_used_once_a_day_never_fails_a_turn_for_its_length(messages: int, days: int) -> None:
    session = LongSession(messages, ttl_days=30)

    for _ in range(days):
        turn = session.use(1)
        assert not turn.failed
        assert turn.cost.puts < 300 + max(1_000, messages / 28)
        assert turn.cost.lists <= 45
        assert turn.oldest_days < slack_days(30)
        assert session.run_rule() == 0
    session.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("messages", [10, 1_000, 10_000])
def test_a_session_of_a_week_that_is_used_once_a_day_does_not_fail_either(messages: int) -> None:
    session = LongSession(messages, ttl_days=7)

    assert not any(session.use(1).failed for _ in range(40))
    assert max(turn.cost.seconds for turn in session.turns) < 10
    assert session.run_rule() == 0
    session.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("messages", [100, 1_000, 8_000])
def test_a_silence_of_almost_the_lifetime_makes_no_turn_dear(messages: int) -> None:
    session = LongSession(messages, ttl_days=30)
    for _ in range(20):
        session.use(1)

    for silence in (29.9, 1, 1, 29.9, 0.1, 29.9):
        turn = session.use(silence)
        assert not turn.failed
        assert turn.cost.seconds < 30
    session.close()


@pytest.mark.timeout(900)
def test_how_much_a_turn_renews_depends_on_the_time_passed_and_not_on_the_number_of_turns() -> None:
    session = LongSession(20_000, ttl_days=30)
    session.use(4)

    hourly = [session.use(1 / 24).cost.puts for _ in range(100)]

    assert max(hourly) <= 300
    session.close()


def test_a_session_of_strands_is_looked_at_by_its_first_turn_and_not_rewritten() -> None:
    session = LongSession(20_000, ttl_days=30, by_strands=True)

    first = session.use(1)

    assert (first.failed, first.cost.puts) == (False, 1)  # the session's record says what has been seen
    assert first.cost.lists <= 22
    session.close()


def test_an_old_session_of_strands_is_taken_over_by_turns_that_do_not_fail() -> None:
    session = LongSession(5_000, ttl_days=30, by_strands=True)
    for _ in range(3):  # Strands' turns
        session.now += 28 * DAY
        session.objects.write(session.layout.agent("long", "default"))

    turns = [session.use(0.5) for _ in range(7)]

    assert not any(turn.failed for turn in turns)
    assert max(turn.cost.puts for turn in turns) < 1_100
    assert turns[-1].oldest_days <= 3
    session.close()


USES = st.one_of(
    st.tuples(st.just("use"), st.sampled_from([0.0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999])),
    st.tuples(st.just("use"), st.sampled_from([0.01, 0.05, 0.1, 0.3])),
    st.tuples(st.just("dies"), st.sampled_from([0.0, 0.1, 0.5, 0.999]), st.integers(0, 40)),
    st.tuples(st.just("out of time"), st.sampled_from([0.0, 0.1, 0.5, 0.999]), st.floats(0.0, 3.0)),
)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(uses=st.lists(USES, max_size=30), messages=st.integers(1, 150), ttl=st.sampled_from([0.5, 1.0, 3.0, 7.0, 30.0]))
def test_for_any_turns_the_rule_never_reaches_an_object_of_a_living_session(
    small_pieces: None, record_property: object, uses: list[tuple[object, ...]], messages: int, ttl: float
) -> None:
    session = LongSession(messages, ttl)
    succeeded = session.now
    for kind, silence, *how in uses:
        assert isinstance(silence, float)
        session.now += round(silence * ttl * DAY)
        # Then: it is there as long after a turn that succeeded as was promised, and while it is there it is whole
        assert session.is_there() or session.now - succeeded > ttl * DAY
        if not session.is_there():
            break
        assert session.run_rule() == 0

        before = session.turns[-1].oldest_days if session.turns else 0.0
        turn = session.use(
            writes=int(str(how[0])) if kind == "dies" else None,
            seconds=float(str(how[0])) if kind == "out of time" else None,
        )

        if not turn.failed:
            succeeded = session.now
            assert turn.oldest_days < slack_days(ttl)
        if before <= renewal_days(ttl) and silence * ttl <= 1:
            assert turn.cost.puts <= 8 + max(MOST + MOST / STEP, 2 * messages / renewal_days(ttl) + len(uses) * 4)
        assert session.run_rule() == 0
    session.close()


def test_the_totals_of_these_schedules_are_in_the_report(record_property: object) -> None:
    assert callable(record_property)
    record_property(f"{TOTAL}expiry, schedules of long sessions", EXAMPLES)
