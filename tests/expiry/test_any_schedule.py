"""Any schedule of turns, silences, lifetimes and failures, held against a model that knows only the promise.

``EXPIRY_EXAMPLES`` asks for more schedules.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from strands.types.exceptions import EventLoopException

from agent_sessions._life import key_listing, renewal, renewal_share
from agent_sessions.exceptions import SessionException, SessionNotFoundError
from agent_sessions.expiry import lifecycle_days, slack_days
from tests.conftest import TOTAL
from tests.doubles.s3_server import Fault, S3Server
from tests.expiry.world import BUCKET, DAY, HOUR, WINDOW, Bucket, exchange, texts

if TYPE_CHECKING:
    from strands import Agent

EXAMPLES = int(os.environ.get("EXPIRY_EXAMPLES", "12"))
NEVER = datetime.min.replace(tzinfo=UTC)
AGENTS = ("default", "windowed")
TTLS = (0.0, 0.5, 1.0, 3.0, 7.0, 30.0)

Step = tuple[Any, ...]
SILENCES = st.sampled_from([0.0, 1 / 24, 0.3, 0.45, 0.49, 0.5, 0.6, 0.9, 0.999, 1.0, 1.001, 1.2, 1.6])
STEPS = st.one_of(
    st.tuples(st.just("turn"), st.sampled_from(AGENTS)),
    st.tuples(st.just("turn"), st.sampled_from(AGENTS)),
    st.tuples(st.just("silence"), SILENCES, st.booleans()),
    st.tuples(st.just("silence"), SILENCES, st.booleans()),
    st.tuples(st.just("resident turn")),
    st.tuples(st.just("failing turn"), st.sampled_from(["GET", "PUT", "LIST"]), st.integers(1, 14)),
    st.tuples(st.just("deploy"), st.sampled_from(TTLS)),
)


@dataclass
class Promise:
    """What the session is, by what was promised.

    Attributes:
        said: The conversations of its agents since its life began; empty when there is no life.
        last_used: When a turn wrote last.
        ttl_days: The lifetime under which it did.
    """

    said: dict[str, list[str]] = field(default_factory=dict)
    last_used: datetime = NEVER
    ttl_days: float = 0.0


class Deployment:
    """A deployment whose operator changes the lifetime as ``docs/EXPIRY.md`` says."""

    def __init__(self, s3: S3Server) -> None:
        self.bucket = Bucket(s3)
        self.promise = Promise()
        self.resident: Agent | None = None
        self.held: list[tuple[int | None, datetime]] = []
        self.is_being_removed = False
        self.cut_off: list[str] | None = None
        self.whole_at = 0
        self.turns = self.compared = 0

    @property
    def in_time(self) -> bool:
        idle, ttl = self.bucket.now - self.promise.last_used, self.bucket.ttl_days
        return not ttl or idle <= timedelta(days=ttl)

    @property
    def lives(self) -> bool:
        return bool(self.promise.said) and self.in_time

    # --- steps ---

    def take(self, step: Step) -> None:
        match step:
            case ("turn", str(agent_id)):
                self.turn(agent_id)
            case ("silence", float(of_ttl), bool(rule_runs)):
                self.bucket.wait(of_ttl * (self.bucket.ttl_days or 5) * DAY, rule_runs=False)
                self.bucket.rule_days = self.rule()
                if rule_runs:
                    self.run_rule()
            case ("resident turn",):
                self.resident_turn()
            case ("failing turn", str(verb), int(nth)):
                self.failing_turn(verb, nth)
            case ("deploy", float(ttl_days)):
                self.deploy(ttl_days)
            case _:
                raise AssertionError(step)

    def turn(self, agent_id: str, agent: Agent | None = None) -> None:
        prompt = f"Prompt {self.turns}"
        self.turns += 1
        if not self.lives:
            self.promise, self.is_being_removed, self.cut_off = Promise(), False, None
            self.whole_at = 0
        agent = agent or self.bucket.agent(agent_id=agent_id)
        said = self.promise.said.get(agent_id, [])
        if self.cut_off is None or agent_id != "default":
            assert texts(agent) == (said[-WINDOW:] if agent_id == "windowed" else said[-40:])
            agent(prompt)
            self.promise.said[agent_id] = [*said, *exchange(prompt, agent_id=agent_id)]
        else:
            # What turns that were cut off have stored is taken over by the next append at the latest: an answer, too,
            # if it stands in the agent's record.
            whole, self.cut_off = self.cut_off, None
            assert texts(agent) in [whole[:number][-40:] for number in range(self.whole_at, len(whole) + 1)]
            agent(prompt)
            self.promise.said[agent_id] = self.bucket.said()
            assert self.promise.said[agent_id] in ([*said, *exchange(prompt)], [*whole, *exchange(prompt)])
        self.whole_at = len(self.promise.said[agent_id]) if agent_id == "default" else self.whole_at
        self.promise.last_used, self.promise.ttl_days = self.bucket.now, self.bucket.ttl_days
        self.resident = agent
        assert not self.bucket.ttl_days or max(self.bucket.ages().values()) < slack_days(self.bucket.ttl_days)

    def resident_turn(self) -> None:
        agent, self.resident = self.resident, None
        if agent is None:
            return
        if self.lives:
            self.turn(agent.agent_id, agent)
            return
        with pytest.raises(SessionNotFoundError):
            agent("Too late")

    def failing_turn(self, verb: str, nth: int) -> None:
        """A turn of which some request fails, most often one of a renewal; all that follow it fail, too."""
        if not self.lives or "default" not in self.promise.said:
            return
        before = self.promise.said["default"]
        prompt = f"Prompt {self.turns}"
        self.bucket.s3.faults.add(Fault("error", verb=verb, nth=nth, times=None, code="AccessDenied"))
        try:
            self.turn("default")
        except (SessionException, EventLoopException):
            self.bucket.s3.faults.clear()
            said = self.bucket.said()
            whole = [*before, *exchange(prompt)]
            assert said in (whole, whole[:-1], whole[:-2])
            self.promise.said["default"] = said
            used = datetime.fromisoformat(self.bucket.store.describe("chat").last_used_at or "")
            # What a turn writes that found objects too old, and did not renew them, is no use of the session.
            assert self.promise.last_used <= used <= self.bucket.now
            self.promise.last_used, self.promise.ttl_days = used, self.bucket.ttl_days
            self.resident, self.cut_off = None, whole
        finally:
            self.bucket.s3.faults.clear()
        if len(self.promise.said["default"]) % 2:
            # A prompt without its answer: the next turn goes on behind it.
            self.turn("default")

    def deploy(self, ttl_days: float) -> None:
        if self.is_being_removed and self.promise.ttl_days != self.bucket.ttl_days:
            # Lowered, not used since, and raised again while the rule was removing it: not promised.
            with suppress(SessionNotFoundError):  # the rule has removed all of it
                self.bucket.store.delete_session("chat")
            self.promise, self.is_being_removed = Promise(), False
        self.held = [(self.rule(), self.bucket.now + timedelta(days=ttl_days))] if ttl_days else []
        self.bucket.deploy(ttl_days)
        self.bucket.rule_days = self.rule()
        self.resident = None  # the processes of before are gone

    def rule(self) -> int | None:
        """The deployed rule: for as many days as the new lifetime has, none that is stricter than the one before."""
        held = [days for days, until in self.held if until >= self.bucket.now]
        rules = [lifecycle_days(self.bucket.ttl_days), *held]
        return None if None in rules else max(days for days in rules if days is not None)

    def run_rule(self) -> None:
        if self.bucket.rule_days is None or not self.bucket.run_rule():
            return
        assert not self.lives, "the rule has torn a session in use"
        # Whatever is left of it never comes back, however long sessions live from now on.
        self.is_being_removed = bool(self.promise.said)
        self.promise = Promise(ttl_days=self.promise.ttl_days)

    # --- what readers see ---

    def check(self) -> None:
        """Exactly the promise: everything in order, or nothing."""
        self.compared += 1
        store = self.bucket.store
        if self.lives:
            for agent_id, said in self.promise.said.items():
                assert self.bucket.said(agent_id=agent_id) == said
            assert store.describe("chat").last_used_at == self.promise.last_used.isoformat()
            assert store.sessions().session_ids == ("chat",)
            return
        with pytest.raises(SessionNotFoundError):
            store.describe("chat")
        with pytest.raises(SessionNotFoundError):
            store.messages("chat")
        assert store.sessions().session_ids == ()


@settings(
    max_examples=EXAMPLES,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking takes minutes; the schedule is printed as it is
    print_blob=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEPS, min_size=4, max_size=24), first_ttl=st.sampled_from(TTLS), hour=st.integers(0, 23))
@pytest.mark.parametrize("is_long", [False, True], ids=["short", "long"])
def test_a_session_holds_exactly_what_was_said_or_is_gone(
    s3: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Any,
    is_long: bool,
    steps: list[Step],
    first_ttl: float,
    hour: int,
) -> None:
    if is_long:
        # What is a thousand objects elsewhere is four here: these sessions are renewed in pieces.
        monkeypatch.setattr(renewal_share, "FEWEST_OBJECTS", 2)
        monkeypatch.setattr(renewal_share, "MOST_OBJECTS", 4)
        monkeypatch.setattr(renewal, "STEP_OBJECTS", 2)
        monkeypatch.setattr(key_listing, "PAGE", 4)
    deployment = Deployment(s3)
    deployment.bucket.deploy(first_ttl)
    deployment.bucket.wait(hour * HOUR, rule_runs=False)
    for step in steps:
        deployment.take(step)
        deployment.check()
    record_property(f"{TOTAL}expiry, moments compared with the promise", deployment.compared)
    record_property(f"{TOTAL}expiry, turns", deployment.turns)
    assert s3.store.bucket_names() == [BUCKET]
