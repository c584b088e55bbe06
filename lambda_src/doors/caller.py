"""Who is asking, and so whose sessions these are."""

from collections.abc import Mapping
from typing import Any

from agent_sessions.owner import owner_prefix
from lambda_src.answers.errors import UnauthenticatedError
from lambda_src.settings import Settings


def owner_of(event: Mapping[str, Any], settings: Settings) -> str:
    """The key prefix of the caller's sessions.

    With IAM the owner is the *unique id* of the role or user: it is never given to anybody else, and it survives
    another session name, which ``userArn`` and the part of ``userId`` after the colon do not.

    Args:
        event: A Function URL event, whose ``requestContext`` Lambda wrote.
        settings: ``endpoint_auth`` says where callers come from.

    Raises:
        UnauthenticatedError: When IAM is asked for and the event names no IAM principal.
    """
    if settings.endpoint_auth == "local":
        return owner_prefix("local", "local")
    if settings.endpoint_auth == "none":
        return owner_prefix("none", "public")
    account = _iam_text(event, "accountId")
    # A role is AROA...:session-name, a user AIDA... alone, and the account's root user is the account's number.
    unique_id, _, _ = _iam_text(event, "userId").partition(":")
    if not account or not unique_id:
        raise UnauthenticatedError("Sign the request with AWS Signature Version 4 for the service lambda.")
    return owner_prefix(account, unique_id)


def _iam_text(event: Mapping[str, Any], name: str) -> str:
    value: Any = event
    for key in ("requestContext", "authorizer", "iam", name):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) and "\0" not in value else ""
