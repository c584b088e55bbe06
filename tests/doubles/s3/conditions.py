"""Conditional and partial reads: what the request headers mean for an object."""

import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from tests.doubles.s3.errors import S3Error
from tests.doubles.s3.store import Version


def read_condition(headers: Mapping[str, str], version: Version) -> int:
    """Judge a conditional read in S3's order: ETag conditions outrank dates (RFC 9110, 13.2.2).

    Returns:
        200, or 304 when the caller has it already.

    Raises:
        S3Error: ``PreconditionFailed``.
    """
    if "if-match" in headers:
        if not _etag_listed(headers["if-match"], version.etag):
            raise S3Error("PreconditionFailed", fields={"Condition": "If-Match"})
    elif version.last_modified > _seconds(headers.get("if-unmodified-since"), otherwise=math.inf):
        raise S3Error("PreconditionFailed", fields={"Condition": "If-Unmodified-Since"})
    if "if-none-match" in headers:
        return 304 if _etag_listed(headers["if-none-match"], version.etag) else 200
    return 304 if version.last_modified <= _seconds(headers.get("if-modified-since"), otherwise=-math.inf) else 200


def _etag_listed(condition: str, etag: str) -> bool:
    return condition == "*" or etag in [entry.strip().strip('"') for entry in condition.split(",")]


def _seconds(http_date: str | None, *, otherwise: float) -> float:
    """Read a date; one that is missing or malformed makes no condition."""
    try:
        return parsedate_to_datetime(http_date).timestamp() if http_date else otherwise
    except ValueError:
        return otherwise


def requested_range(header: str, size: int) -> range | None:
    """Read one byte range; anything else is ignored and the whole object sent, as S3 does."""
    unit, _, span = header.partition("=")
    first, dash, last = span.partition("-")
    if unit.strip() != "bytes" or not dash or not (first + last).isdigit():
        return None
    start = int(first) if first else max(0, size - int(last))
    stop = min(int(last) + 1, size) if first and last else size
    if start >= size or (last and not first and int(last) == 0):
        raise S3Error("InvalidRange", fields={"RangeRequested": header, "ActualObjectSize": str(size)})
    return range(start, stop) if start < stop else None
