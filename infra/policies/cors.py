"""What browsers let the pages of other origins do with the URL.

The Function URL answers preflights itself, and gives every answer its headers, streamed ones too. The function has no
part in it.
"""

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_lambda as lambda_

METHODS: Final = ("GET", "POST", "PATCH", "DELETE")
REQUEST_HEADERS: Final = (
    *("accept", "authorization", "content-type", "idempotency-key", "last-event-id", "prefer", "session-owner"),
    *("x-amz-content-sha256", "x-amz-date", "x-amz-security-token"),  # of a signature
)
EXPOSED_HEADERS: Final = (
    *("Allow", "Idempotency-Key", "Location", "Preference-Applied", "Retry-After", "WWW-Authenticate"),
    *("X-Request-Id", "x-amzn-RequestId"),
)
MAX_AGE_SECONDS: Final = 600
"""How long a browser remembers a preflight."""


def cors_options(origins: tuple[str, ...]) -> lambda_.FunctionUrlCorsOptions | None:
    """The CORS configuration of the URL, if it has one.

    Args:
        origins: Whose pages may call.
    """
    if not origins:
        return None
    return lambda_.FunctionUrlCorsOptions(
        allowed_origins=list(origins),
        allowed_methods=[lambda_.HttpMethod(method) for method in METHODS],
        allowed_headers=list(REQUEST_HEADERS),
        exposed_headers=list(EXPOSED_HEADERS),
        # Callers are known by the header Authorization, which a page sets itself. No cookie counts.
        allow_credentials=False,
        max_age=Duration.seconds(MAX_AGE_SECONDS),
    )
