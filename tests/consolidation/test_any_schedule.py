"""Whoever takes the turns, and whatever happens to the derived copies: what is restored is what the messages say."""

import contextlib
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from strands.agent.conversation_manager import SlidingWindowConversationManager

from agent_sessions._objects import tail_and_base as history
from tests.consolidation.session import Durability, KitSession, reply_to
from tests.doubles.s3.faults import Fault
from tests.doubles.s3_server import S3Server
from tests.doubles.scripted_model import Redact

EXAMPLES = int(os.environ.get("CONSOLIDATION_EXAMPLES", "12"))
WINDOW = 6

durabilities = st.sampled_from(["message", "turn"])
_server: S3Server


class Schedule(RuleBasedStateMachine):
    """Turns of the kit's and of Strands' managers on one session, with and without a window, and with crashes."""

    def __init__(self) -> None:
        super().__init__()
        _server.reset()
        self.session = KitSession(_server)
        self.number = 0
        self.cut_off = False
        self.windowed = False  # Strands' manager refuses a session whose agent had another conversation manager
        self.secrets: list[str] = []

    def _prompt(self) -> str:
        self.number += 1
        return f"prompt {self.number}"

    @initialize(durability=durabilities)
    def first_turn(self, durability: Durability) -> None:
        self.session.turn(self._prompt(), durability)

    @rule(durability=durabilities, with_tool=st.booleans())
    def turn(self, durability: Durability, with_tool: bool) -> None:
        prompt = self._prompt()
        agent = self.session.turn(prompt, durability, with_tool=with_tool)
        self.cut_off = self.windowed = False
        assert agent.messages == self.session.log()

    @rule(durability=durabilities)
    def turn_with_a_window(self, durability: Durability) -> None:
        prompt = self._prompt()
        window: Any = SlidingWindowConversationManager(window_size=WINDOW)
        agent = self.session.open(*reply_to(prompt), durability=durability, conversation_manager=window)
        agent(prompt)
        self.cut_off, self.windowed = False, True
        log = self.session.log()
        assert agent.messages == log[len(log) - len(agent.messages) :]
        again = self.session.open(conversation_manager=SlidingWindowConversationManager(window_size=WINDOW))
        assert again.messages == agent.messages

    @precondition(lambda self: not self.cut_off and not self.windowed)
    @rule(with_tool=st.booleans())
    def turn_of_strands(self, with_tool: bool) -> None:
        self.session.turn_of_strands(self._prompt(), with_tool=with_tool)

    @rule(durability=durabilities)
    def redacted_turn(self, durability: Durability) -> None:
        secret = f"secret {self._prompt()}"
        agent = self.session.open([Redact("[redacted]"), "no comment"], durability=durability)
        agent(secret)
        self.cut_off = self.windowed = False
        self.windowed = False  # Strands' manager refuses a session whose agent had another conversation manager
        self.secrets.append(secret)
        assert agent.messages == self.session.log()

    @rule(durability=durabilities, nth=st.integers(1, 7), applied=st.booleans())
    def crash(self, durability: Durability, nth: int, applied: bool) -> None:
        if applied:
            _server.faults.add(Fault("drop", verb="PUT", nth=nth, applied=True))
        _server.faults.add(Fault("drop", verb="PUT", nth=nth, times=None))
        with contextlib.suppress(Exception):
            self.session.turn(self._prompt(), durability, with_tool=True)
        _server.faults.clear()
        self.cut_off = True

    @rule()
    def lose_the_base(self) -> None:
        self.session.remove("history.json")

    @precondition(lambda self: not self.cut_off)
    @invariant()
    def every_restore_is_the_log(self) -> None:
        log = self.session.log()
        assert self.session.open().messages == log
        assert self.session.ids() == list(range(len(log)))

    @invariant()
    def no_object_holds_what_was_redacted(self) -> None:
        for key, body in self.session.objects().items():
            for secret in self.secrets:
                assert secret.encode() not in body, key


def test_any_schedule(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    global _server  # noqa: PLW0603 - hypothesis makes the machines itself
    _server = server
    monkeypatch.setattr(history, "SMALLEST_BASE_BYTES", 600)
    monkeypatch.setattr(history, "TAIL_PER_ROOT", 1)
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Schedule,
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
