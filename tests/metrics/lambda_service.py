"""What Lambda itself counts of a function: how long it runs, whom it turns away, and which events it gives up."""

import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

from tests.endpoint.function import Context

ATTEMPTS = 3


class LambdaService:
    """Invokes a handler as Lambda would, and keeps Lambda's own metrics.

    Args:
        invoke: The handler.
        max_concurrency: How many invocations may be under way.
    """

    def __init__(self, invoke: Callable[..., Any], *, max_concurrency: int = 10) -> None:
        self.now = 0.0
        self.metrics: dict[str, list[float]] = defaultdict(list)
        self._invoke = invoke
        self._free = threading.Semaphore(max_concurrency)

    def invoke(self, event: Any) -> Any:
        """Invoke the function and wait for it; ``None`` if all of its concurrency is in use."""
        if not self._free.acquire(blocking=False):
            self.metrics["AWS/Lambda Throttles"].append(1)
            return None
        with self._reported():
            return self._invoke(event, Context(remaining_seconds=120))

    def invoke_async(self, event: Any) -> None:
        """Have an event taken, with Lambda's own retries."""
        for _ in range(ATTEMPTS):
            try:
                self.invoke(event)
            except Exception:  # noqa: BLE001, S112 - whatever the function raises, Lambda tries again
                continue
            return
        self.metrics["AWS/Lambda AsyncEventsDropped"].append(1)

    @contextmanager
    def _reported(self) -> Any:
        began = self.now
        try:
            yield
        finally:
            self._free.release()
            self.metrics["AWS/Lambda Duration"].append(1000 * (self.now - began))
