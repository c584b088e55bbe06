"""Find out whether a prompt asks for a tool by name, and with which input: pure functions, no understanding."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from strands.types.tools import ToolSpec

_JOINT = re.compile(r"\s*(?:tool\b)?\s*(?:[:,]|\b(?:with|for|in|of|on|to)\b)?\s*", re.IGNORECASE)
_VERB = r"\b(?:use|using|call|run|ask|try|invoke)\s+(?:the\s+|my\s+|your\s+)?(?:tool\s+)?"
_TRUTH = {"true": True, "yes": True, "false": False, "no": False}


@dataclass(frozen=True)
class ToolRequest:
    """A tool to call.

    Attributes:
        name: the tool's name.
        tool_input: its arguments, of the types its schema asks for.
    """

    name: str
    tool_input: dict[str, Any]


def find_tool_request(prompt: str, tool_specs: Sequence[ToolSpec]) -> ToolRequest | str | None:
    """Read a prompt such as ``use the calculator: 6*7`` or ``call book: {"seats": 2}``.

    Args:
        prompt: what the user says.
        tool_specs: the tools there are.

    Returns:
        The request; a sentence for the user when the tool's input cannot be read; None when no tool is asked for.
    """
    for spec in tool_specs:
        # "current_time", "current time" and "current-time" all name the tool.
        name = r"[\s_-]+".join(re.escape(word) for word in re.split(r"[\s_-]+", spec["name"]))
        found = re.search(rf"{_VERB}{name}\b", prompt, re.IGNORECASE)
        if found:
            rest = prompt[found.end() :]
            joint = _JOINT.match(rest)
            return _request(spec, rest[joint.end() if joint else 0 :].strip())
    return None


def _request(spec: ToolSpec, text: str) -> ToolRequest | str:
    schema = spec["inputSchema"].get("json", {})
    properties: dict[str, Any] = schema.get("properties", {})
    required: list[str] = schema.get("required", [])
    try:
        tool_input = _read_input(text, properties, required)
    except ValueError as problem:
        return f"I cannot read the input of the tool {spec['name']}: {problem}."
    missing = [name for name in required if name not in tool_input]
    if missing:
        example = json.dumps(dict.fromkeys(required, "…"), ensure_ascii=False)
        return f"The tool {spec['name']} needs {' and '.join(missing)}. Say for example: use {spec['name']}: {example}"
    return ToolRequest(spec["name"], tool_input)


def _read_input(text: str, properties: Mapping[str, Any], required: Sequence[str]) -> dict[str, Any]:
    """Read a JSON object, ``name=value`` pairs, or the value of the one property the text can be meant for."""
    if not text or not properties:
        return {}
    if text.startswith("{"):
        value = json.loads(text)
        return dict(value)
    pairs = re.findall(r"(\w+)\s*=\s*(\"[^\"]*\"|\S+)", text)
    if pairs and all(name in properties for name, _ in pairs):
        return {name: _convert(name, value.strip('"').rstrip(","), properties[name]) for name, value in pairs}
    name = required[0] if required else next(iter(properties))
    return {name: _convert(name, text, properties[name])}


def _convert(name: str, text: str, schema: Mapping[str, Any]) -> Any:
    kind = _kind(schema)
    try:
        if kind == "integer":
            return int(text)
        if kind == "number":
            return float(text)
        if kind == "boolean":
            return _TRUTH[text.casefold()]
        if kind in {"array", "object"}:
            return json.loads(text)
    except (ValueError, KeyError):
        raise ValueError(f"{name} must be of type {kind}, and {text!r} is not") from None
    return text.rstrip(".!?")  # the end of a sentence is not part of a value


def _kind(schema: Mapping[str, Any]) -> str:
    """Return a property's JSON type; if it has several, as optional ones do, the first that is not null."""
    alternatives = [schema, *schema.get("anyOf", [])]
    kinds = [kind for alternative in alternatives if (kind := alternative.get("type")) not in {None, "null"}]
    return str(kinds[0]) if kinds else "string"
