"""Writes that happen in order while their caller goes on working."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from agent_sessions._records.background import submit
from agent_sessions.locks import Condition, Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_sessions.object_store import ObjectStore

WRITER_HEAD_START_SECONDS = 0.02
"""Before the first of some writes begins that nobody waits for: Strands needs some milliseconds to call the model."""


class OrderedWriter:
    """Runs writes one after the other, the next only when the one before has been acknowledged.

    Storing message 8 before message 7 would leave a gap after a crash. When a write fails, the writes behind it are
    dropped, and the failure is raised to the caller who waits.

    Args:
        objects: The store whose threads wait for the writes.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._condition = Condition()
        self._wanted = Event()
        self._waiting: deque[Callable[[], None]] = deque()
        self._running = False
        self._failure: BaseException | None = None

    def add(self, write: Callable[[], None]) -> None:
        """Run a write after those added before, beside the caller.

        Raises:
            Exception: An earlier write has failed: this one would leave a gap.
        """
        with self._condition:
            self._raise_failure()
            self._waiting.append(write)
            if self._running:
                return
            self._running = True
            self._wanted.clear()
        try:
            submit(self._objects, self._drain, head_start=WRITER_HEAD_START_SECONDS, wanted=self._wanted)
        except BaseException as error:
            # Nobody will run it: whoever waits must not wait for ever.
            with self._condition:
                self._failure, self._running = error, False
                self._waiting.clear()
                self._condition.notify_all()
            raise

    def before(self, write: Callable[[], None], change: Callable[[], None]) -> bool:
        """Change something before a write begins.

        Returns:
            Whether there was time; otherwise the write has begun, and nothing was changed.
        """
        with self._condition:
            if write not in self._waiting:
                return False
            change()
            return True

    def wait(self, *, leave: int = 0) -> None:
        """Return when at most so many writes are unfinished.

        Args:
            leave: How many may still be under way.

        Raises:
            Exception: What a write raised.
        """
        self._wanted.set()
        with self._condition:
            self._condition.wait_for(lambda: len(self._waiting) + self._running <= leave or self._failure is not None)
            self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _drain(self) -> None:
        while True:
            with self._condition:
                if self._failure is not None or not self._waiting:
                    self._running = False
                    self._condition.notify_all()
                    return
                write = self._waiting.popleft()
                self._condition.notify_all()  # whoever leaves the last one to us need not wait for its end
            try:
                write()
            except BaseException as error:  # noqa: BLE001 - it is raised to whoever waits
                with self._condition:
                    self._failure = error
                    self._waiting.clear()
            with self._condition:
                self._condition.notify_all()
