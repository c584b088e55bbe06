"""Faults on purpose: which request goes wrong, when, and how.

A rule counts the requests it matches and acts on some of them. What it does is one of few actions, before or after the
request took effect: a client cannot tell the two apart, which is what makes lost answers worth testing.
"""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from tests.doubles.s3.messages import Request

Action = Literal["error", "drop", "cut", "delay", "hold", "call", "key_error"]


@dataclass(slots=True)
class Fault:
    """One rule.

    Attributes:
        action: ``error`` answers ``code``; ``drop`` closes the connection without an answer; ``cut`` sends half of the
            answer's body and closes; ``delay`` waits ``seconds`` longer; ``hold`` waits until ``release()``; ``call``
            runs ``callback``; ``key_error`` fails matching keys within DeleteObjects with ``code``.
        verb: The operation it concerns, as the log names it; ``*`` is any.
        key: Glob over the key (of a listing: its prefix), in which ``*`` matches slashes too.
        nth: The first matching request it acts on, counted from 1.
        times: On how many matching requests in a row it acts; ``None`` is all from then on.
        applied: Act after the request took effect instead of before.
        code: S3 error code of ``error`` and ``key_error``.
        seconds: Of ``delay``.
        callback: Of ``call``; it runs on the server's thread, so it must not wait for the server.
        seen: Matching requests so far.
        fired: How often it acted.
        arrived: Set when a request is being held or was acted upon.
    """

    action: Action
    verb: str = "*"
    key: str = "*"
    nth: int = 1
    times: int | None = 1
    applied: bool = False
    code: str = "SlowDown"
    seconds: float = 0.0
    callback: Callable[[Request], None] | None = None
    seen: int = 0
    fired: int = 0
    arrived: threading.Event = field(default_factory=threading.Event)
    _released: threading.Event = field(default_factory=threading.Event)
    _waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.nth < 1 or (self.times is not None and self.times < 1):
            raise ValueError(f"nth={self.nth}, times={self.times} | count from 1")
        if (self.action == "call") != (self.callback is not None):
            raise ValueError("the action 'call' and a callback belong together")

    def fires_on(self, verb: str, key: str) -> bool:
        """Count a request, and tell whether this is one to act on."""
        if self.verb not in ("*", verb) or not fnmatchcase(key, self.key):
            return False
        self.seen += 1
        if self.seen < self.nth or (self.times is not None and self.seen >= self.nth + self.times):
            return False
        self.fired += 1
        return True

    def release(self) -> None:
        """Let held requests go on, those to come as well."""
        self._released.set()
        for loop, waiter in list(self._waiters):
            loop.call_soon_threadsafe(waiter.set)

    async def held(self) -> None:
        """Wait for ``release()``."""
        waiter = asyncio.Event()
        self._waiters.append((asyncio.get_running_loop(), waiter))
        self.arrived.set()
        # Asked after the waiter is registered: a release between the two is seen by one of them.
        if not self._released.is_set():
            await waiter.wait()


class FaultPlan:
    """The rules in force; the first that acts on a request decides."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []
        self._lock = threading.Lock()

    @property
    def rules(self) -> list[Fault]:
        """The rules, in order of their addition."""
        return list(self._rules)

    def add(self, fault: Fault) -> Fault:
        """Put a rule in force."""
        with self._lock:
            self._rules.append(fault)
        return fault

    def clear(self) -> None:
        """Drop all rules and let go whom they hold."""
        with self._lock:
            rules, self._rules = self._rules, []
        for rule in rules:
            rule.release()

    def match(self, request: Request) -> Fault | None:
        """Count a request with every rule and return the rule that acts on it."""
        if not self._rules:
            return None
        with self._lock:
            acting = [
                rule
                for rule in self._rules
                if rule.action != "key_error" and rule.fires_on(request.verb, request.log_key)
            ]
        return acting[0] if acting else None

    def key_error(self, key: str) -> str | None:
        """Return the error code that deleting ``key`` within DeleteObjects is to have."""
        with self._lock:
            acting = [
                rule for rule in self._rules if rule.action == "key_error" and rule.fires_on("DELETE_OBJECTS", key)
            ]
        return acting[0].code if acting else None
