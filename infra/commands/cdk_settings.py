"""The CDK CLI's settings and defaults: profile, region, app and context, decided as the CLI decides them.

Sources, in the CLI that ``package-lock.json`` pins: ``user-configuration`` (which files count, and in which order),
``awscli-compatible`` (region and credentials), and yargs' ``.env("CDK")`` (variables that stand for options). boto3
decides otherwise (it reads ``AWS_DEFAULT_PROFILE`` before ``AWS_PROFILE``, and no ``AWS_REGION``): here the CLI counts.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
import botocore.session
from botocore.config import Config
from botocore.configloader import load_config, raw_config_parse
from botocore.exceptions import ConfigNotFound, ConfigParseError
from botocore.utils import InstanceMetadataRegionFetcher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infra.commands.cdk_options import Options

DEFAULT_REGION: Final = "us-east-1"
_DEFAULT_PROFILE: Final = "default"
_REGION_VARIABLES: Final = ("AWS_REGION", "AMAZON_REGION", "AWS_DEFAULT_REGION", "AMAZON_DEFAULT_REGION")


class CdkSettingsError(ValueError):
    """A setting or a file of them cannot be used; the message is one line."""


@dataclass(frozen=True)
class CdkSettings:
    """What the CLI goes by.

    Attributes:
        profile: The AWS profile, if one is named for the CDK: by an option, ``CDK_PROFILE``, or a settings file.
        region: Likewise the region.
        app: The command line of the app, or a folder with what it has made.
        context: All context values.
        proxy: Where requests to AWS go through, if told.
        ca_bundle: A file with certificates to trust, if told.
    """

    profile: str | None
    region: str | None
    app: str | None
    context: dict[str, Any]
    proxy: str | None = None
    ca_bundle: str | None = None


def read_settings(options: Options, project: Path, environment: Mapping[str, str] = os.environ) -> CdkSettings:
    """Put together the command line, the environment and the files, the first that says something first.

    Args:
        options: The command line.
        project: The folder with ``cdk.json``.
        environment: The variables; ``HOME`` tells where ``.cdk.json`` is.

    Returns:
        The settings.

    Raises:
        CdkSettingsError: When a file is no JSON object, or a context value no ``key=value``.
    """
    of_project = _read_json(project / "cdk.json")
    of_user = _read_json(Path(environment.get("HOME") or Path.home()) / ".cdk.json")
    found = _read_json(project / "cdk.context.json")  # what the CDK looked up once

    def setting(name: str) -> str | None:
        variable = f"CDK_{name.upper().replace('-', '_')}"
        words = name.split("-")
        in_files = words[0] + "".join(word.capitalize() for word in words[1:])
        value = (
            options.values.get(name) or environment.get(variable) or of_project.get(in_files) or of_user.get(in_files)
        )
        return None if value is None else str(value)

    given = options.lists.get("context") or [text for text in (environment.get("CDK_CONTEXT"),) if text]
    return CdkSettings(
        profile=setting("profile"),
        region=setting("region"),
        app=setting("app"),
        context={**_context(of_user), **found, **_context(of_project), **dict(map(_pair, given))},
        proxy=setting("proxy"),
        ca_bundle=setting("ca-bundle-path"),
    )


def decide_region(
    settings: CdkSettings,
    environment: Mapping[str, str] = os.environ,
    instance_region: Callable[[], str | None] | None = None,
) -> str:
    """Decide the region in which a stack is that names none.

    Args:
        settings: The CLI's settings.
        environment: The variables.
        instance_region: Tells the region of the EC2 instance this runs on, where it runs on one.

    Returns:
        The region: of the settings, of the variables, of the profile, of the default profile, of the instance, or
        ``us-east-1``.

    Raises:
        CdkSettingsError: When AWS' own files cannot be read.
    """
    profile = settings.profile or _profile_of(environment) or _DEFAULT_PROFILE
    return (
        settings.region
        or next((environment[name] for name in _REGION_VARIABLES if environment.get(name)), None)
        or _region_in_files(profile, environment)
        or (instance_region or _region_of_instance)()
        or DEFAULT_REGION
    )


def boto_session(settings: CdkSettings, region: str, environment: Mapping[str, str] = os.environ) -> boto3.Session:
    """Make a session with the credentials that the CLI would use.

    A profile named for the CDK comes first, then keys in the environment, then the environment's profile.

    Args:
        settings: The CLI's settings.
        region: Its region.
        environment: The variables.

    Returns:
        The session. Whether there are credentials shows when they are used.

    Raises:
        botocore.exceptions.BotoCoreError: When there is no such profile.
    """
    names = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")
    key, secret, token = (environment.get(f"AWS_{name}") or environment.get(f"AMAZON_{name}") for name in names)
    keys = (key, secret) if settings.profile is None and key and secret else None
    # No variable decides for botocore: it would ask for AWS_DEFAULT_PROFILE before AWS_PROFILE.
    core = botocore.session.Session(
        session_vars={"profile": (None, None, None, None)},
        profile=None if keys else settings.profile or _profile_of(environment),
    )
    if keys is not None:
        core.set_credentials(*keys, token)
    if settings.ca_bundle:
        core.set_config_variable("ca_bundle", settings.ca_bundle)
    if settings.proxy:
        core.set_default_client_config(Config(proxies={"http": settings.proxy, "https": settings.proxy}))
    return boto3.Session(botocore_session=core, region_name=region)


def _profile_of(environment: Mapping[str, str]) -> str | None:
    return environment.get("AWS_PROFILE") or environment.get("AWS_DEFAULT_PROFILE") or None


def _region_in_files(profile: str, environment: Mapping[str, str]) -> str | None:
    """The region that AWS' files give a profile, or else the default profile; the file of credentials counts first."""
    credentials = environment.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    config = environment.get("AWS_CONFIG_FILE") or "~/.aws/config"
    try:
        files = [_sections(credentials, raw_config_parse), _sections(config, _profiles)]
    except (ConfigParseError, UnicodeDecodeError, OSError) as error:
        raise CdkSettingsError(f"AWS' settings cannot be read: {error}") from error
    regions = (file.get(name, {}).get("region") for name in (profile, _DEFAULT_PROFILE) for file in files)
    return next((region for region in regions if region is not None), None)


def _sections(path: str, read: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    try:
        return read(path)
    except ConfigNotFound:
        return {}


def _profiles(path: str) -> dict[str, Any]:
    profiles: dict[str, Any] = load_config(path)["profiles"]
    return profiles


def _region_of_instance() -> str | None:
    """Ask EC2 for the region, where this runs on an instance; the CLI recognises one by the same files."""
    tag, uuid = Path("/sys/devices/virtual/dmi/id/board_asset_tag"), Path("/sys/hypervisor/uuid")
    if not (_begins(tag, "i-") or _begins(uuid, "ec2")):
        return None
    fetcher = InstanceMetadataRegionFetcher(timeout=1, num_attempts=1, env=os.environ)
    region: str | None = fetcher.retrieve_region()
    return region


def _begins(path: Path, prefix: str) -> bool:
    try:
        return path.read_text(encoding="utf-8").strip().lower().startswith(prefix)
    except OSError:
        return False


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CdkSettingsError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise CdkSettingsError(f"{path} holds no JSON object")
    return found


def _context(settings: dict[str, Any]) -> dict[str, Any]:
    context = settings.get("context") or {}
    if not isinstance(context, dict):
        raise CdkSettingsError("context in cdk.json or ~/.cdk.json is no JSON object")
    return context


def _pair(text: str) -> tuple[str, str]:
    key, has_value, value = text.partition("=")
    if not has_value or not key:
        # The CLI says so in a line that scrolls by, and goes on without it.
        raise CdkSettingsError(f"-c {text}: a context value is written key=value")
    return key, value
