"""Checks that are told as they happen, and counted."""

import sys
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class CheckError(AssertionError):
    """A check found something else than was promised."""


def expect(holds: object, found: object) -> None:
    """End a check unless something holds.

    Raises:
        CheckError: With what was found instead.
    """
    if not holds:
        raise CheckError(f"found {found!r}")


class Report:
    """Runs checks one after the other, each with a line of its own.

    Args:
        write: Where the lines go.
    """

    def __init__(self, write: Callable[[str], object] = sys.stdout.write) -> None:
        self._write = write
        self.passed = 0
        self.failed = 0

    def check(self, promise: str, attempt: Callable[[], T]) -> T | None:
        """Run one check.

        Args:
            promise: What is checked, as a statement.
            attempt: Does it; raises when the promise does not hold.

        Returns:
            What the attempt returned, or ``None`` when it failed.
        """
        started = time.monotonic()
        try:
            result = attempt()
        except Exception as error:  # noqa: BLE001 - whatever a check raises is its result, and the others still run
            self.failed += 1
            self._write(f"  FAILED  {promise}: {type(error).__name__}: {error}\n")
            return None
        self.passed += 1
        self._write(f"  ok      {promise} ({time.monotonic() - started:.2f} s)\n")
        return result

    def close(self) -> int:
        """Write the count; returns an exit code."""
        self._write(f"{self.passed} passed, {self.failed} failed\n")
        return 1 if self.failed else 0
