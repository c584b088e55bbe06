"""Who may call, as the configuration says it: an issuer of tokens, and origins whose pages may call."""

import json
import re
from typing import Any, Final

# As lambda_src/settings.py has it, but for this machine: a function reaches no issuer there.
_HTTPS: Final = re.compile(r"https://[^\s/@?#]+(/[^\s?#]*)?", re.ASCII)
# An origin as browsers send it (RFC 6454, 6.2): in lower case, without a path, without the port that the scheme has.
_ORIGIN: Final = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?", re.ASCII)
_MAX_ORIGINS: Final = 100  # of a Function URL (AWS Lambda API reference, Cors)
_MAX_ORIGIN: Final = 253
_NAME: Final = re.compile(r"[^\s,]{1,253}")

ALLOWED_ISSUER: Final = "an address such as `https://login.example.com/tenant`, exactly as tokens have it in `iss`"
ALLOWED_NAMES: Final = "a list of texts without spaces and commas, or one text with commas between them"
ALLOWED_ORIGINS: Final = (
    f"a list of at most {_MAX_ORIGINS} origins, or one text with commas between them; an origin is scheme, host and "
    "port as browsers send them: `https://app.example.com`, `http://localhost:5173`. No `*`"
)


def read_list(value: Any) -> tuple[str, ...]:
    """Read a list of texts: from ``cdk.json`` as it is, from ``-c key=value`` as text.

    Raises:
        ValueError: It is something else, or one of the texts is empty, too long, or has a space or a comma in it.
    """
    if isinstance(value, str):
        value = json.loads(value) if value.startswith("[") else [part.strip() for part in value.split(",")]
    if not isinstance(value, (list, tuple)) or not all(isinstance(text, str) for text in value):
        raise ValueError("no list of texts")
    if wrong := [text for text in value if not _NAME.fullmatch(text)]:
        raise ValueError(f"{wrong[0]!r} is empty, too long, or has a space or a comma in it")
    return tuple(value)


def check_issuer(value: str) -> None:
    """Check that this can be an issuer's address.

    Raises:
        ValueError: It cannot.
    """
    if not _HTTPS.fullmatch(value):
        raise ValueError("no https address, or one with credentials, a query or a fragment")


def check_origins(origins: tuple[str, ...]) -> None:
    """Check that each is an origin, exactly as browsers send it.

    Raises:
        ValueError: One is none; the message names it.
    """
    if len(origins) > _MAX_ORIGINS:
        raise ValueError(f"{len(origins)} origins are too many")
    for origin in origins:
        if "*" in origin:
            raise ValueError(f"{origin!r}: every page of that kind could call; name each origin")
        if not _ORIGIN.fullmatch(origin) or len(origin) > _MAX_ORIGIN:
            raise ValueError(f"{origin!r} is no origin as browsers send it")
        scheme, _, host = origin.partition("://")
        if host.endswith({"https": ":443", "http": ":80"}[scheme]):
            raise ValueError(f"{origin!r}: browsers leave out the port that the scheme has")


def problem_with_callers(
    auth: str,
    *,
    is_public: bool,
    issuer: str | None,
    names_audience: bool,
    jwks_url: str | None,
    identities_are_owners: bool,
) -> str | None:
    """What of the settings on callers does not fit the others, in a sentence; ``None`` if everything does.

    Args:
        auth: Who may call.
        is_public: Whether a public endpoint is allowed.
        issuer: Whose tokens are taken.
        names_audience: Whether audiences or clients are named.
        jwks_url: Where the issuer's keys are.
        identities_are_owners: Whether users of identity pools are owners.
    """
    problem = None
    if (auth == "none") != is_public:
        problem = "auth: `auth=none` and `allow_public=true` go together or not at all"
    elif auth == "jwt" and issuer is None:
        problem = "jwt_issuer: with `auth=jwt` it has to say whose tokens are taken"
    elif auth == "jwt" and not names_audience:
        problem = (
            "jwt_audiences: with `auth=jwt` it, or `jwt_client_ids`, has to say which of the issuer's tokens are for "
            "this endpoint"
        )
    elif auth != "jwt" and (issuer or names_audience or jwks_url):
        problem = (
            f"jwt_issuer, jwt_audiences, jwt_client_ids, jwt_jwks_url: only `auth=jwt` reads them; `auth` is {auth}"
        )
    elif auth != "iam" and not identities_are_owners:
        problem = f"cognito_identity_owners: only `auth=iam` knows identity pools; `auth` is {auth}"
    return problem


def problem_with_page(
    auth: str, *, has_page: bool, client_id: str | None, client_ids: tuple[str, ...], states_scope: bool
) -> str | None:
    """What of the settings on the chat page does not fit the others, in a sentence; ``None`` if everything does.

    Args:
        auth: Who may call.
        has_page: Whether there is a page.
        client_id: By which the issuer knows it.
        client_ids: Whose tokens are taken; none: it does not matter.
        states_scope: Whether it is said what the page asks the issuer for.
    """
    if has_page and auth != "jwt":
        return f"page: people sign in at the page, which only `auth=jwt` lets them do; `auth` is {auth}"
    if has_page and client_id is None:
        return "page_client_id: with `page=true` it has to say as which client of the issuer people sign in"
    if has_page and client_ids and client_id not in client_ids:
        return "page_client_id: it has to be one of `jwt_client_ids`; no other client's tokens are taken"
    if not has_page and (client_id is not None or states_scope):
        return "page_client_id, page_scope: only `page=true` reads them"
    return None
