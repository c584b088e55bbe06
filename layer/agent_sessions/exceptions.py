"""What can go wrong with a session, and what a caller can do about it."""

import re
import traceback
from collections import deque

_BELOW_THE_TOP = re.compile(r"[.\[].*", re.DOTALL)


class SessionException(Exception):  # noqa: N818 - the name Strands gives it
    """Base of every error this package raises.

    Attributes:
        session_id: The session concerned, if one is known; taken from the key when it is not given.
        key: The object's key (S3) or path (files), where a single object is concerned.
    """

    def __init__(self, message: str, *, session_id: str | None = None, key: str | None = None) -> None:
        super().__init__(message)
        self.session_id = session_id if session_id is not None else getattr(key, "session_id", None)
        self.key = key


class InvalidIdentifierError(SessionException, ValueError):
    """An id that cannot become part of a key: nothing was read or written. Send another id."""


class SessionNotFoundError(SessionException):
    """There is no such session, agent or message, or it has expired."""


class SessionExistsError(SessionException):
    """What was to be created is already there. Read it, or choose another id."""


class SessionConflictError(SessionException):
    """Another writer came first; nothing of this writer's was stored. Reload the session and try again."""


class SessionBusyError(SessionException):
    """Another caller holds the session.

    Attributes:
        retry_after_seconds: When trying again can help.
        holder: Who holds it, in the holder's own words.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: float,
        holder: str | None = None,
        session_id: str | None = None,
        key: str | None = None,
    ) -> None:
        super().__init__(message, session_id=session_id, key=key)
        self.retry_after_seconds = retry_after_seconds
        self.holder = holder


class NotForkableError(SessionException):
    """No fork can begin there: at a message that begins no turn, behind too many, or in an orchestrator's session."""


class SessionCorruptError(SessionException):
    """An object of the session cannot be understood. ``key`` names it; the others are unharmed."""


class UnstorableValueError(SessionException):
    """A value that cannot be stored, in a message, a state or an interrupt: nothing of it was. Storage is unharmed.

    Sending it again cannot help; another value can.

    Attributes:
        path: Where the value stands, such as ``state.due`` or ``message.content[0].toolResult.content[0].json``. Keys
            in it may be somebody's words. Messages of errors go to logs and traces, so this one's names what every
            record has and no other key: ``state[…]``.
        type_name: The value's type, such as ``datetime.date``.
        reason: What is wrong with it. The value itself is never quoted.
    """

    def __init__(
        self,
        path: str,
        type_name: str,
        reason: str,
        shown_path: str | None = None,
        *,
        session_id: str | None = None,
        key: str | None = None,
    ) -> None:
        shown = _BELOW_THE_TOP.sub("[…]", path) if shown_path is None else shown_path
        super().__init__(
            f"{shown} ({type_name}) | cannot be stored: {reason}; sending it again will not help",
            session_id=session_id,
            key=key,
        )
        self.path = path
        self.type_name = type_name
        self.reason = reason


# Errors of storage after which somebody has to change something before sending again can help. A code in neither list
# is taken for transient: to try again in vain costs a caller less than to give up wrongly.
_PERMANENT_ERRNO = frozenset(
    {
        # No permission, or not on this disk: EROFS is a disk mounted read-only.
        "EACCES",
        "EPERM",
        "EROFS",
        # The path: a loop of links, a name that is too long or that this file system does not take, a file where a
        # folder should be or the other way round, a pipe, a socket or a device.
        "ELOOP",
        "ENAMETOOLONG",
        "EILSEQ",
        "ENOTDIR",
        "EISDIR",
        "ENXIO",
        "ENODEV",
        "SymbolicLink",
        # The file system cannot do it, or the file is too large for it.
        "ENOTSUP",
        "EOPNOTSUPP",
        "ENOSYS",
        "EINVAL",
        "ENOTTY",
        "EXDEV",
        "EMLINK",
        "EFBIG",
        "EOVERFLOW",
    }
)
_PERMANENT_S3 = frozenset(
    {
        # The caller. An expired token is not listed: another process has a new one.
        "AccessDenied",
        "AccountProblem",
        "AllAccessDisabled",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "InvalidToken",
        "NotSignedUp",
        "InvalidSecurity",
        "InvalidPayer",
        "UnauthorizedAccess",
        # The place: no such bucket, another region, or an operation that this endpoint does not have.
        "NoSuchBucket",
        "InvalidBucketName",
        "InvalidBucketState",
        "PermanentRedirect",
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "MethodNotAllowed",
        "NotImplemented",
        "NotSupported",
        # The object: a key that S3 does not take, an object in an archive, a request that it cannot understand.
        "KeyTooLongError",
        "KeyTooLong",
        "InvalidArgument",
        "InvalidRequest",
        "InvalidURI",
        "InvalidObjectName",
        "InvalidObjectState",
        "EntityTooLarge",
        "MetadataTooLarge",
        "MalformedXML",
        "InvalidDigest",
        "InvalidStorageClass",
        "InvalidEncryptionAlgorithmError",
        "MaxMessageLengthExceeded",
        "MissingContentLength",
        # The encryption key is disabled, deleted or not allowed.
        "KMS.DisabledException",
        "KMS.NotFoundException",
        "KMS.KMSInvalidStateException",
        "KMS.InvalidKeyUsageException",
        # Answers without a code, by status.
        "301",
        "308",
        "400",
        "401",
        "403",
        "404",
        "405",
        "411",
        "413",
        "414",
        "501",
        # botocore raises these before it sends: no credentials, no region or endpoint, or wrong arguments.
        "NoCredentialsError",
        "PartialCredentialsError",
        "ProfileNotFound",
        "NoRegionError",
        "InvalidRegionError",
        "InvalidEndpointConfigurationError",
        "ParamValidationError",
        "UnauthorizedSSOTokenError",
        "SSOTokenLoadError",
    }
)


class SessionStorageError(SessionException):
    """The storage refused or failed. Whether the last write was applied is unknown; a retry does no harm.

    Attributes:
        code: The storage's own error code: of S3, such as ``SlowDown`` or ``AccessDenied``; of a file system the name
            of the error number, such as ``ENOSPC`` or ``EROFS``.
        is_transient: Whether sending again later can help without anybody's doing. ``False`` for what is not allowed,
            not there or not possible: ``AccessDenied``, ``NoSuchBucket``, ``KeyTooLongError``, ``EACCES``, ``EROFS``,
            ``ELOOP``. ``True`` for throttles, time-outs, broken connections, 5xx, and for what is used up: ``ENOSPC``,
            ``EDQUOT``, ``EMFILE``; ``EIO`` and ``ESTALE``, for a network file system recovers from them; and where it
            is not known.

    Args:
        message: What happened.
        code: See above.
        is_transient: See above; what the code says when not given.
        session_id: The session concerned, where one is known.
        key: The object's key (S3) or path (files).
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        is_transient: bool | None = None,
        session_id: str | None = None,
        key: str | None = None,
    ) -> None:
        super().__init__(message, session_id=session_id, key=key)
        self.code = code
        self.is_transient = is_transient_code(code) if is_transient is None else is_transient


class ConditionsNotKeptError(SessionStorageError):
    """The store keeps no conditional writes, on which everything about two writers rests. Nothing was written.

    Use a store that keeps them, or allow to go without: ``allow_unconditional=True``.

    Attributes:
        endpoint_url: The store.
        bucket: The bucket.
        seen: How it showed.
    """

    def __init__(self, endpoint_url: str, bucket: str, seen: str, *, key: str | None = None) -> None:
        super().__init__(
            f"endpoint={endpoint_url}, bucket={bucket} | the store {seen}. Of two turns at once one would overwrite "
            "the other's messages without a word, and two callers would hold a session's lease. Use a store that keeps "
            "conditional writes (docs/STORES.md), or go without them on purpose: allow_unconditional=True, of the "
            "endpoint ALLOW_UNCONDITIONAL=true",
            code="ConditionsNotKept",
            is_transient=False,
            key=key,
        )
        self.endpoint_url = endpoint_url
        self.bucket = bucket
        self.seen = seen


def is_transient_code(code: str | None) -> bool:
    """Whether a storage error with this code can pass by itself; ``True`` when that is not known."""
    return code not in _PERMANENT_ERRNO and code not in _PERMANENT_S3


def named(error: BaseException) -> str:
    """What a log line may say of an error: its class, the storage's code if it has one, and where it was raised.

    An error's message quotes what it failed on, which may be a conversation; so do its causes' messages.
    """
    response = getattr(error, "response", None)  # of botocore's ClientError
    aws = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    code = error.code if isinstance(error, SessionStorageError) else aws
    name = type(error).__name__ if code is None else f"{type(error).__name__} {code}"
    last = deque(traceback.walk_tb(error.__traceback__), maxlen=1)
    return name if not last else f"{name} in {last[0][0].f_globals.get('__name__')}:{last[0][1]}"
