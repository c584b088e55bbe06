"""The rules of values that a type does not show: JSON Schemas for the published contract, exact where they can be.

Every schema here stands beside the validator that it describes. What the schema allows, the validator takes.
Patterns are written for ECMA 262, as JSON Schema asks, and mean the same in Python.
"""
# Over 300 lines: each rule stands beside its schema.

import math
import re
import sys
from collections.abc import Callable, Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic.config import JsonDict

from agent_sessions.identifiers import MAX_IDENTIFIER_BYTES, check_identifier
from agent_sessions.session_title import GIVEN_CHARACTERS, NOT_IN_TITLES, SHOWS_NOTHING

MAX_NUMBER = sys.float_info.max
"""The largest number of IEEE 754's double precision, which RFC 8259 names as what one can expect of a reader."""

REPLACEMENT_CHARACTER = "\ufffd"
"""Lenient decoders write this for bytes that are no text: several ids would become one."""

# Separators, control characters (Unicode's Cc, Zl and Zp) and the replacement character.
_NEVER_IN_AN_ID = r"/\\\u0000-\u001f\u007f-\u009f\u2028\u2029\ufffd"


def _id_schema(forbidden: str) -> dict[str, Any]:
    # JSON Schema counts characters and file names count bytes, so there is a bound for each width of UTF-8. An id that
    # mixes widths may be longer than these bounds, and is taken as long as its bytes are not too many.
    widths = (("\\u007f", 1), ("\\u07ff", 2), ("\\uffff", 3))
    return {
        "type": "string",
        "minLength": 1,
        "pattern": f"^[^{forbidden}]*[^\\s{forbidden}][^{forbidden}]*$",
        "not": {"enum": [".", ".."]},
        "anyOf": [
            {"maxLength": MAX_IDENTIFIER_BYTES // 4},
            *(
                {"maxLength": MAX_IDENTIFIER_BYTES // width, "pattern": f"^[\\u0000-{last}]*$"}
                for last, width in widths
            ),
        ],
    }


ID = _id_schema(_NEVER_IN_AN_ID)
ID_IN_PATH = _id_schema(f"%{_NEVER_IN_AN_ID}")

IDEMPOTENCY_KEY = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^[!-~]([ -~]*[!-~])?$"}
TURN_ID = {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[0-9a-f-]*$"}
MAX_MESSAGE_ID = 10**15 - 1
MESSAGE_ID = {"type": "integer", "minimum": 0, "maximum": MAX_MESSAGE_ID}
MESSAGES_CURSOR = {"type": "string", "pattern": "^[0-9]{1,15}$"}
OPAQUE_CURSOR = {"type": "string", "minLength": 1, "maxLength": 2_048, "pattern": "^[A-Za-z0-9_-]*$"}

SESSION_TITLE = {
    "type": "string",
    "minLength": 1,
    "maxLength": GIVEN_CHARACTERS,
    "pattern": f"^[^{NOT_IN_TITLES}]*[^{NOT_IN_TITLES}{SHOWS_NOTHING}][^{NOT_IN_TITLES}]*$",
}

_AS_IT_IS = r"[!-$&-+\--~]"  # printable ASCII without space, percent and comma
_CONTINUED = "%[89ABab][0-9A-Fa-f]"
# The bytes of UTF-8 (RFC 3629, 4), percent-encoded.
_ENCODED = "|".join(
    (
        "%[0-7][0-9A-Fa-f]",
        f"%([Cc][2-9A-Fa-f]|[Dd][0-9A-Fa-f]){_CONTINUED}",
        f"%[Ee]0%[ABab][0-9A-Fa-f]{_CONTINUED}",
        f"%[Ee][1-9A-Ca-cEFef]{_CONTINUED}{_CONTINUED}",
        f"%[Ee][Dd]%[89][0-9A-Fa-f]{_CONTINUED}",
        f"%[Ff]0%(9|[ABab])[0-9A-Fa-f]{_CONTINUED}{_CONTINUED}",
        f"%[Ff][1-3]{_CONTINUED}{_CONTINUED}{_CONTINUED}",
        f"%[Ff]4%8[0-9A-Fa-f]{_CONTINUED}{_CONTINUED}",
    )
)
SESSION_OWNER = {
    "type": "string",
    "minLength": 1,
    "pattern": f"^({_AS_IT_IS}|{_ENCODED})( *({_AS_IT_IS}|{_ENCODED}))*$",
    # Each character and each escape is a byte of the name.
    "allOf": [{"pattern": r"^([ -$&-+\--~]|%[0-9A-Fa-f]{2}){1,200}$"}],
}

SPOKEN_TEXT = {"type": "string", "minLength": 1, "pattern": r"\S"}

A_PROMPT: JsonDict = {"contains": {"not": {"required": ["cachePoint"]}}}

ANY_BUT_NULL = {
    "anyOf": [
        {"type": "string"},
        {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER},
        {"type": "boolean"},
        {"type": "object"},
        {"type": "array"},
    ]
}

TURN: JsonDict = {
    "oneOf": [
        {
            "title": "A prompt",
            "required": ["prompt"],
            "properties": {"prompt": {"not": {"type": "null"}}, "interrupt_responses": {"type": "null"}},
        },
        {
            "title": "Answers to interrupts",
            "required": ["interrupt_responses"],
            "properties": {"interrupt_responses": {"type": "array"}, "prompt": {"type": "null"}},
        },
    ]
}

FORK: JsonDict = {
    "oneOf": [
        {
            "title": "Before a turn",
            "required": ["before_turn"],
            "properties": {"before_turn": {"type": "string"}, "before_message": {"type": "null"}},
        },
        {
            "title": "Before a message",
            "required": ["before_message"],
            "properties": {"before_message": {"type": "integer"}, "before_turn": {"type": "null"}},
        },
    ]
}


def exactly_one_of(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object that has exactly one of the properties of another one, and not null.

    Args:
        schema: An object's schema; each of its properties may be null.
    """
    return {
        "title": schema["title"],
        "description": schema["description"],
        "oneOf": [
            {"type": "object", "properties": {name: _not_null(of)}, "required": [name], "additionalProperties": False}
            for name, of in schema["properties"].items()
        ],
    }


def by_format(schema: dict[str, Any], bytes_of: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The schema of a file whose bytes have to be what its format says.

    Args:
        schema: An object's schema with ``format`` and ``source``.
        bytes_of: The schema of the bytes for each format that has a signature.
    """
    formats = schema["properties"]["format"]["enum"]
    any_bytes = [name for name in formats if name not in bytes_of]
    variants: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"const": name, "type": "string"}, bytes_of[name]) for name in bytes_of
    ]
    if any_bytes:
        variants.append(({"enum": any_bytes, "type": "string"}, base64()))
    return {
        "title": schema["title"],
        "description": schema["description"],
        "oneOf": [
            {
                "type": "object",
                "properties": {**schema["properties"], "format": of_format, "source": _source(of_bytes)},
                "required": schema["required"],
                "additionalProperties": False,
            }
            for of_format, of_bytes in variants
        ],
    }


def _source(of_bytes: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"bytes": of_bytes}, "required": ["bytes"], "additionalProperties": False}


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    kinds: list[dict[str, Any]] = [one for one in schema["anyOf"] if one != {"type": "null"}]
    return kinds[0]


_BASE64_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_ANY = "[A-Za-z0-9+/]"
_QUARTETS = f"(?:{_ANY}{{4}})*(?:{_ANY}{{2}}==|{_ANY}{{3}}=)?"
# How base64 goes on after so many characters of a quartet.
_GOES_ON = {
    0: _QUARTETS,
    2: f"(?:==|{_ANY}=|{_ANY}{{2}}{_QUARTETS})",
    3: f"(?:=|{_ANY}{_QUARTETS})",
}


def base64(*, starts_with: Iterable[bytes] = (), contains: bytes | None = None, within: int = 0) -> dict[str, Any]:
    """The schema of bytes as base64 text with padding, not empty.

    Args:
        starts_with: With which of these the bytes begin; none for any.
        contains: What stands somewhere near the beginning.
        within: Up to which byte it stands whole.
    """
    beginnings = [_encoded(signature) for signature in starts_with]
    pattern = f"(?:{'|'.join(beginnings)})" if beginnings else _QUARTETS
    if contains is not None:
        shifted = "|".join(_encoded(contains, behind) for behind in range(3))
        pattern = f"(?:{_ANY}{{4}}){{0,{(within - len(contains)) // 3}}}(?:{shifted})"
    return {"type": "string", "contentEncoding": "base64", "minLength": 4, "pattern": f"^{pattern}$"}


def _encoded(known: bytes, behind: int = 0) -> str:
    """The pattern of base64 text whose bytes are known from some byte of the first quartet on, and then any."""
    bits = "?" * 8 * behind + "".join(f"{byte:08b}" for byte in known)
    bits += "?" * (-len(bits) % 6)
    sextets = [bits[start : start + 6] for start in range(0, len(bits), 6)]
    return "".join(map(_characters, sextets)) + _GOES_ON[len(sextets) % 4]


def _characters(sextet: str) -> str:
    """The class of base64's characters whose bits are these; ``?`` is either."""
    possible = [
        character
        for value, character in enumerate(_BASE64_CHARACTERS)
        if all(known in {"?", bit} for bit, known in zip(f"{value:06b}", sextet, strict=True))
    ]
    return possible[0] if len(possible) == 1 else f"[{''.join(possible)}]"


def checked_id(kind: str) -> Callable[[str], str]:
    """A validator for ids that can be stored, and that lenient decoding cannot have merged."""

    def check(value: str) -> str:
        if REPLACEMENT_CHARACTER in value:
            raise ValueError("must not contain U+FFFD, which stands for text that could not be decoded")
        try:
            return check_identifier(kind, value)
        except ValueError as error:
            # The error's place says which id it is, and the caller knows the id's value.
            raise ValueError(str(error).rpartition(" | ")[2]) from None

    return check


def without_percent(value: str) -> str:
    """A validator for ids in a path."""
    # Some gateways decode a path before they write the event. Without a percent sign in the id, decoding it twice
    # changes nothing.
    if "%" in value:
        raise ValueError("must not contain %, which would mean another session where a path is decoded twice")
    return value


def matching(schema: dict[str, Any], message: str) -> Callable[[str], str]:
    """A validator for what a schema of text says with its pattern and its length."""
    pattern, longest = re.compile(schema["pattern"]), schema.get("maxLength", math.inf)

    def check(value: str) -> str:
        if not pattern.fullmatch(value) or len(value) > longest:
            raise ValueError(message)
        return value

    return check


def whole_number(value: object) -> object:
    """Text of a query as JSON writes an integer, and nothing else that Python would take for one."""
    if isinstance(value, str) and not re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", value):
        raise ValueError("must be a whole number")
    return value


def json_integer(value: object) -> object:
    """A number of JSON without a fraction; 1.0 is one, and text or a truth value is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
        raise ValueError("must be a whole number")
    return int(value)


TurnId = Annotated[
    str,
    AfterValidator(matching(TURN_ID, "must be a turn_id of a reply")),
    WithJsonSchema(TURN_ID),
]
AgentId = Annotated[str, AfterValidator(checked_id("agent")), WithJsonSchema(ID)]
SessionId = Annotated[str, AfterValidator(checked_id("session")), WithJsonSchema(ID)]
SessionIdInPath = Annotated[
    str,
    AfterValidator(checked_id("session")),
    AfterValidator(without_percent),
    WithJsonSchema({**ID_IN_PATH, "description": "Any text of up to 240 bytes without separators."}),
]
MessageId = Annotated[int, BeforeValidator(json_integer), Field(ge=0, le=MAX_MESSAGE_ID), WithJsonSchema(MESSAGE_ID)]
_NO_CURSOR = "must be the next_cursor of an earlier page"
OpaqueCursor = Annotated[
    str,
    AfterValidator(matching(OPAQUE_CURSOR, _NO_CURSOR)),
    WithJsonSchema(OPAQUE_CURSOR),
]
MessagesCursor = Annotated[
    str,
    AfterValidator(matching(MESSAGES_CURSOR, _NO_CURSOR)),
    WithJsonSchema(MESSAGES_CURSOR),
]
SessionTitle = Annotated[
    str,
    AfterValidator(
        matching(SESSION_TITLE, "must be 1 to 200 characters, one of them visible, without control characters")
    ),
    AfterValidator(str.strip),
    WithJsonSchema(SESSION_TITLE),
]
IdempotencyKey = Annotated[
    str,
    AfterValidator(matching(IDEMPOTENCY_KEY, "must be 1 to 200 printable ASCII characters")),
    WithJsonSchema(IDEMPOTENCY_KEY),
]
