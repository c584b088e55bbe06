"""Answers given to an S3 client in the emulator's place: refusals, failures, per-key errors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from botocore.awsrequest import AWSResponse

from tests.contract.places import BucketPlace, Place

Answer: TypeAlias = Callable[[Any], AWSResponse | None]
"""Given the request, the answer, or ``None`` to send the request after all."""


class _Body:
    """The part of a urllib3 response that botocore reads."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **kwargs: Any) -> Iterator[bytes]:
        yield self._body


def s3_answer(request: Any, status: int, xml: str) -> AWSResponse:
    """An answer with a body."""
    headers: Any = {"Content-Type": "application/xml"}
    return AWSResponse(request.url, status, headers, _Body(xml.encode()))


@contextmanager
def answering(place: Place | None, operation: str, answer: Answer) -> Iterator[None]:
    """Let ``answer`` have each request of an operation, such as ``PutObject``, before it is sent."""
    assert isinstance(place, BucketPlace)
    event = f"before-send.s3.{operation}"

    # The stubs know no handler that returns something; for this event botocore takes it as the answer.
    handler: Any = lambda request, **kwargs: answer(request)  # noqa: E731 - typed as the stubs want it
    place.client.meta.events.register(event, handler)
    try:
        yield
    finally:
        place.client.meta.events.unregister(event, handler)
