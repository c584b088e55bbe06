"""Where a command works: the options that every command has, and the store that they name."""

from __future__ import annotations

import functools
import re
import traceback
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

import click
from botocore.exceptions import BotoCoreError

from agent_sessions.exceptions import SessionException
from agent_sessions.owner import owner_prefix
from agent_sessions.session_store import SessionStore
from agent_sessions.store_url import StoreUrlError, parse_store_url, shown
from agent_sessions_cli.failures import ExitCode, TerminalError, as_terminal_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_s3.client import S3Client

_PREFIX = re.compile(r"o_[a-z2-7]{52}(/o_[a-z2-7]{52})*\Z")


@dataclass(frozen=True)
class Place:
    """Where a command works, as its options say. See ``OPTIONS`` for their meaning."""

    store_url: str = ""
    owner: str | None = None
    issuer: str | None = None
    ttl_days: float | None = None
    profile: str | None = None
    endpoint_url: str | None = None
    as_json: bool = False
    ANY: ClassVar = "*"

    def open(self) -> SessionStore:
        """Open the store. Nothing is read yet.

        Raises:
            click.UsageError: The options name no store.
        """
        return self.open_with(self.ttl_days)

    def open_with(self, ttl_days: float | None) -> SessionStore:
        """As :meth:`open`, with another lifetime of sessions."""
        try:
            needs_aws = parse_store_url(self.store_url).needs_aws
        except StoreUrlError as error:
            problem = f"{shown(self.store_url)!r} {error}".strip()
            raise click.UsageError(f"--store {problem}.") from None
        client = self.s3_client() if needs_aws else None
        if client is None and (self.profile or self.endpoint_url):
            raise click.UsageError("--profile and --endpoint-url belong to a store on S3. Leave them out.")
        try:
            store = SessionStore.from_url(self.store_url, client=client, ttl_days=ttl_days)
        except ValueError as error:
            raise click.UsageError(f"{error}.") from None
        prefix = self._owner_prefix()
        return store if prefix is None else store.for_owner(prefix)

    @property
    def is_of_every_owner(self) -> bool:
        """Whether ``--owner '*'`` was given."""
        return self.owner == self.ANY

    def open_each(self, ttl_days: float | None) -> Iterator[tuple[str | None, SessionStore]]:
        """Open the store of each owner that is meant: one, or with ``--owner '*'`` everybody's.

        Args:
            ttl_days: As of :meth:`open_with`.

        Yields:
            The owner's prefix, ``None`` for the sessions directly below the store; and the store.
        """
        if not self.is_of_every_owner:
            yield (None if self.owner is None else self._owner_prefix()), self.open_with(ttl_days)
            return
        if self.issuer is not None:
            raise click.UsageError("--owner '*' means every owner of every issuer. Leave --issuer out.")
        whole = replace(self, owner=None).open_with(ttl_days)
        yield None, whole
        for prefix in _owners_below(whole, ""):
            yield prefix, whole.for_owner(prefix)

    def whole(self) -> SessionStore:
        """Open the store, whoever's sessions are meant."""
        return replace(self, owner=None, issuer=None).open()

    def s3_client(self) -> S3Client:
        """A client for a store on S3, with the credentials that the options name."""
        import boto3

        from agent_sessions.s3_session_manager import s3_client

        try:
            return s3_client(boto3.Session(profile_name=self.profile), endpoint_url=self.endpoint_url)
        except (BotoCoreError, ValueError) as error:
            raise click.UsageError(f"{error} Check --profile, --endpoint-url and the AWS_ variables.") from None

    def _owner_prefix(self) -> str | None:
        if self.is_of_every_owner:
            raise click.UsageError("--owner '*' is for ls, cp and doctor. Name the owner of this session.")
        if self.owner is None:
            if self.issuer is not None:
                raise click.UsageError("--issuer goes with --owner. Name the owner, too.")
            return None
        if self.issuer is None:
            if not _PREFIX.match(self.owner):
                raise click.UsageError(
                    "--owner needs --issuer beside it (an AWS account, an identity provider's URL, `local`), "
                    "unless it is a prefix of the store: o_ and 52 characters."
                )
            return self.owner
        try:
            return owner_prefix(self.issuer, self.owner)
        except ValueError as error:
            raise click.UsageError(f"--owner, --issuer: {error}.") from None


def _owners_below(whole: SessionStore, prefix: str) -> Iterator[str]:
    """The prefixes of the owners in a store, and of those that an owner speaks for, ordered."""
    for name in whole.objects.list_folders(f"{whole.layout.root}{prefix}", named="o_"):
        if _PREFIX.match(name):
            yield f"{prefix}{name}"
            yield from _owners_below(whole, f"{prefix}{name}/")


OPTIONS = [
    click.option(
        "--store",
        "store_url",
        metavar="URL",
        envvar="AGENT_SESSIONS_STORE",
        required=True,
        help="Where the sessions are: s3://bucket/prefix or file:///folder.",
    ),
    click.option(
        "--owner",
        metavar="NAME",
        help="Whose sessions: with --issuer the subject, as the endpoint names its callers; without it the prefix, "
        "o_ and 52 characters. Not given: the sessions directly below the store. '*', for ls, cp and doctor: "
        "everybody's.",
    ),
    click.option("--issuer", metavar="NAME", help="Who vouches for the owner: an AWS account, a URL, local."),
    click.option(
        "--ttl-days",
        metavar="DAYS",
        type=click.FloatRange(min=0),
        envvar="AGENT_SESSIONS_TTL_DAYS",
        help="Days after its last use at which a session expires, as the writers of the store have it. Not given, "
        "or 0: sessions do not expire.",
    ),
    click.option("--profile", metavar="NAME", help="The profile of AWS credentials to use."),
    click.option("--endpoint-url", metavar="URL", help="Another S3 than Amazon's."),
    click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line, errors included."),
    click.option("--debug", is_flag=True, help="Print where an error was raised, too."),
]
"""The options that every command has."""


def works_in_place(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of every command. It gets a :class:`Place`, and its errors become exit codes."""
    return _with_options(command, OPTIONS)


def works_between_places(command: Callable[..., None]) -> Callable[..., None]:
    """As :func:`works_in_place` without ``--store``: the command's own arguments name its stores."""
    return _with_options(command, OPTIONS[1:])


def works_without_store(command: Callable[..., None]) -> Callable[..., None]:
    """As :func:`works_in_place` for a command that opens no store: a profile, and how it prints."""
    return _with_options(command, [OPTIONS[4], *OPTIONS[6:]])


def _with_options(command: Callable[..., None], options: list[Callable[..., Any]]) -> Callable[..., None]:
    @functools.wraps(command)
    def run(*, debug: bool, **given: Any) -> None:
        place = Place(**{name: given.pop(name) for name in _NAMES if name in given})
        try:
            command(place, **given)
        except (click.UsageError, click.exceptions.Exit, BrokenPipeError):
            raise
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - every one becomes an exit code
            if debug:
                traceback.print_exc()
            failure = _failure(error)
            failure.show(as_json=place.as_json)
            raise click.exceptions.Exit(failure.code) from None

    for option in reversed(options):
        run = option(run)
    return run


_NAMES = tuple(field.name for field in fields(Place))


def _failure(error: BaseException) -> TerminalError:
    match error:
        case TerminalError():
            return error
        case SessionException():
            return as_terminal_error(error)
        case _ if type(error).__module__.startswith("agent_sessions_client"):
            return TerminalError(f"{error}", ExitCode.ENDPOINT)
        case KeyboardInterrupt() | click.Abort():
            return TerminalError("Stopped.", ExitCode.INTERRUPTED)
        case _:
            return TerminalError(f"{type(error).__name__}: {error}. --debug shows where.", ExitCode.UNEXPECTED)
