"""Where the files are that the constructs ship: the function, its locks, the session library.

In the repository each has its own folder. In the wheel they lie beside this package, in ``assets/`` (see
``pyproject.toml``), and the session library is installed next to it.
"""

from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parents[1]
_ASSETS: Final = _PACKAGE / "assets"
IS_INSTALLED: Final = _ASSETS.is_dir()
_HOME: Final = _ASSETS if IS_INSTALLED else _PACKAGE.parent

FUNCTION: Final = _HOME / "lambda_src"
AGENT_FOLDER: Final = FUNCTION / "agent"
LOCKS: Final = _HOME / "requirements"
SESSION_LIBRARY: Final = _PACKAGE.parent / "agent_sessions" if IS_INSTALLED else _HOME / "layer" / "agent_sessions"
TRIAL: Final = _HOME
"""The folder that holds ``local``, which tries an agent."""


def endpoint_lock(provider_package: str | None) -> Path:
    """The lock of what the endpoint's function needs, with the SDK of its model's provider if that is one."""
    return LOCKS / ("endpoint.txt" if provider_package is None else f"endpoint-{provider_package}.txt")
