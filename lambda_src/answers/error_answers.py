"""Makes the caller's answer from the error that ended a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_sessions import exceptions as sessions
from lambda_src.answers import errors
from lambda_src.answers.diagnosis import aws_error, code_of, unwrapped
from lambda_src.answers.model_refusals import is_about_the_account, refusal_of, status_of

if TYPE_CHECKING:
    from collections.abc import Callable

    _Answers = dict[type, Callable[[Any], errors.EndpointError]]

CONFLICT_RETRY_SECONDS = 1
STORAGE_RETRY_SECONDS = 2
THROTTLE_RETRY_SECONDS = 10
"""Bedrock counts tokens and requests by the minute and names no time to wait; a client that backs off starts here."""

CONTEXT_TOO_LONG = "The conversation no longer fits the model. Send less at once, or start another session."

_THROTTLED = {
    "ThrottlingException",
    "TooManyRequestsException",
    "ServiceQuotaExceededException",
    "ModelNotReadyException",
}
# Of a provider's own API. When it is overloaded, Anthropic says 529, and Google, OpenAI and Ollama say 503.
_THROTTLED_STATUSES = {429, 503, 529}
_ACCESS_STATUSES = {401, 402, 403}
_UNKNOWN_MODEL_STATUS = 404
_ACCESS = {"AccessDeniedException", "UnrecognizedClientException", "NoCredentialsError", "PartialCredentialsError"}
_ACCESS_HELP = (
    "The model provider refused access ({code}). For Amazon Bedrock: the function's role needs "
    "bedrock:InvokeModelWithResponseStream on the model, the model must be offered in this region, and the first use "
    "of an Anthropic model in an account needs its use-case form (Bedrock console, Model catalog) and AWS Marketplace "
    "permissions. New access can take some minutes."
)

_KEY_HELP = (
    "The model provider refused access ({status}). Whoever runs the endpoint has to look at the provider's key and at "
    "what its account may use. A key that was replaced is used after five minutes at most."
)


def answer_for(
    error: BaseException, model_error: BaseException | None = None, *, turn_began: bool = False
) -> errors.EndpointError:
    """The answer for an exception that ended a request.

    Args:
        error: What was raised.
        model_error: What the last model call raised, when that is known. It has precedence: if a turn failed because of
            the model and then could not be stored either, the caller is told of the model's failure.
        turn_began: Whether it was a turn's request, and the turn has begun: part of it is stored, or its tools may
            have run.
    """
    error = unwrapped(error)
    if isinstance(error, errors.EndpointError):
        return error
    if model_error is not None and not isinstance(unwrapped(model_error), sessions.SessionException):
        return _for_model(unwrapped(model_error))
    if isinstance(error, sessions.SessionException):
        return _for_session(error, ANSWERS | ANSWERS_IN_A_TURN if turn_began else ANSWERS)
    return _internal_error()


def _for_session(error: sessions.SessionException, answers: _Answers) -> errors.EndpointError:
    """The answer for an error of the session library: that of the nearest class that has one.

    The base class has none: an error without a class of its own is a bug, not a failure of the storage.
    """
    for kind in type(error).__mro__:
        if kind in answers:
            return answers[kind](error)
    return _internal_error()


def _internal_error() -> errors.EndpointError:
    return errors.InternalError("Something unexpected happened. The session is as it was stored last.")


def _bad_identifier(error: Any) -> errors.EndpointError:
    return errors.BadRequestError(str(error))


def _not_found(_: Any) -> errors.EndpointError:
    return errors.NotFoundError("You have no such session, agent or message.")


def _busy(error: Any) -> errors.EndpointError:
    return errors.SessionInUseError(
        f"Another caller is using this session{f': {error.holder}' if error.holder else ''}.",
        retry_after_seconds=max(1, round(error.retry_after_seconds)),
    )


def _not_forkable(error: Any) -> errors.EndpointError:
    return errors.ForkRefusedError(str(error).rpartition(" | ")[2])


def _conflict(_: Any) -> errors.EndpointError:
    return errors.TurnConflictError(
        "Another request wrote to this session first. Nothing of this request was stored; send it again.",
        retry_after_seconds=CONFLICT_RETRY_SECONDS,
    )


def _conflict_in_a_turn(_: Any) -> errors.EndpointError:
    # Waiting alone does not help, so there is no time to wait: without its key, the request would act twice.
    return errors.TurnConflictError(
        "Another request wrote to this session after this turn had begun. What the turn has stored stays, and its "
        "tools may have run. Read the conversation before you send the request again.",
        turn_began=True,
    )


def _corrupt(_: Any) -> errors.EndpointError:
    return errors.SessionDamagedError(
        "A stored object of this session cannot be understood. Nothing was overwritten; the log names it."
    )


def _unstorable(error: Any) -> errors.EndpointError:
    return errors.ValueNotStorableError(
        f"A tool, a hook or the agent's state holds a value that is no JSON ({error.type_name}). "
        "It was not stored. Sending the request again does not help."
    )


def _storage(error: Any) -> errors.EndpointError:
    return _storage_answer(error, "Sending the request again is safe.")


def _storage_in_a_turn(error: Any) -> errors.EndpointError:
    return _storage_answer(
        error,
        "The turn had begun, and what it has stored stays. Sent again with its Idempotency-Key, the request goes on "
        "with the turn; without one it begins another turn, and tools that have run would run again.",
        turn_began=True,
    )


def _storage_answer(error: Any, sent_again: str, **extensions: Any) -> errors.EndpointError:
    code = code_of(error)
    named = f" ({code})" if code else ""
    if not error.is_transient:
        return errors.StorageRefusedError(
            f"The session's storage refused{named}. Somebody has to change something there before it can work; "
            "sending the request again does not help."
        )
    return errors.StorageFailedError(
        f"The session's storage failed{named}. {sent_again}", retry_after_seconds=STORAGE_RETRY_SECONDS, **extensions
    )


ANSWERS: _Answers = {
    sessions.InvalidIdentifierError: _bad_identifier,
    sessions.SessionNotFoundError: _not_found,
    sessions.SessionBusyError: _busy,
    sessions.SessionConflictError: _conflict,
    sessions.SessionExistsError: _conflict,
    sessions.NotForkableError: _not_forkable,
    sessions.SessionCorruptError: _corrupt,
    sessions.UnstorableValueError: _unstorable,
    sessions.ConditionsNotKeptError: _storage,
    sessions.SessionStorageError: _storage,
}
"""The answer for each kind of error that the session library names."""

ANSWERS_IN_A_TURN: _Answers = {
    sessions.SessionConflictError: _conflict_in_a_turn,
    sessions.SessionStorageError: _storage_in_a_turn,
}
"""The answers that are others once a turn has begun."""


def _for_model(error: BaseException) -> errors.EndpointError:
    return _of_status(error) or _of_words(error)


def _of_words(error: BaseException) -> errors.EndpointError:
    name, code = type(error).__name__, code_of(error) or ""
    message = str(aws_error(error).get("Message", ""))
    if name == "ModelThrottledException" or code[:1].upper() + code[1:] in _THROTTLED:
        return _throttled()
    # Before its form is filled in, Bedrock hides an Anthropic model behind ResourceNotFoundException.
    if {code, name} & _ACCESS or (code == "ResourceNotFoundException" and "use case details" in message):
        return errors.ModelAccessError(_ACCESS_HELP.format(code=code or name))
    refusal = refusal_of(error)
    if refusal is not None and refusal.suspects[:1] == ("length",):
        return errors.ContextTooLongError(CONTEXT_TOO_LONG)
    if refusal is not None and refusal.certain:
        return errors.ModelFailedError(
            f"The model refuses the prompt ({refusal.code}), alone and without anything else of the conversation. Send "
            "something else; if it refuses everything, its configuration is to blame."
        )
    if code == "ValidationException":
        return errors.ModelFailedError(
            f"The model cannot be called as it is configured ({code}). The session is unharmed; sending the request "
            "again does not help."
        )
    return errors.ModelFailedError(
        f"The model failed ({code or name}). The session is unharmed; send the request again."
    )


def _of_status(error: BaseException) -> errors.EndpointError | None:
    """The answer for what a provider's own API says with a status; ``None`` where its words count, or AWS' code."""
    status = None if aws_error(error) else status_of(error)
    if status in _THROTTLED_STATUSES:
        return _throttled()
    if status in _ACCESS_STATUSES or (status is not None and is_about_the_account(error)):
        return errors.ModelAccessError(_KEY_HELP.format(status=status))
    if status == _UNKNOWN_MODEL_STATUS:
        return errors.ModelFailedError(
            "The model's provider knows no such model. The session is unharmed; sending the request again does not "
            "help."
        )
    return None


def _throttled() -> errors.EndpointError:
    return errors.ModelThrottledError(
        "The model provider asks to slow down. The session is unharmed; send the request again later.",
        retry_after_seconds=THROTTLE_RETRY_SECONDS,
    )
