"""An HTTP answer as a streaming Function URL takes it: a prelude, eight NULs, and the body in pieces.

The prelude is JSON: ``statusCode``, ``headers`` and ``cookies``. Lambda makes the status line and the headers of it
(content type ``application/vnd.awslambda.http-integration-response``). Every answer can be told in this form: an
ordinary one has a single piece, an empty one has none.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lambda_src.runtime.streamed_answer import StreamedAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

CONTENT_TYPE = "application/vnd.awslambda.http-integration-response"
_END_OF_PRELUDE = b"\0" * 8
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token of RFC 9110, 5.1
_VISIBLE = "".join(map(chr, range(0x20, 0x7F))) + "\t"


@dataclass(frozen=True)
class PreparedAnswer:
    """An answer that is ready to be sent.

    Attributes:
        prelude: With the NULs that end it.
        pieces: The body. Asking for the next piece may block, and may raise.
        end: Lets go of the body, read to its end or not. Returns when the work behind the body is over.
    """

    prelude: bytes
    pieces: Iterator[bytes]
    end: Callable[[], object] = field(default=lambda: None)


def is_http_answer(returned: object) -> bool:
    """Whether a handler returned an answer to an HTTP request.

    Everything else was returned for a plain event. Lambda makes the same distinction: an answer has a ``statusCode``,
    which no reply of ours to a plain event has.
    """
    return isinstance(returned, StreamedAnswer) or (isinstance(returned, dict) and "statusCode" in returned)


def prepare(answer: StreamedAnswer | Mapping[str, Any]) -> PreparedAnswer:
    """Make an answer ready to be sent.

    It waits for the first piece of a streamed body. A failure until then can still be told as an error of the
    invocation.

    Args:
        answer: What the handler returned, of which :func:`is_http_answer`.

    Raises:
        ValueError: A header has a name that HTTP does not allow, or the body is said to be base64 and is not.
        Exception: What the streamed body raised before its first piece.
    """
    if isinstance(answer, StreamedAnswer):
        return _prepare_streamed(answer)
    body = answer.get("body") or ""
    content = base64.b64decode(body, validate=True) if answer.get("isBase64Encoded") else body.encode()
    prelude = _prelude(answer["statusCode"], answer.get("headers") or {}, answer.get("cookies") or [])
    return PreparedAnswer(prelude, iter([content] if content else []))


def _prepare_streamed(answer: StreamedAnswer) -> PreparedAnswer:
    def end() -> None:
        answer.close()
        answer.wait()

    try:
        prelude = _prelude(answer.status_code, answer.headers, answer.cookies)
        first = next(answer.pieces, b"")
    except BaseException:
        end()
        raise
    return PreparedAnswer(prelude, chain([first], answer.pieces), end)


def _prelude(status: Any, headers: Mapping[str, Any], cookies: Iterable[str]) -> bytes:
    told = {
        "statusCode": int(status),
        "headers": {_name(name): _value(value) for name, value in headers.items()},
        "cookies": [_value(cookie) for cookie in cookies],
    }
    return json.dumps(told, separators=(",", ":")).encode() + _END_OF_PRELUDE


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("a header has a name that HTTP does not allow")
    return name


def _value(value: Any) -> str:
    """A header's value, in visible ASCII.

    Other bytes mean something else to every reader, and a line break would begin another header (RFC 9110, 5.5). Both
    are percent-encoded, as they would be in a URL.
    """
    return quote(str(value).strip(" \t"), safe=_VISIBLE, errors="surrogatepass")
