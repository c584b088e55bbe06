"""An object store in memory whose writes can be held on their way, each in a thread as a real store's are."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager

from agent_sessions.object_store import Expectation, Written
from tests.concurrency.memory_objects import MemoryObjects

PATIENCE_SECONDS = 30
THREADS = 8


class HeldObjects(MemoryObjects):
    """Objects in a dictionary.

    Attributes:
        sent: The last part of each key that was to be written, in order, whether it was refused or not.
        arrived: Set once a write is being held.
    """

    def __init__(self) -> None:
        super().__init__(time.time)
        self.sent: list[str] = []
        self.arrived = threading.Event()
        self._lock = threading.RLock()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="held-objects")
        self._is_held: Callable[[str], bool] = lambda _: False
        self._let_go = threading.Event()
        self._instead: Exception | None = None

    @property
    def executor(self) -> Executor:
        return self._threads

    @contextmanager
    def holding(
        self, name: str, *, instead: Exception | None = None, until: threading.Event | None = None
    ) -> Iterator[threading.Event]:
        """Hold writes of an object until the event that this gives is set; it is at the end of the block.

        Args:
            name: How its key ends.
            instead: What is raised then, in the write's place.
            until: The event; a new one when not given.
        """
        self._let_go, self._instead = until or threading.Event(), instead
        self.arrived.clear()
        self._is_held = lambda key: key.endswith(name)
        try:
            yield self._let_go
        finally:
            self._is_held = lambda _: False
            self._let_go.set()

    def put(self, key: str, body: bytes, expect: Expectation) -> Written:
        self.sent.append(key.rpartition("/")[2])
        if self._is_held(key):
            self.arrived.set()
            assert self._let_go.wait(PATIENCE_SECONDS), f"{key} was never let go"
            if self._instead is not None:
                raise self._instead
        with self._lock:
            return super().put(key, body, expect)
