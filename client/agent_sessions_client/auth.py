"""How a client says who it is: a signature for IAM, or a token."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_FUNCTION_URL = re.compile(r"[a-z0-9]+\.lambda-url\.(?P<region>[a-z0-9-]+)\.on\.aws")
_SIGNED = ("authorization", "x-amz-date", "x-amz-security-token")


class SigV4Auth(httpx.Auth):
    """Signs each request for a Lambda Function URL (AWS Signature Version 4, service ``lambda``).

    Args:
        session: A ``boto3.Session`` or ``botocore`` session, whose credentials sign; by default a new one, which finds
            them where every AWS tool does. It needs botocore.
        region: Of the function; by default the one in the URL, or else the session's.

    Raises:
        ImportError: botocore is not installed.
        ValueError: There are no credentials.
    """

    requires_request_body = True

    def __init__(self, session: Any = None, region: str | None = None) -> None:
        import botocore.session

        if session is None:
            session = botocore.session.get_session()
        self._credentials = session.get_credentials()
        if self._credentials is None:
            raise ValueError("there are no AWS credentials to sign with")
        self._region = region
        asked = getattr(session, "region_name", None) or getattr(session, "get_config_variable", lambda _: None)(
            "region"
        )
        self._default_region = asked or "us-east-1"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the signature. The credentials are asked for at each request, so that they may rotate."""
        from botocore.auth import SigV4Auth as Signer
        from botocore.awsrequest import AWSRequest

        in_url = _FUNCTION_URL.fullmatch(request.url.host)
        region = self._region or (in_url["region"] if in_url else self._default_region)
        signed = AWSRequest(request.method, str(request.url), data=request.content or None)
        Signer(self._credentials.get_frozen_credentials(), "lambda", region).add_auth(signed)
        for name, value in signed.headers.items():
            if name.lower() in _SIGNED:
                request.headers[name] = value
        yield request


def _region_of(session: Any) -> str | None:
    """The region of a boto3 session, or of a botocore session."""
    if hasattr(session, "region_name"):
        found: str | None = session.region_name
    else:
        found = session.get_config_variable("region")
    return found


class BearerAuth(httpx.Auth):
    """Sends a token with each request.

    Args:
        token: The token, or what returns one; it is asked at each request, so that a token may expire.
    """

    def __init__(self, token: str | Callable[[], str]) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the token."""
        token = self._token if isinstance(self._token, str) else self._token()
        request.headers["Authorization"] = f"Bearer {token}"
        yield request
