"""What a failure of the agent says when it is tried offline: that it is broken, or that it needs what is not here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lambda_src.answers.errors import SecretUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Nothing that a network or an account could mend, whatever was asked for before.
_NEVER_MENDED: Final = (NameError, ImportError, SyntaxError, SystemExit)
# Of the system's errors, those about files: they are shipped, and are the same there.
_ABOUT_FILES: Final = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)
_NETWORKS: Final = frozenset(
    {"aiohttp", "boto3", "botocore", "httpcore", "httpx", "mcp", "requests", "s3transfer", "urllib3"}
)
_PROGRAMMERS: Final = frozenset({"ParamValidationError", "UnknownServiceError", "UnsupportedProtocol", "InvalidURL"})
# What the CDK writes in the place of a value that is known when the stack is deployed: a table's name, say.
_KNOWN_LATER: Final = "${Token["


def needs_what_is_not_here(error: BaseException, *, asked_the_network: bool) -> bool:
    """Whether this may work where there is a network, an account and its secrets.

    Args:
        error: What the agent raised.
        asked_the_network: Whether it tried to connect before. What a refusal leads to is not judged.
    """
    if isinstance(error, _NEVER_MENDED):
        return False
    return asked_the_network or any(_is_of_surroundings(one) for one in _chain(error))


def _is_of_surroundings(error: BaseException) -> bool:
    if _KNOWN_LATER in str(error):
        return True
    if isinstance(error, OSError):
        return not isinstance(error, _ABOUT_FILES)
    kind = type(error)
    if kind.__name__ in _PROGRAMMERS:
        return False
    return isinstance(error, SecretUnavailableError) or kind.__module__.partition(".")[0] in _NETWORKS


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, what it was raised from, and what a group of them holds."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        parts = getattr(one, "exceptions", ())
        waiting += [each for each in (one.__cause__, one.__context__, *parts) if isinstance(each, BaseException)]
