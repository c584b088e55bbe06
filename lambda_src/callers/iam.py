"""Callers that IAM knows: principals, and the users of an identity pool behind a role."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from agent_sessions.owner import owner_prefix
from lambda_src.answers.errors import UnauthenticatedError
from lambda_src.answers.logs import logger

if TYPE_CHECKING:
    from collections.abc import Mapping

_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
# The values of aws:userid (IAM user guide, "IAM policy elements: Variables and tags", principal key values), with the
# prefixes of unique ids (same guide, "IAM identifiers") and the letters that STS allows in the name of a session.
_USER = re.compile(r"AIDA[A-Z0-9]+")
_ROLE_SESSION = re.compile(r"(AROA[A-Z0-9]+):[\w+=,.@-]+", re.ASCII)
_ACCOUNT_ITSELF = re.compile(r"(\d{12})", re.ASCII)
_FEDERATED_USER = re.compile(r"(\d{12}):[\w+=,.@-]+", re.ASCII)
# IdentityId and IdentityPoolId of Amazon Cognito's API have this form.
_UNIQUE_ID = re.compile(r"(A[A-Z]{3})[A-Z0-9]", re.ASCII)  # the kind of a unique id: AROA, AIDA, AGPA, ASIA, …
_COGNITO_ID = re.compile(r"[\w-]{1,20}:[0-9a-f-]{1,40}", re.ASCII)


def owner_of_principal(event: Mapping[str, Any], *, identities_are_owners: bool) -> str:
    """The key prefix of the sessions of whoever signed a request.

    Args:
        event: A request, whose ``requestContext`` Lambda or API Gateway wrote.
        identities_are_owners: Whether a user of an identity pool is an owner. Otherwise its role is, which all share.

    Raises:
        UnauthenticatedError: The request names no IAM principal, or one of a form that AWS does not document. Part of
            an unknown name could be somebody else's name.
    """
    iam = _iam(event)
    account, user_id = iam.get("accountId"), iam.get("userId")
    if account is None and user_id is None:
        raise _unknown("the request names no IAM principal")
    if not isinstance(account, str) or not _ACCOUNT.fullmatch(account):
        raise _unknown("accountId is no AWS account", account_id=shape_of(account))
    subject = subject_of(account, user_id)
    if subject is None:
        raise _unknown(
            "userId has no form that AWS documents for this account", account_id=account, user_id=shape_of(user_id)
        )
    identity = iam.get("cognitoIdentity") if identities_are_owners else None
    if identity is not None and any(identity.values() if isinstance(identity, dict) else [identity]):
        return _owner_of_identity(identity)
    return owner_prefix(account, subject)


def subject_of(account: str, user_id: object) -> str | None:
    """Who an IAM principal is within its account; ``None`` when its ``userId`` has no form that AWS documents.

    ======================================  =====================  =============
    principal                               userId                 subject
    ======================================  =====================  =============
    user                                    ``AIDA…``              as it is
    role, assumed by whatever means: SAML,  ``AROA…:name``         ``AROA…``
    web identity, a service, an instance
    federated user (GetFederationToken)     ``account:name``       as it is
    the account's root user                 ``account``            as it is
    ======================================  =====================  =============

    All of a role's sessions have one owner. The role's unique id is never given to anybody else, and stays the same
    under another session name; ``userArn`` and the part after the colon do not. A federated user has nothing but its
    name.

    Args:
        account: The principal's account, 12 digits.
        user_id: ``requestContext.authorizer.iam.userId``.
    """
    if not isinstance(user_id, str):
        return None
    if role := _ROLE_SESSION.fullmatch(user_id):
        return role[1]
    if _USER.fullmatch(user_id):
        return user_id
    of_account = _ACCOUNT_ITSELF.fullmatch(user_id) or _FEDERATED_USER.fullmatch(user_id)
    return user_id if of_account and of_account[1] == account else None


def _owner_of_identity(identity: object) -> str:
    """The owner that a user of an identity pool is: its identity, in its pool."""
    named = identity if isinstance(identity, dict) else {}
    pool, user = named.get("identityPoolId"), named.get("identityId")
    if not all(isinstance(name, str) and _COGNITO_ID.fullmatch(name) for name in (pool, user)):
        raise _unknown("cognitoIdentity names no identity of a pool")
    return owner_prefix(str(pool), str(user))


def _iam(event: Mapping[str, Any]) -> Mapping[str, Any]:
    value: Any = event
    for key in ("requestContext", "authorizer", "iam"):
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def shape_of(value: object) -> str:
    """What the log may say of a name of no known form: part of it may be a person's.

    Returns:
        How its unique id begins, and how long it is: ``AGPA… (11 characters)``; of other than text, its type.
    """
    if not isinstance(value, str):
        return type(value).__name__
    begins = _UNIQUE_ID.match(value)
    return f"{begins[1] if begins else ''}… ({len(value)} characters)"


def _unknown(reason: str, **seen: str) -> UnauthenticatedError:
    # So the operator can tell a caller who did not sign from one of a kind that this version does not know.
    logger.warning("caller not known", extra={"reason": reason, **seen})
    return UnauthenticatedError("Sign the request with AWS Signature Version 4 for the service lambda.")
