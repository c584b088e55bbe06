"""What was asked of the server: for counting, pricing and ordering requests."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.doubles.s3.messages import Verb

DROPPED = 0
"""The status of a request that got no answer."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One request.

    Attributes:
        key: The key; of a listing its prefix.
        status: HTTP status, ``0`` when the connection was dropped instead.
        bytes_in: Size of the request's body as sent.
        bytes_out: Size of the answer's body.
        time: Seconds since the epoch by the server's clock, when the answer was made.
        started: Monotonic seconds when the request had come in, whole.
        finished: Monotonic seconds when the answer was handed to the network.
        condition: ``If-Match``, ``If-None-Match`` or empty.
        fault: The action that was injected, or empty.
    """

    verb: Verb
    bucket: str
    key: str
    status: int
    bytes_in: int
    bytes_out: int
    time: float
    started: float
    finished: float
    condition: str = ""
    fault: str = ""


class RequestLog:
    """Requests in the order of their answers."""

    def __init__(self) -> None:
        self._entries: list[LogEntry] = []
        self._lock = threading.Condition()

    def add(self, entry: LogEntry) -> None:
        """Note a request."""
        with self._lock:
            self._entries.append(entry)
            self._lock.notify_all()

    def wait_for(self, shows: Callable[[list[LogEntry]], bool], within_seconds: float = 30.0) -> bool:
        """Wait until the log shows something. Tells whether it does."""
        with self._lock:
            return self._lock.wait_for(lambda: shows(self._entries), within_seconds)

    def take(self) -> list[LogEntry]:
        """Return everything noted and begin anew."""
        with self._lock:
            entries, self._entries = self._entries, []
        return entries

    @property
    def entries(self) -> list[LogEntry]:
        """Everything noted since the last ``take``."""
        with self._lock:
            return list(self._entries)

    def counts(self) -> Counter[Verb]:
        """Return the number of requests by verb."""
        return Counter(entry.verb for entry in self.entries)


def rounds(entries: list[LogEntry]) -> int:
    """Count round trips: groups of requests of which none began after another of the group had ended.

    A client that asks for ten keys at once makes one round, one that asks one after the other makes ten.
    """
    count = 0
    earliest_end = float("-inf")
    for entry in sorted(entries, key=lambda entry: entry.started):
        if entry.started >= earliest_end:
            count += 1
            earliest_end = entry.finished
        else:
            earliest_end = min(earliest_end, entry.finished)
    return count
