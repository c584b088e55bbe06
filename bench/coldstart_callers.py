"""Who sends the first turn to a cold function: somebody who signs, or a person with a token of an issuer."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.doubles.issuer import AUDIENCE, certificate_of_this_machine, running
from tests.endpoint.function import http_event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_REQUEST = ("POST", "/sessions/coldstart/messages", {"prompt": "And how is the weather there?"})
_FAR_AWAY = 4_102_444_800  # the year 2100, in seconds since 1970: the token outlives the longest run


@dataclass(frozen=True, slots=True)
class FirstCaller:
    """A caller, and what the function is told of such callers.

    Attributes:
        event: The turn.
        environment: Variables of the function beside its own.
    """

    event: dict[str, Any]
    environment: dict[str, str]


def signing() -> FirstCaller:
    """Somebody whose signature Lambda has checked: ``auth=iam``."""
    return FirstCaller(http_event(*_REQUEST), {})


@contextmanager
def with_token(folder: Path, authorities: Path) -> Iterator[FirstCaller]:
    """A person of an issuer that listens on this machine: ``auth=jwt``.

    The function imports what checks tokens, and fetches the issuer's configuration and keys over TLS.

    Args:
        folder: Where the issuer's certificate is put.
        authorities: Whom a function trusts beside this issuer. Reading them is a part of what a fetch costs.
    """
    certificate = certificate_of_this_machine(folder)
    trusted = folder / "authorities-and-issuer.pem"
    trusted.write_bytes(authorities.read_bytes() + certificate.read_bytes())
    with running(certificate=certificate) as issuer:
        headers = {"authorization": f"Bearer {issuer.token('ada', exp=_FAR_AWAY)}"}
        yield FirstCaller(
            http_event(*_REQUEST, caller=None, headers=headers),
            {
                "ENDPOINT_AUTH": "jwt",
                "JWT_ISSUER": issuer.url,
                "JWT_AUDIENCES": AUDIENCE,
                "SSL_CERT_FILE": str(trusted),
            },
        )
