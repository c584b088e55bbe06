"""The chat page: its document with the settings in it, what browsers are told to allow it, and its files.

Nothing of it is imported before somebody asks for it. The page holds nothing secret: what it shows comes over the
routes that ask who is calling.
"""

from __future__ import annotations

import html
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import urlsplit

from aws_lambda_powertools.event_handler import Response

from lambda_src import content, contract
from lambda_src.answers.errors import NotFoundError
from lambda_src.answers.logs import logger
from lambda_src.doors.page_files import etag_of, page_files
from lambda_src.doors.payload import ENVELOPE_BYTES, MAX_PAYLOAD_BYTES
from lambda_src.turns.agent_builders import load_agents

if TYPE_CHECKING:
    from lambda_src.callers.sign_in import SignIn, SignInAddresses
    from lambda_src.settings import Settings

_YEAR_SECONDS = 31_536_000
_NOT_MODIFIED = 304
_HTML = "text/html; charset=utf-8"

_HEADERS = {
    # A compressed answer and a plain one are the same file: their tags are equal, and weak.
    "Vary": "Accept-Encoding, Origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "X-Frame-Options": "DENY",
}
"""Of the page and of its files."""

_OF_ASSETS = "default-src 'none'; frame-ancestors 'none'; sandbox"
"""Of a file that somebody opens by itself."""


def answer_page(
    settings: Settings, addresses: SignInAddresses | None, *, known: str | None, has_query: bool = False
) -> Response[str]:
    """The page's document.

    Args:
        settings: Say who may call.
        addresses: Where people sign in; ``None`` where nobody does, or where nobody can at this moment.
        known: ``If-None-Match`` of the request.
        has_query: Whether the address has parameters. They may be a code of the issuer's: no cache keeps it then.

    Returns:
        The document. Where people cannot sign in at this moment, it says so, and its status is 503.
    """
    files = page_files()
    told = json.dumps(page_settings(settings, addresses), ensure_ascii=False, separators=(",", ":"))
    text = files.document.replace("{{assets}}", html.escape(files.assets_path)).replace("{{settings}}", in_script(told))
    headers = {"Content-Security-Policy": content_security_policy(addresses), **_HEADERS}
    if settings.endpoint_auth == "jwt":
        headers["Strict-Transport-Security"] = f"max-age={_YEAR_SECONDS}"
    if settings.endpoint_auth == "jwt" and addresses is None:
        from lambda_src.callers.sign_in import RETRY_SECONDS

        headers |= {"Cache-Control": "no-store", "Retry-After": str(round(RETRY_SECONDS))}
        return Response(503, _HTML, text, headers=headers, compress=True)
    if has_query:
        return Response(200, _HTML, text, headers={**headers, "Cache-Control": "no-store"}, compress=True)
    return _answer(text, _HTML, {**headers, "Cache-Control": "no-cache", "ETag": etag_of(text)}, known)


def answer_asset(path: str, *, known: str | None) -> Response[str]:
    """One of the page's files.

    Args:
        path: As it was requested.
        known: ``If-None-Match`` of the request.

    Raises:
        NotFoundError: There is none, or it is of another version of the page.
    """
    asset = page_files().asset(path)
    if asset is None:
        raise NotFoundError("There is no such file of the page, or it has changed since: load the page again.")
    headers = {
        "Cache-Control": f"public, max-age={_YEAR_SECONDS}, immutable",
        "ETag": asset.etag,
        "Content-Security-Policy": _OF_ASSETS,
        **_HEADERS,
    }
    return _answer(asset.text, asset.content_type, headers, known)


def page_settings(settings: Settings, addresses: SignInAddresses | None) -> dict[str, Any]:
    """What the page is told: everybody may read it.

    Args:
        settings: Of the endpoint.
        addresses: Where people sign in.

    Returns:
        ``auth``: ``local`` or ``jwt``. ``agents``: the ids to choose from; none where any id is an agent. ``agent``:
        the one that a request speaks to when it names none. ``sign_in``: for ``app/signin.js``; null where nobody
        signs in, and with ``jwt`` where nobody can now.
        ``streaming``: whether answers come as they are made. ``limits``: of a prompt.
    """
    sign_in = None
    if addresses is not None:
        sign_in = {
            "issuer": settings.jwt_issuer,
            "client_id": settings.page_client_id,
            "scope": settings.page_scope,
            "audience": settings.jwt_audiences[0] if settings.jwt_audiences else None,
            "authorization_endpoint": addresses.authorization_endpoint,
            "token_endpoint": addresses.token_endpoint,
            "end_session_endpoint": addresses.end_session_endpoint,
            "revocation_endpoint": addresses.revocation_endpoint,
            "id_token_algorithms": list(addresses.id_token_algorithms),
        }
    return {
        "auth": settings.endpoint_auth,
        "agents": list(load_agents() or ()),
        "agent": settings.agent_id,
        "sign_in": sign_in,
        "streaming": settings.streaming,
        "limits": limits(),
    }


def limits() -> dict[str, Any]:
    """What a prompt may hold, from the contract's own constants."""
    formats = {
        kind: list(get_args(model.model_fields["format"].annotation))
        for kind, model in (("image", content.Image), ("document", content.Document), ("video", content.Video))
    }
    return {
        "request_bytes": MAX_PAYLOAD_BYTES - ENVELOPE_BYTES,
        "blocks": contract.MAX_BLOCKS,
        "interrupt_responses": contract.MAX_INTERRUPT_RESPONSES,
        "formats": formats,
        "document_name": {"pattern": content.DOCUMENT_NAME, "max_length": content.MAX_DOCUMENT_NAME},
    }


def content_security_policy(addresses: SignInAddresses | None) -> str:
    """What a browser lets the page do: its own scripts and styles, the endpoint, and the issuer's tokens.

    Args:
        addresses: Where people sign in.
    """
    asked = (addresses.token_endpoint, addresses.revocation_endpoint) if addresses else ()
    tokens = dict.fromkeys(origin_of(url) for url in asked if url)
    directives = {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        # Pictures of a conversation are made of what the endpoint answered; 'self' is for the icon.
        "img-src": ["'self'", "blob:"],
        "connect-src": ["'self'", *tokens],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
        # DOMPurify alone makes HTML of a text: a script of the page that did so by accident is stopped.
        "require-trusted-types-for": ["'script'"],
        "trusted-types": ["dompurify"],
    }
    return "; ".join(f"{name} {' '.join(sources)}" for name, sources in directives.items())


def origin_of(url: str) -> str:
    """Scheme, host and port of an address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def in_script(told: str) -> str:
    """JSON that can stand in a ``script`` element: no ``<`` ends it early, and it stays the same JSON."""
    for letter in "<>&\u2028\u2029":
        told = told.replace(letter, f"\\u{ord(letter):04x}")
    return told


def sign_in_addresses(settings: Settings) -> SignInAddresses | None:
    """Where people sign in; ``None`` where nobody does, or where their issuer does not say at this moment."""
    if settings.endpoint_auth != "jwt":
        return None
    from lambda_src.callers.issuer_keys import IssuerError

    try:
        return _sign_in(str(settings.jwt_issuer), settings.jwt_configuration_url).addresses()
    except IssuerError as error:
        logger.error("sign-in addresses not fetched", extra={"reason": str(error)})
        return None


@lru_cache(maxsize=1)
def _sign_in(issuer: str, configuration_url: str | None) -> SignIn:
    from lambda_src.callers.issuer import Issuer
    from lambda_src.callers.sign_in import SignIn

    return SignIn(issuer, Issuer(issuer, configuration_url=configuration_url).configuration)


def _answer(text: str, content_type: str, headers: dict[str, Any], known: str | None) -> Response[str]:
    tag = headers["ETag"].removeprefix("W/")
    if known is not None and tag in {each.strip().removeprefix("W/") for each in known.split(",")}:
        return Response(status_code=_NOT_MODIFIED, content_type=content_type, body="", headers=headers)
    return Response(status_code=200, content_type=content_type, body=text, headers=headers, compress=True)
