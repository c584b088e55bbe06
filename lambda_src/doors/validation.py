"""What a validator found, as the answer a caller gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambda_src.answers.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_PARTS = 20
"""At most so many parts are named: the answer to a million of them would be larger than the request."""


def invalid(findings: Sequence[Mapping[str, Any]]) -> BadRequestError:
    """The error for what a validator found; the values themselves are not repeated.

    Args:
        findings: Each with ``loc``, the way to the value, and ``msg``, as pydantic spells them.
    """
    parts = [
        {
            "location": ".".join(str(step) for step in finding["loc"]) or "event",
            "detail": str(finding["msg"]).removeprefix("Value error, "),
        }
        for finding in findings[:MAX_PARTS]
    ]
    first = parts[0]
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return BadRequestError(f"{first['location']}: {first['detail']}{more}", errors=parts)
