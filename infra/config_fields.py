"""How a setting of the deployment is declared: with what a user needs to know of it."""

from typing import Any

from pydantic import Field
from pydantic.fields import FieldInfo


def setting(default: Any, allowed: str, meaning: str, **constraints: Any) -> Any:
    """A field; the documentation and the error messages are made from what is said here.

    Args:
        default: Its value when nobody sets it.
        allowed: What it may be set to, in words.
        meaning: What it does.
        **constraints: Those of pydantic.
    """
    return Field(default, description=meaning, json_schema_extra={"allowed": allowed}, **constraints)


def allowed_values(field: FieldInfo) -> str:
    """What a key may be set to, in words."""
    extra = field.json_schema_extra
    return str(extra["allowed"]) if isinstance(extra, dict) else ""
