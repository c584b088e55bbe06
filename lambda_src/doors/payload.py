"""The bytes of a request and of a reply: how large they may be, and how they become JSON."""

import json
import math
import re
from typing import Any, NoReturn

from lambda_src.answers import errors
from lambda_src.content import base64_bytes
from lambda_src.doors.json_values import MAX_DEPTH, TOO_DEEP, faults_in
from lambda_src.doors.validation import invalid

# A function's request and response may have 6 MB each (docs.aws.amazon.com/lambda, "Lambda quotas"). Some of it goes
# to what Lambda wraps around the body: status, headers, context.
MAX_PAYLOAD_BYTES = 6 * 1024 * 1024
ENVELOPE_BYTES = 8 * 1024

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
# A media type and its parameters (RFC 9110, 8.3.1). Blanks belong to what stands before them, so that any header can be
# read in one way only.
_PARAMETER = re.compile(rf";[ \t]*(?:({_WORD})=({_WORD}|{_QUOTED})[ \t]*)?")
_MEDIA_TYPE = re.compile(rf"[ \t]*({_WORD}/{_WORD})[ \t]*((?:;[ \t]*(?:{_WORD}=(?:{_WORD}|{_QUOTED})[ \t]*)?)*)")

_DIGITS_OUT_OF_RANGE = 400
"""An integer of so many digits is far beyond the largest double, which has 309."""


def read_json(body: str | None, *, is_base64: bool, content_type: str | None) -> dict[str, Any] | None:
    """Read a request's body as the JSON object that it has to be.

    Args:
        body: Text, or base64.
        is_base64: Which of them.
        content_type: The header's value; without one the body is taken for JSON.

    Returns:
        The object, or ``None`` when there is no body.

    Raises:
        PayloadTooLargeError: Over 6 MB, as Lambda counts it.
        UnsupportedMediaTypeError: The content type is not JSON in UTF-8.
        MalformedRequestError: The body is not JSON, or cannot be read; says where.
        BadRequestError: The body is JSON, but not an object, or has values that cannot be carried on.
    """
    if not body:
        return None
    if _size(body) > MAX_PAYLOAD_BYTES:
        raise errors.PayloadTooLargeError("A request can have 6 MB. Send large files in several turns.")
    if not _is_json(content_type):
        raise errors.UnsupportedMediaTypeError("Send the body as application/json, in UTF-8.")
    return parse(_text_of(body) if is_base64 else body)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _is_json(content_type: str | None) -> bool:
    """Whether a media type is ``application/json``, in whatever case and with whatever parameters.

    ``charset`` means nothing for JSON, which is UTF-8 (RFC 8259). A caller that states another one has sent another
    one.
    """
    if not content_type:
        return True
    stated = _MEDIA_TYPE.fullmatch(content_type)
    if stated is None or stated[1].lower() != "application/json":
        return False
    values = [value.strip('"').lower() for name, value in _PARAMETER.findall(stated[2]) if name.lower() == "charset"]
    return all(value in {"utf-8", "utf8"} for value in values)


def _text_of(body: str) -> str:
    try:
        return base64_bytes(body).decode()
    except UnicodeDecodeError:
        raise errors.MalformedRequestError("The body is not text in UTF-8.") from None
    except ValueError:
        raise errors.MalformedRequestError("The body is said to be base64 and is not.") from None


def parse(text: str) -> dict[str, Any]:
    """Parse a request's body.

    Raises:
        MalformedRequestError: The text is not JSON, or cannot be read; says where.
        BadRequestError: The text is JSON, but not an object, or has values that cannot be carried on.
    """
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_int=_integer, parse_float=float, parse_constant=_no_constant
        )
    except json.JSONDecodeError as error:
        raise errors.MalformedRequestError(
            f"The body is not JSON: {error.msg}, line {error.lineno}, column {error.colno}."
        ) from None
    except RecursionError:
        raise _too_deep() from None
    if not isinstance(value, dict):
        raise invalid([{"loc": ("body",), "msg": "must be a JSON object"}])
    faults = faults_in(value)
    if any(fault.msg == TOO_DEEP for fault in faults):
        raise _too_deep()
    if faults:
        raise invalid([{"loc": ("body", *fault.loc), "msg": fault.msg} for fault in faults])
    return value


def _too_deep() -> errors.MalformedRequestError:
    return errors.MalformedRequestError(f"The body is nested deeper than {MAX_DEPTH} levels.")


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, whose names must be unique: readers differ in which of two values they take."""
    value = dict(members)
    if len(value) < len(members):
        raise errors.MalformedRequestError("The body is not to be read: an object has the same name twice.")
    return value


def _integer(digits: str) -> int | float:
    # Python refuses to read integers of thousands of digits. They are out of range anyhow, as infinity is.
    return int(digits) if len(digits) < _DIGITS_OUT_OF_RANGE else math.inf


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
    """Whether a reply's JSON text can leave the function.

    Where answers are not streamed, the runtime makes the body a JSON string inside its own answer. Then quotes count
    twice and, in some Python versions, every letter outside ASCII counts as its escape. This worst case is the limit
    everywhere, so that callers need not know a deployment's transport.
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
