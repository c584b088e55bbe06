"""The events of a stream as the contract describes them: the shape of each one's data.

OpenAPI 3.1 has no word for the items of a stream. A stream is a text there, and JSON Schema's ``contentSchema`` says
what it holds. Its items have the form that OpenAPI 3.2 recommends for server-sent events: ``data`` is text with JSON.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from lambda_src import contract

_REFERENCE = "#/components/schemas/{model}"


class TurnBegan(BaseModel):
    """Event `turn`: the first message of the turn is stored, or the turn is followed from here on."""

    session_id: str
    agent_id: str
    turn_id: str
    restored_messages: int


def _is_none(value: object) -> bool:
    return value is None


OfNode = Annotated[
    str | None,
    Field(exclude_if=_is_none, description="Of a graph or a swarm: the node. Inside another node: `outer/inner`."),
]


class SaidText(BaseModel):
    """Events `text` and `reasoning`: a piece, as the model produces it."""

    text: str
    node_id: OfNode = None


class ToolUsed(BaseModel):
    """Event `tool`: the model asks for a tool, or a tool has ended."""

    tool_use_id: str
    name: str
    status: Literal["success", "error"] | None = Field(
        default=None, exclude_if=_is_none, description="Only when the tool has ended."
    )
    node_id: OfNode = None


class NodeStep(BaseModel):
    """Event `node`: a node of a graph or a swarm begins (`running`), or has ended."""

    node_id: str = Field(description="A node inside another: `outer/inner`.")
    status: Literal["running", "completed", "failed", "interrupted"]
    usage: contract.Usage | None = Field(
        default=None, exclude_if=_is_none, description="Its tokens; only when it has ended."
    )
    duration_ms: int | None = Field(
        default=None, exclude_if=_is_none, description="How long it took; only when it has ended."
    )


class MessageWasStored(BaseModel):
    """Event `message`: a message of the turn is stored now. Its `message_id` is the event's id."""

    message_id: int
    role: str
    content: list[dict[str, Any]] | None = Field(
        default=None, exclude_if=_is_none, description="Only where a turn is followed."
    )


DATA: dict[str, type[BaseModel]] = {
    "turn": TurnBegan,
    "text": SaidText,
    "reasoning": SaidText,
    "node": NodeStep,
    "tool": ToolUsed,
    "message": MessageWasStored,
    "reply": contract.TurnReply,
    "problem": contract.Problem,
}
"""The shape of each event's data, by the event's name, in the order in which they may first come."""


def schemas() -> dict[str, Any]:
    """What the contract's schemas need besides those of requests and answers."""
    _, described = models_json_schema([(model, "serialization") for model in DATA.values()], ref_template=_REFERENCE)
    of_models: dict[str, Any] = described["$defs"]
    ours = {model.__name__: of_models[model.__name__] for model in DATA.values() if model.__module__ == __name__}
    return {**ours, "TurnEvent": {"title": "TurnEvent", "oneOf": [_event(name, model) for name, model in DATA.items()]}}


def _event(name: str, model: type[BaseModel]) -> dict[str, Any]:
    data = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": _REFERENCE.format(model=model.__name__)},
    }
    members: dict[str, Any] = {"event": {"const": name}, "data": data}
    if name == "message":
        members["id"] = {"type": "string", "pattern": "^(0|[1-9][0-9]*)$"}
    return {"type": "object", "title": name, "properties": members, "required": list(members)}
