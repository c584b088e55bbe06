"""Encode ``application/vnd.amazon.eventstream`` messages, the framing of Bedrock's streamed replies.

A message is a prelude (total length, headers length, CRC of those eight bytes), the headers, the payload and a CRC
of everything before it; integers are big-endian. A string header is its name's length (1 byte), its name, the
type 7, its value's length (2 bytes) and its value.
Source: https://smithy.io/2.0/aws/amazon-eventstream.html
"""

import json
import struct
import zlib
from typing import Any

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_STRING = 7


def event(event_type: str, payload: dict[str, Any]) -> bytes:
    """Return an event, such as ``contentBlockDelta``, with a JSON payload."""
    return message(
        {":event-type": event_type, ":content-type": "application/json", ":message-type": "event"},
        json.dumps(payload).encode(),
    )


def exception(exception_type: str, payload: dict[str, Any]) -> bytes:
    """Return a modelled exception, such as ``throttlingException``, which ends the stream."""
    return message(
        {":exception-type": exception_type, ":content-type": "application/json", ":message-type": "exception"},
        json.dumps(payload).encode(),
    )


def error(code: str, text: str) -> bytes:
    """Return an unmodelled error, which ends the stream; such messages carry no payload."""
    return message({":message-type": "error", ":error-code": code, ":error-message": text}, b"")


def message(headers: dict[str, str], payload: bytes) -> bytes:
    """Return one framed message.

    Args:
        headers: string headers, names with their leading colon.
        payload: the bytes of the body.
    """
    encoded = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", _STRING, len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    # 16 bytes of framing: the prelude's two lengths, its CRC and the message's CRC.
    lengths = struct.pack("!II", len(encoded) + len(payload) + 16, len(encoded))
    head = lengths + struct.pack("!I", zlib.crc32(lengths))
    body = head + encoded + payload
    return body + struct.pack("!I", zlib.crc32(body))
