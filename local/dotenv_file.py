"""``.env``: variables of this machine that nobody commits, such as the secrets of the agent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dotenv import load_dotenv
from dotenv.parser import parse_stream

from local.configuration import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

NAME = ".env"


def read_dotenv(folder: Path) -> None:
    """Set the variables of ``.env`` that are not set already.

    Args:
        folder: Where the file is. Without one nothing happens.

    Raises:
        ConfigurationError: The file cannot be read. The message names the line and does not quote it.
    """
    path = folder / NAME
    if not path.exists():
        return
    try:
        with path.open(encoding="utf-8") as file:
            wrong = [binding.original.line for binding in parse_stream(file) if binding.error]
    except (OSError, UnicodeDecodeError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "it is no UTF-8"
        raise ConfigurationError(f"{NAME} cannot be read: {why}.") from None
    if wrong:
        raise ConfigurationError(f"{NAME}, line {wrong[0]}, cannot be read. Allowed: NAME=value, and # comments.")
    load_dotenv(path, override=False, encoding="utf-8")
