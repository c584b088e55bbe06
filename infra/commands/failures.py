"""What a command says when it cannot go on: one line that tells what to do, instead of a traceback."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from infra.commands.cdk_app import AppError
from infra.commands.cdk_options import OptionError
from infra.commands.cdk_settings import CdkSettingsError
from infra.config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

FAILED: Final = 1
NOT_UNDERSTOOD: Final = 2
INTERRUPTED: Final = 130

_SIGN_IN: Final = 'Sign in again, or name another profile: ARGS="--profile ...".'
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
_NOT_ACCEPTED: Final = frozenset(
    {"AuthFailure", "IncompleteSignature", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidToken"}
    | {"SignatureDoesNotMatch", "UnrecognizedClientException"}
)
_DENIED: Final = frozenset(
    {"AccessDenied", "AccessDeniedException", "AllAccessDisabled", "UnauthorizedOperation", "403"}
)


class CommandError(RuntimeError):
    """A command cannot do what it is for; the message is one line."""


def run_command(command: Callable[[list[str]], int], arguments: list[str]) -> int:
    """Run a command; what it cannot cope with is said in a line.

    Args:
        command: Takes the arguments, returns an exit code.
        arguments: Its arguments.

    Returns:
        The command's own exit code; 1 when AWS, the app or the deployment is the reason why not; 2 when the arguments
        or the configuration are; 130 after Ctrl-C.
    """
    try:
        return command(arguments)
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return INTERRUPTED
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")  # a line for each key
        return NOT_UNDERSTOOD
    except (OptionError, CdkSettingsError) as error:
        code, reason = NOT_UNDERSTOOD, str(error)
    except (AppError, CommandError) as error:
        code, reason = FAILED, str(error)
    except ClientError as error:
        code, reason = FAILED, refusal(error)
    except BotoCoreError as error:
        code, reason = FAILED, obstacle(error)
    sys.stderr.write(f"{' '.join(reason.split())}\n")
    return code


def refusal(error: ClientError) -> str:
    """Say why AWS refuses a request."""
    code = error.response["Error"].get("Code", "")
    if code in _EXPIRED:
        return f"The AWS credentials have expired. {_SIGN_IN}"
    if code in _NOT_ACCEPTED:
        return f"AWS does not accept these credentials ({code}). {_SIGN_IN}"
    if code in _DENIED:
        return f"AWS denies {error.operation_name}: {error.response['Error'].get('Message') or code}"
    return str(error)


def obstacle(error: BotoCoreError) -> str:
    """Say why a request could not be made."""
    if isinstance(error, NoCredentialsError):
        return f"There are no AWS credentials. {_SIGN_IN}"
    if isinstance(
        error, (CredentialRetrievalError, PartialCredentialsError, ProfileNotFound, SSOError, TokenRetrievalError)
    ):
        return f"The AWS credentials cannot be used: {error} {_SIGN_IN}"
    return f"AWS could not be asked: {error}"
