"""The bytes of a request and of a reply: how large they may be, and how they become JSON."""

import base64
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from lambda_src.answers import errors

# A function's request and response may have 6 MB each (docs.aws.amazon.com/lambda, "Lambda quotas"). Some of it goes
# to what Lambda wraps around the body: status, headers, context.
MAX_PAYLOAD_BYTES = 6 * 1024 * 1024
ENVELOPE_BYTES = 8 * 1024


def check_request(event: Mapping[str, Any]) -> None:
    """Refuse a body that is too large, or that is no JSON text, before anybody works on it.

    Raises:
        PayloadTooLargeError: Over 6 MB, as Lambda counts it.
        UnsupportedMediaTypeError: The content type is not JSON.
        MalformedRequestError: A binary body that is not UTF-8 text.
    """
    body = event.get("body")
    if not body:
        return
    if len(body) > MAX_PAYLOAD_BYTES:
        raise errors.PayloadTooLargeError("A request can have 6 MB. Send large files in several turns.")
    headers = {str(name).lower(): value for name, value in (event.get("headers") or {}).items()}
    media_type = str(headers.get("content-type", "application/json")).partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise errors.UnsupportedMediaTypeError("Send the body as application/json.")
    if event.get("isBase64Encoded"):
        try:
            base64.b64decode(body, validate=True).decode()
        except ValueError:
            raise errors.MalformedRequestError("The body is not text in UTF-8.") from None


def parse(text: str) -> dict[str, Any]:
    """Parse a request's body.

    Raises:
        MalformedRequestError: Not JSON; says where.
        BadRequestError: JSON, but not an object.
    """
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise errors.MalformedRequestError(
            f"The body is not JSON: {error.msg}, line {error.lineno}, column {error.colno}."
        ) from None
    except RecursionError:
        raise errors.MalformedRequestError("The body is nested too deeply.") from None
    if not isinstance(value, dict):
        raise errors.BadRequestError(
            "The body must be a JSON object.", errors=[{"location": "body", "detail": "must be an object"}]
        )
    return value


def _no_constant(name: str) -> NoReturn:
    raise errors.MalformedRequestError(f"The body is not JSON: {name} is not a number in JSON.")


def serialize(value: Any) -> str:
    """A reply's body as JSON text, with its own letters instead of escapes where UTF-8 can carry them."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:  # an unpaired surrogate, stored by somebody who did not check
        return json.dumps(value, separators=(",", ":"))
    return text


def fits(body: str) -> bool:
    """Whether a reply's body can leave the function.

    The runtime makes the body a JSON string inside its own answer, so that quotes count twice and, in some Python
    versions, every letter outside ASCII counts as its escape. This is the worst case.
    """
    return len(json.dumps(body)) + ENVELOPE_BYTES <= MAX_PAYLOAD_BYTES


def check_response(response: dict[str, Any]) -> dict[str, Any]:
    """The response, unless Lambda would refuse to carry it.

    Raises:
        PayloadTooLargeError: Over 6 MB. The turn itself is done and stored.
    """
    if not fits(response.get("body") or ""):
        raise errors.PayloadTooLargeError("The reply is larger than 6 MB. It is stored: read it as messages, in pages.")
    return response
