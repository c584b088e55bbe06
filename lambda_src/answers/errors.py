"""What the endpoint can answer instead of a reply: one class for each answer a caller should tell apart.

Over HTTP each becomes a problem document (RFC 9457); a plain event raises it, and its class name is what a Step
Functions ``Catch`` or ``Retry`` matches. Messages are written for the caller and hold nothing of a conversation,
because the Lambda runtime logs what a plain event raises.
"""
# Over 300 lines: every answer that is not a reply.

from collections.abc import Sequence
from typing import Any, ClassVar


class EndpointError(Exception):
    """Base of every answer that is not a reply.

    Attributes:
        status: The HTTP status.
        slug: The last part of the problem's ``type``; it never changes once published.
        title: What kind of problem this is, the same for every occurrence.
        retry_after_seconds: When trying again can help, or ``None`` when waiting alone does not.
        extensions: Further members of the problem document.
    """

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "The endpoint failed"

    def __init__(self, detail: str, *, retry_after_seconds: int | None = None, **extensions: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds
        self.extensions = extensions


class InternalError(EndpointError):
    """Something nobody foresaw; the log says where."""


class MalformedRequestError(EndpointError):
    """The body is not JSON."""

    status = 400
    slug = "malformed-request"
    title = "The request cannot be read"


class BadRequestError(EndpointError):
    """The request can be read, but something in it is not allowed; ``errors`` says what and where."""

    status = 422
    slug = "invalid-request"
    title = "The request is not valid"


class IdempotencyKeyReusedError(EndpointError):
    """The idempotency key was used for another request to the session; nothing was done."""

    status = 422
    slug = "idempotency-key-reused"
    title = "The idempotency key was used for something else"


class PromptRefusedError(EndpointError):
    """The model will not take what the prompt holds beside text; it is not shown that again."""

    status = 422
    slug = "prompt-refused"
    title = "The model refused the prompt"


class ForkRefusedError(EndpointError):
    """No fork can begin there: the message begins no turn, or the session is an orchestrator's."""

    status = 422
    slug = "fork-refused"
    title = "The session cannot be forked there"


class OnBehalfRefusedError(EndpointError):
    """The caller names somebody to speak for, and cannot, or not in this way."""

    status = 400
    slug = "session-owner-refused"
    title = "The caller cannot speak for this owner"


class UnauthenticatedError(EndpointError):
    """Nobody vouches for the caller.

    Args:
        detail: See :class:`EndpointError`.
        challenge: What the caller would have to send, as the header ``WWW-Authenticate`` says it.
    """

    status = 401
    slug = "unauthenticated"
    title = "The caller is not known"

    def __init__(self, detail: str, *, challenge: str = "AWS4-HMAC-SHA256") -> None:
        super().__init__(detail)
        self.challenge = challenge


class NotFoundError(EndpointError):
    """There is no such route, or the caller has no such session or agent."""

    status = 404
    slug = "not-found"
    title = "Not found"


class MethodNotAllowedError(EndpointError):
    """The path takes other methods.

    Args:
        detail: See :class:`EndpointError`.
        allowed: The methods it takes.
    """

    status = 405
    slug = "method-not-allowed"
    title = "The path does not take this method"

    def __init__(self, detail: str, *, allowed: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.allowed = tuple(allowed)


class NotAcceptableError(EndpointError):
    """The answer has no form that the caller takes.

    Args:
        detail: See :class:`EndpointError`.
        offered: The forms it has: media types.
    """

    status = 406
    slug = "not-acceptable"
    title = "No form of the answer is acceptable"

    def __init__(self, detail: str, *, offered: Sequence[str] = ()) -> None:
        super().__init__(detail, offered=list(offered))


class InterruptPendingError(EndpointError):
    """The agent waits for answers, and a plain prompt is not one; ``interrupts`` says what it asks."""

    status = 409
    slug = "interrupt-pending"
    title = "The agent waits for an answer"


class NoInterruptPendingError(EndpointError):
    """Answers were sent, but the agent waits for none."""

    status = 409
    slug = "no-interrupt-pending"
    title = "The agent waits for no answer"


class TurnConflictError(EndpointError):
    """Another request wrote to the session first; ``turn_began`` tells whether this turn had begun by then."""

    status = 409
    slug = "session-conflict"
    title = "Another request came first"


class TurnOverError(EndpointError):
    """The turn is over and cannot be cancelled."""

    status = 409
    slug = "turn-over"
    title = "The turn is over"


class SessionTakenError(EndpointError):
    """There is a session of this id already, and it stays as it is."""

    status = 409
    slug = "session-exists"
    title = "The session exists"


class SessionInUseError(EndpointError):
    """Another request holds the session."""

    status = 409
    slug = "session-busy"
    title = "The session is in use"


class PayloadTooLargeError(EndpointError):
    """More than one request or one reply can carry."""

    status = 413
    slug = "payload-too-large"
    title = "Too large"


class ContextTooLongError(EndpointError):
    """The conversation does not fit the model's context window, even after it was reduced."""

    status = 413
    slug = "context-too-long"
    title = "Too long for the model"


class UnsupportedMediaTypeError(EndpointError):
    """The body says it is something other than JSON."""

    status = 415
    slug = "unsupported-media-type"
    title = "Not JSON"


class ModelThrottledError(EndpointError):
    """The model provider asks to slow down."""

    status = 429
    slug = "model-throttled"
    title = "The model is throttled"


class ModelFailedError(EndpointError):
    """The model failed, or its provider could not be reached."""

    status = 502
    slug = "model-failed"
    title = "The model failed"


class ModelAccessError(EndpointError):
    """The account or the function's role may not use the model (yet)."""

    status = 502
    slug = "model-access"
    title = "No access to the model"


class SessionDamagedError(EndpointError):
    """A stored object of the session cannot be understood; nothing was overwritten."""

    status = 500
    slug = "session-corrupt"
    title = "The session is damaged"


class SecretUnavailableError(EndpointError):
    """A secret that the agent asks for is missing, or may not be read; the log names it."""

    status = 500
    slug = "secret-unavailable"
    title = "A secret is not available"


class ValueNotStorableError(EndpointError):
    """A tool, a hook or the agent's state holds a value that is no JSON; sending the request again does not help."""

    status = 500
    slug = "unstorable-value"
    title = "A value cannot be stored"


class StorageRefusedError(EndpointError):
    """The storage refused, and goes on refusing until somebody changes something; sending again does not help."""

    status = 500
    slug = "storage-refused"
    title = "The storage refused"


class IssuerUnavailableError(EndpointError):
    """The keys that check a token cannot be had from its issuer now; nothing is known of the token."""

    status = 503
    slug = "issuer-unavailable"
    title = "The token cannot be checked"


class StorageFailedError(EndpointError):
    """The storage failed; sending the request again later is safe, and can help."""

    status = 503
    slug = "storage-failed"
    title = "The storage failed"


class TurnCutOffError(EndpointError):
    """The turn's process died, or another writer came first; what the turn had done by then is kept."""

    status = 503
    slug = "turn-cut-off"
    title = "The turn was cut off"


class OutOfTimeError(EndpointError):
    """The function's time ran out; what the turn had done by then is kept."""

    status = 504
    slug = "out-of-time"
    title = "Out of time"


def all_errors() -> list[type[EndpointError]]:
    """Every answer there is, by status, for the contract and its documentation."""
    return sorted(EndpointError.__subclasses__(), key=lambda error: (error.status, error.slug))
