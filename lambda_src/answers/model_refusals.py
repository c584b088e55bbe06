"""Decides from the provider's own words whether a model's error says that the request itself is not valid.

The one place that knows how providers say so: Amazon Bedrock's ``ValidationException``, botocore's check before a
request is sent, Strands' ``ContextWindowOverflowException``, the statuses 400, 413, 415 and 422 of everybody's API, and
the ``TypeError`` with which Strands' own providers refuse a kind of block. An error that says the model is busy,
missing or not allowed is no refusal: the same request may be answered later.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from lambda_src.answers.diagnosis import aws_error, code_of

Suspect = Literal["marks", "media", "tools", "shape", "length"]

_BAD_REQUEST = 400
_FAILED_STATUS = 500
_REFUSING_STATUSES = {_BAD_REQUEST, 413, 415, 422}
_REFUSING_AWS_CODES = {"validationexception", "paramvalidationerror"}
_REFUSING_NAMES = {"ParamValidationError"}
_OVERFLOW = "ContextWindowOverflowException"
_MISTAKES = (TypeError, KeyError, AttributeError, NotImplementedError, UnicodeError)
"""What a provider's client raises over a block that it cannot send."""

# What Google and Anthropic say with status 400, where others say 401, 402 or 403. Their whole phrases: "api key" and
# "billing" are also the names of people's tools.
_ACCOUNT = (
    r"api[ _]key[ _](?:not valid|invalid|expired|not found)|(?:invalid|incorrect|missing|valid) api key"
    r"|credit balance is too low|enable billing|plans & billing|user location is not supported"
)
_ABOUT_THE_ACCOUNT = re.compile(_ACCOUNT, re.IGNORECASE)
# Providers use the same codes when a model cannot be called this way. No conversation is to blame for that.
_ABOUT_THE_MODEL = re.compile(
    r"model identifier|on-demand throughput|inference profile"
    r"|maximum tokens you requested|model_not_found|model .{0,80}does not exist|llm provider not provided"
    rf"|{_ACCOUNT}",
    re.IGNORECASE,
)

_SUSPECTS: dict[Suspect, re.Pattern[str]] = {
    "marks": re.compile(r"cach|thinking|reasoning|signature|guard_?content|citation", re.IGNORECASE),
    "media": re.compile(r"image|document|pdf\b|\bfiles?\b|video|audio|media|modal|vision|attachment", re.IGNORECASE),
    "tools": re.compile(r"tool", re.IGNORECASE),
    "shape": re.compile(
        r"alternat|\broles?\b|blank|empty|whitespace|start with|end with|prefill|consecutive|surrogate", re.IGNORECASE
    ),
    "length": re.compile(r"too (long|large|big|many)|exceed|maximum|context (length|window)|tokens?\b", re.IGNORECASE),
}


@dataclass(frozen=True)
class Refusal:
    """A model will not take what it was shown.

    Attributes:
        code: What its provider calls that.
        suspects: What the provider's words point at, likeliest first; empty when they point at nothing.
        certain: Whether the provider said so. If only its client failed, that counts as a refusal of anything but plain
            text.
    """

    code: str
    suspects: tuple[Suspect, ...]
    certain: bool = True


def refusal_of(error: BaseException) -> Refusal | None:
    """What a model's error says of the request; ``None`` when it is about something else."""
    name, words = type(error).__name__, _words(error)
    if name == _OVERFLOW:
        return Refusal(name, ("length",))
    if _ABOUT_THE_MODEL.search(words):
        return None
    suspects = tuple(suspect for suspect, pattern in _SUSPECTS.items() if pattern.search(words))
    if aws_error(error):
        code = code_of(error) or name
        return Refusal(code, suspects) if _aws_refuses(error, code) else None
    if name in _REFUSING_NAMES or status_of(error) in _REFUSING_STATUSES:
        return Refusal(name, suspects)
    if isinstance(error, _MISTAKES) and status_of(error) is None:
        return Refusal(name, suspects, certain=False)
    return None


def _aws_refuses(error: BaseException, code: str) -> bool:
    if code.lower() in _REFUSING_AWS_CODES:
        return True
    # AWS only hosts this model, and passes its status on.
    original = getattr(error, "response", {}).get("originalStatusCode")
    return code.lower() == "modelerrorexception" and original in _REFUSING_STATUSES


def is_about_the_account(error: BaseException) -> bool:
    """Whether a provider's own API refuses the key, or the account behind it, with a status that says less."""
    return status_of(error) == _BAD_REQUEST and _ABOUT_THE_ACCOUNT.search(_words(error)) is not None


def status_of(error: BaseException) -> int | None:
    """The HTTP status that a provider's error carries, wherever its SDK keeps it.

    LiteLLM makes 500 of every status that it has no class for, Anthropic's 529 among them. What it was raised from has
    the provider's own.
    """
    status = _own_status(error)
    source = error.__cause__ or error.__context__
    if status == _FAILED_STATUS and source is not None:
        return _own_status(source) or status
    return status


def _own_status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    for holder in (error, response):
        for name in ("status_code", "http_status", "code", "status"):
            value = getattr(holder, name, None)
            if isinstance(value, int) and not isinstance(value, bool):
                return int(value)
    return None


def _words(error: BaseException) -> str:
    return str(aws_error(error).get("Message", "")) or str(error)
