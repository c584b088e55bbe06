"""What is wrong with a configuration, in the words of somebody who has to change it."""

import difflib
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from .config_fields import allowed_values

# Shown in no message: somebody may have put a secret there instead of its place.
_NOT_SHOWN: Final = ("agent_environment", "agent_secrets")
_UNKNOWN: Final = "extra_forbidden"  # pydantic's name for a key that is none of ours

Fields: TypeAlias = Mapping[str, FieldInfo]


def report(error: ValidationError, fields: Fields) -> str:
    """What is wrong with a configuration: a line for each key.

    Args:
        error: What the model found.
        fields: The model's fields.
    """
    details = sorted(error.errors(include_url=False), key=lambda detail: detail["type"] != _UNKNOWN)  # those first
    problems = [_problem(dict(detail), fields) for detail in details]
    return "the configuration cannot be deployed:\n" + "\n".join(f"  {problem}" for problem in problems)


def _unknown_key(key: str, fields: Fields) -> str:
    near = difflib.get_close_matches(key.lower().replace("-", "_"), fields, n=1, cutoff=0.6)
    hint = f"did you mean `{near[0]}`?" if near else "the keys are: " + ", ".join(fields)
    return f"{key}: no such key; {hint}"


def _problem(detail: dict[str, Any], fields: Fields) -> str:
    if not detail["loc"]:
        return _sentence(detail)  # about several keys together; it begins with the one to change
    key = str(detail["loc"][0])
    if detail["type"] == _UNKNOWN:
        return _unknown_key(key, fields)
    given = key if key in _NOT_SHOWN else f"{key}={detail['input']!r}"
    return f"{given}: {_sentence(detail)}; allowed: {allowed_values(fields[key])}"


def _sentence(detail: dict[str, Any]) -> str:
    return str(detail["msg"]).removeprefix("Value error, ")
