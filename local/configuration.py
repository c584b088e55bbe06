"""The variables of ``make run``, and the endpoint settings that they stand for."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from agent_sessions.store_url import FolderAddress, StoreUrlError, allowed_forms, parse_store_url, shown
from infra.caller_values import ALLOWED_ORIGINS, check_origins
from lambda_src.models.providers import PROVIDER_KEYS, PROVIDER_PACKAGES, is_installed

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_PORT = 8000
DEFAULT_WORDS_PER_SECOND = 10.0
OFFLINE = "offline"
SESSIONS_FOLDER = ".sessions"

LOCAL = "local"
DEV = "dev"
AUTHS = (LOCAL, "jwt", DEV)
TOKEN_SETTINGS = (
    *("JWT_ISSUER", "JWT_AUDIENCES", "JWT_CLIENT_IDS", "JWT_JWKS_URL", "JWT_CONFIGURATION_URL"),
    *("PAGE_CLIENT_ID", "PAGE_SCOPE"),
)

# The provider's part of MODEL.
PROVIDERS = ("bedrock", *sorted(PROVIDER_PACKAGES))


class ConfigurationError(ValueError):
    """A variable has a value the local endpoint cannot run with; the message names it and says what is allowed."""


@dataclass(frozen=True)
class Configuration:
    """How to run.

    Attributes:
        port: where to listen on this machine; 0 chooses a free port.
        store: the URL of the place where sessions live.
        model: ``provider:model``; ``offline:history`` for the offline model.
        words_per_second: how fast the offline model speaks; 0 for at once.
        auth: who may call: ``local`` everybody on this machine, as one owner; ``jwt`` the bearers of an issuer's
            tokens; ``dev`` those of a development issuer of this run.
        cors_origins: whose pages may call, beside those of this machine.
        issuer_settings: the endpoint's settings for tokens.
        page_client_id: with ``jwt``, the client by which the issuer knows the page; empty: there is no page.
    """

    port: int
    store: str
    model: str
    words_per_second: float = DEFAULT_WORDS_PER_SECOND
    auth: str = LOCAL
    cors_origins: tuple[str, ...] = ()
    issuer_settings: Mapping[str, str] = field(default_factory=dict)
    page_client_id: str = ""

    @property
    def has_page(self) -> bool:
        """Whether the chat page is served. With an issuer's tokens it needs to be known there as a client."""
        return self.auth != "jwt" or bool(self.page_client_id)

    @property
    def is_offline(self) -> bool:
        """Whether the offline model answers."""
        return self.model.startswith(f"{OFFLINE}:")

    @property
    def settings_on_aws(self) -> list[str]:
        """The variables whose values need AWS credentials."""
        wanting = {"STORE": parse_store_url(self.store).needs_aws, "MODEL": self.model.startswith("bedrock:")}
        return [name for name, wants in wanting.items() if wants]

    def endpoint_environment(self) -> dict[str, str]:
        """Return the variables the endpoint's settings are read from."""
        callers = {"ENDPOINT_AUTH": LOCAL}
        if self.auth != LOCAL:
            callers = {"ENDPOINT_AUTH": "jwt", "TURNS_IN_PROCESS": "true", **self.issuer_settings}
        page = {"PAGE": str(self.has_page).lower()}
        return {"SESSION_STORE": self.store, "AGENT_MODEL": self.model, **page, **callers}


def read_configuration(environment: Mapping[str, str], folder: Path) -> Configuration:
    """Read the variables; an empty value is one that is not set.

    They are ``PORT``, ``STORE``, ``MODEL``, ``OFFLINE_WORDS_PER_SECOND``, ``AUTH``, ``CORS_ORIGINS`` and, for tokens,
    the endpoint's own ``JWT_...`` and ``PAGE_...``.

    Args:
        environment: the variables.
        folder: the working folder, which holds the sessions when ``STORE`` says nothing else.

    Raises:
        ConfigurationError: when a value is not allowed.
    """
    return Configuration(
        port=_port(environment.get("PORT") or str(DEFAULT_PORT)),
        store=_store(environment.get("STORE") or (folder / SESSIONS_FOLDER).absolute().as_uri()),
        model=_model(environment.get("MODEL") or OFFLINE),
        words_per_second=_pace(environment.get("OFFLINE_WORDS_PER_SECOND") or str(DEFAULT_WORDS_PER_SECOND)),
        auth=_auth(environment),
        cors_origins=_origins(environment.get("CORS_ORIGINS") or ""),
        page_client_id=environment.get("PAGE_CLIENT_ID") or "",
    )


def check_credentials(configuration: Configuration) -> None:
    """Refuse to start without the credentials or the key that parts need. Else only the first request would say so.

    Raises:
        ConfigurationError: when there are no credentials.
    """
    key = PROVIDER_KEYS.get(configuration.model.partition(":")[0])
    if key is not None and not (os.environ.get(key) or key in os.environ.get("AGENT_SECRETS", "")):
        raise ConfigurationError(f"MODEL={configuration.model} needs {key}. Set it, or write {key}=... into .env.")
    if not configuration.settings_on_aws:
        return
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        session = boto3.Session()
        credentials = session.get_credentials()
    except BotoCoreError as error:  # a profile that does not exist, say
        raise ConfigurationError(f"{_names(configuration)} needs AWS credentials: {error}") from None
    if credentials is None:
        raise ConfigurationError(
            f"{_names(configuration)} needs AWS credentials. Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY (any values do for a stand-in named by AWS_ENDPOINT_URL_S3)."
        )


def _names(configuration: Configuration) -> str:
    values = {"STORE": configuration.store, "MODEL": configuration.model}
    return " and ".join(f"{name}={values[name]}" for name in configuration.settings_on_aws)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= 65535):  # noqa: PLR2004 - the last TCP port
        raise ConfigurationError(
            f"PORT={text!r} is no port. Allowed: a number from 1 to 65535, or 0 for any free port."
        )
    return int(text)


def _auth(environment: Mapping[str, str]) -> str:
    auth = environment.get("AUTH") or LOCAL
    if auth not in AUTHS:
        raise ConfigurationError(
            f"AUTH={auth!r} is not known. Allowed: local (the default: one owner), jwt (with JWT_ISSUER and "
            "JWT_AUDIENCES or JWT_CLIENT_IDS), dev (two people with tokens of this run)."
        )
    named = [name for name in TOKEN_SETTINGS if environment.get(name)]
    if named and auth != "jwt":
        raise ConfigurationError(f"{named[0]} is for AUTH=jwt, and AUTH is {auth}. Leave it out.")
    return auth


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        check_origins(origins)
    except ValueError as error:
        raise ConfigurationError(f"CORS_ORIGINS: {error}. Allowed: {ALLOWED_ORIGINS}.") from None
    return origins


def _pace(text: str) -> float:
    try:
        pace = float(text)
    except ValueError:
        pace = -1
    if not 0 <= pace < float("inf"):
        raise ConfigurationError(
            f"OFFLINE_WORDS_PER_SECOND={text!r} is no pace. Allowed: a number of words, or 0 for all at once."
        )
    return pace


def _store(text: str) -> str:
    try:
        address = parse_store_url(text)
    except StoreUrlError as error:
        why = f": it {error.problem}" if error.problem else ""
        forms = " or ".join(sorted(allowed_forms()))
        raise ConfigurationError(f"STORE={shown(text)!r} is no place for sessions{why}. Allowed: {forms}.") from None
    if isinstance(address, FolderAddress):
        _check_folder(text, address.folder)
    return text


def _check_folder(text: str, folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"STORE={text!r} cannot be used: {error.strerror}.") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigurationError(f"STORE={text!r} cannot be used: this user may not write there.")


def _model(text: str) -> str:
    if text == OFFLINE:
        return f"{OFFLINE}:history"
    provider, _, model_id = text.partition(":")
    if provider not in PROVIDERS or not model_id.strip():
        choices = ", ".join(f"{name}:<model id>" for name in PROVIDERS)
        raise ConfigurationError(f"MODEL={text!r} is not known. Allowed: {OFFLINE} (the default), {choices}.")
    if not is_installed(provider):
        raise ConfigurationError(
            f"MODEL={text} needs a package that is not installed. Install it with: "
            f"{_python()} -m pip install 'strands-agents[{provider}]'"
        )
    return text


def _python() -> str:
    """Return this interpreter as somebody in this folder would type it."""
    python = Path(sys.executable)
    return str(python.relative_to(Path.cwd())) if python.is_relative_to(Path.cwd()) else str(python)
