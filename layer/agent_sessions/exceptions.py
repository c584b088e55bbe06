"""What can go wrong with a session, and what a caller can do about it."""


class SessionException(Exception):  # noqa: N818 - the name Strands gives it
    """Base of every error this package raises.

    Attributes:
        session_id: The session concerned, where one is known.
        key: The object's key (S3) or path (files), where a single object is concerned.
    """

    def __init__(self, message: str, *, session_id: str | None = None, key: str | None = None) -> None:
        super().__init__(message)
        self.session_id = session_id
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


class SessionCorruptError(SessionException):
    """An object of the session cannot be understood. ``key`` names it; the others are unharmed."""


class SessionStorageError(SessionException):
    """The storage refused or failed. Whether the last write was applied is unknown; a retry is safe.

    Attributes:
        code: The storage's own error code, such as ``SlowDown`` or ``AccessDenied``.
    """

    def __init__(
        self, message: str, *, code: str | None = None, session_id: str | None = None, key: str | None = None
    ) -> None:
        super().__init__(message, session_id=session_id, key=key)
        self.code = code
