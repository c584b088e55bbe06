"""What the user's own agent gets: environment variables and secrets, checked before they are deployed."""

import ast
import functools
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from .packaging.kit_files import FUNCTION
from .policies.secret_places import ALLOWED_PLACES, secret_place

# Lambda user guide, "Environment variables": what a name may be, and which ones belong to the runtime.
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]+")
_RUNTIMES: Final = frozenset({"PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "TZ"})
_RUNTIMES_PREFIXES: Final = ("AWS_", "LAMBDA_", "POWERTOOLS_")
_SETTINGS: Final = FUNCTION / "settings.py"

ALLOWED_ENVIRONMENT: Final = (
    "a JSON object of names and texts; a name has letters, digits and `_`, at least two characters, begins with a "
    "letter, and is none of the kit's settings, `AWS_...`, `LAMBDA_...`, `POWERTOOLS_...`, "
    + ", ".join(f"`{name}`" for name in sorted(_RUNTIMES))
)
ALLOWED_SECRETS: Final = f"a JSON object of names, as in `agent_environment`, and places: {ALLOWED_PLACES}"


def read_object(value: Any) -> Mapping[str, str]:
    """Read a JSON object of texts: from ``cdk.json`` as it is, from ``-c key=value`` as text.

    Raises:
        ValueError: It is something else. The message quotes names only.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError("no JSON") from None
    if not isinstance(value, Mapping):
        raise ValueError("no JSON object")  # noqa: TRY004 - a wrong value, not a wrong type
    for name, text in value.items():
        if not isinstance(text, str):
            raise ValueError(f"{name} has a value that is no text")  # noqa: TRY004 - likewise
        check_name(name)
    return value


def check_name(name: str) -> None:
    """Check that the user may choose this name.

    Raises:
        ValueError: It is no name of a variable, or belongs to the kit or to Lambda.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a variable")
    if name.upper() in kit_names():
        raise ValueError(f"{name} is a setting of the kit")
    if name.upper() in _RUNTIMES or name.upper().startswith(_RUNTIMES_PREFIXES):
        raise ValueError(f"{name} belongs to Lambda's runtime or to Powertools")


def check_places(secrets: Mapping[str, str]) -> None:
    """Check where each secret is kept.

    Raises:
        ValueError: One is nowhere. The message quotes its name only.
    """
    for name, text in secrets.items():
        try:
            secret_place(text)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None


@functools.cache
def kit_names() -> frozenset[str]:
    """The variables of the kit's own settings, as ``lambda_src/settings.py`` declares them."""
    module = ast.parse(_SETTINGS.read_text(encoding="utf-8"))
    (settings,) = [node for node in module.body if isinstance(node, ast.ClassDef) and node.name == "Settings"]
    fields = [node.target for node in settings.body if isinstance(node, ast.AnnAssign)]
    return frozenset(field.id.upper() for field in fields if isinstance(field, ast.Name))
