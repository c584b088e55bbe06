"""Whether waiting can help is decided from the storage's own code, and said by the error."""

import copy
import errno
import pickle
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError

from agent_sessions._conversation.failure import as_failure
from agent_sessions._storage.s3_objects import S3Objects
from agent_sessions.exceptions import SessionException, SessionStorageError

PERMANENT_ERRNO = [
    "EACCES",
    "EPERM",
    "EROFS",
    "ELOOP",
    "ENAMETOOLONG",
    "ENOTDIR",
    "EISDIR",
    "EINVAL",
    "ENOSYS",
    "ENOTSUP",
    "EOPNOTSUPP",
    "ENXIO",
    "EFBIG",
    "EXDEV",
]
TRANSIENT_ERRNO = [
    "ENOSPC",
    "EDQUOT",
    "EMFILE",
    "ENFILE",
    "EIO",
    "ESTALE",
    "EAGAIN",
    "EINTR",
    "ETIMEDOUT",
    "EBUSY",
    "ENOMEM",
    "ENOENT",
    "ENOLCK",
]
PERMANENT_S3 = [
    "AccessDenied",
    "NoSuchBucket",
    "InvalidArgument",
    "KeyTooLongError",
    "InvalidBucketName",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "EntityTooLarge",
    "MethodNotAllowed",
    "KMS.DisabledException",
    "KMS.NotFoundException",
    "403",
]
TRANSIENT_S3 = [
    "SlowDown",
    "InternalError",
    "ServiceUnavailable",
    "RequestTimeout",
    "OperationAborted",
    "500",
    "503",
    "Throttling",
]


class RefusingClient:
    """An S3 client whose every call ends with one error."""

    class _Events:
        def register(self, *args: Any, **kwargs: Any) -> None: ...

    class _Meta:
        events: Any = None

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.meta = self._Meta()
        self.meta.events = self._Events()

    def get_object(self, **kwargs: Any) -> Any:
        raise self.error


def error_of(error: Exception) -> SessionStorageError:
    with pytest.raises(SessionStorageError) as caught:
        S3Objects(RefusingClient(error), "bucket").get("session_s/session.json")  # type: ignore[arg-type] # stands in for one
    return caught.value


def client_error(code: str, status: int) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetObject")  # type: ignore[typeddict-item] # what is read of it


@pytest.mark.parametrize("code", [*PERMANENT_ERRNO, *PERMANENT_S3, "SymbolicLink"])
def test_what_somebody_has_to_change_first_is_permanent(code: str) -> None:
    assert not SessionStorageError("refused", code=code).is_transient


@pytest.mark.parametrize("code", [*TRANSIENT_ERRNO, *TRANSIENT_S3, None, "SomethingNew"])
def test_what_can_pass_by_itself_or_is_not_known_is_transient(code: str | None) -> None:
    assert SessionStorageError("failed", code=code).is_transient


def test_every_name_of_an_error_number_in_the_lists_of_this_test_is_one() -> None:
    assert all(hasattr(errno, name) for name in [*PERMANENT_ERRNO, *TRANSIENT_ERRNO])


@pytest.mark.parametrize("code", [code for code in PERMANENT_S3 if code != "403"])
def test_what_s3_refuses_is_told_as_permanent(code: str) -> None:
    found = error_of(client_error(code, 400))

    assert (found.code, found.is_transient) == (code, False)


@pytest.mark.parametrize(
    ("code", "status", "is_transient"),
    [
        ("NobodyKnowsThisYet", 400, False),
        ("NobodyKnowsThisYet", 403, False),
        ("NobodyKnowsThisYet", 500, True),
        ("NobodyKnowsThisYet", 503, True),
        ("NobodyKnowsThisYet", 429, True),
        ("RequestTimeout", 400, True),
        ("ExpiredToken", 400, True),
        ("KMS.ThrottlingException", 400, True),
        ("AccessDenied", 403, False),
        ("SlowDown", 503, True),
    ],
)
def test_a_code_that_is_in_no_list_is_judged_by_its_status(code: str, status: int, is_transient: bool) -> None:
    assert error_of(client_error(code, status)).is_transient is is_transient


@pytest.mark.parametrize(
    ("error", "is_transient"),
    [
        (NoCredentialsError(), False),
        (EndpointConnectionError(endpoint_url="https://s3.example"), True),
        (ReadTimeoutError(endpoint_url="https://s3.example"), True),
    ],
)
def test_what_never_reached_s3_is_judged_by_why(error: Exception, is_transient: bool) -> None:
    assert error_of(error).is_transient is is_transient


def test_an_error_can_be_raised_as_permanent_and_its_copies_stay_so() -> None:
    error = SessionStorageError("failed", code="SomethingNew", is_transient=False, session_id="s", key="k")

    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301 - of this test's own making
        assert isinstance(again, SessionStorageError)
        assert (again.is_transient, again.code, again.session_id, again.key) == (False, "SomethingNew", "s", "k")
    found: SessionException = as_failure(error)
    assert found is error
