"""The shapes of requests and replies: what is validated on the way in and documented in ``docs/openapi.json``."""
# Over 300 lines: the shapes of all requests and replies, as one contract.

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    WithJsonSchema,
    model_validator,
)

from lambda_src import value_rules
from lambda_src.content import ContentBlock
from lambda_src.value_rules import AgentId, MessageId, SessionIdInPath, TurnId

MAX_BLOCKS = 1_000
MAX_INTERRUPT_RESPONSES = 100


def _blocks(value: object) -> object:
    if isinstance(value, str):
        return [{"text": value}]
    if not isinstance(value, list) or not value:
        raise ValueError("must be text or a list of content blocks, and not empty")
    if len(value) > MAX_BLOCKS:
        raise ValueError(f"must not have more than {MAX_BLOCKS} content blocks")
    return value


def _says_something(blocks: list[ContentBlock]) -> list[ContentBlock]:
    if all(block.cache_point is not None for block in blocks):
        raise ValueError("a prompt needs more than cache points")
    return blocks


Prompt = Annotated[
    list[ContentBlock],
    BeforeValidator(
        _blocks,
        json_schema_input_type=Annotated[str, WithJsonSchema(value_rules.SPOKEN_TEXT)]
        | Annotated[
            list[ContentBlock], Field(min_length=1, max_length=MAX_BLOCKS, json_schema_extra=value_rules.A_PROMPT)
        ],
    ),
    AfterValidator(_says_something),
]
_BLOCK_SCHEMA = {
    "type": "object",
    "description": "A Strands content block; bytes in it are base64 text.",
    "additionalProperties": True,
}


class StrictBody(BaseModel):
    """What a caller sends: nothing else, and no other types."""

    # Strict, because the contract's types are JSON's: if Python converted "yes" or 1, it would be another request.
    model_config = ConfigDict(extra="forbid", strict=True)


class InterruptResponse(StrictBody):
    """The answer to one interrupt."""

    interrupt_id: str = Field(min_length=1, description="As the reply that asked named it.")
    response: Annotated[Any, WithJsonSchema(value_rules.ANY_BUT_NULL)] = Field(
        description="The answer: any JSON value but null, handed to whoever asked."
    )

    @model_validator(mode="after")
    def _answers_something(self) -> Self:
        if self.response is None:
            raise ValueError("response must not be null: an interrupt without a response counts as unanswered")
        return self


class FirstTurnBody(StrictBody):
    """The first turn of a new session."""

    prompt: Prompt = Field(description="Text, or content blocks with bytes as base64.")
    agent_id: AgentId | None = Field(default=None, description="The agent spoken to; by default the endpoint's.")


class TurnBody(StrictBody):
    """One turn: either a prompt, or the answers to the interrupts that the last reply named.

    A member that is null is as good as absent.
    """

    model_config = ConfigDict(json_schema_extra=value_rules.TURN)

    prompt: Prompt | None = Field(default=None, description="Text, or content blocks with bytes as base64.")
    interrupt_responses: list[InterruptResponse] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_INTERRUPT_RESPONSES,
        description="Each for another interrupt.",
        json_schema_extra={"uniqueItems": True},
    )
    agent_id: AgentId | None = Field(default=None, description="The agent spoken to; by default the endpoint's.")

    @model_validator(mode="after")
    def _prompt_or_answers(self) -> Self:
        if (self.prompt is None) == (self.interrupt_responses is None):
            raise ValueError("either prompt or interrupt_responses is needed, and not both")
        ids = [answer.interrupt_id for answer in self.interrupt_responses or ()]
        if len(set(ids)) < len(ids):
            raise ValueError("interrupt_responses answers the same interrupt twice")
        return self


class ForkBody(StrictBody):
    """Where a fork begins: before a turn, named by its id or by its first message.

    A member that is null is as good as absent.
    """

    model_config = ConfigDict(json_schema_extra=value_rules.FORK)

    before_turn: TurnId | None = Field(default=None, description="turn_id of a reply.")
    before_message: MessageId | None = Field(default=None, description="message_id of the turn's first message.")
    agent_id: AgentId | None = Field(default=None, description="Whose turn. Needed when there are several agents.")
    session_id: SessionIdInPath | None = Field(
        default=None, description="Of the new session; by default one that cannot be guessed."
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.before_turn is None) == (self.before_message is None):
            raise ValueError("either before_turn or before_message is needed, and not both")
        return self


class Message(BaseModel):
    """A message of the conversation."""

    role: str = Field(description="user or assistant")
    content: list[Annotated[dict[str, Any], WithJsonSchema(_BLOCK_SCHEMA)]]


class Interrupt(BaseModel):
    """A question of the agent or one of its tools, to be answered with ``interrupt_responses``."""

    interrupt_id: str
    name: str
    reason: Any = None


class Usage(BaseModel):
    """Tokens this turn used, over all of its model calls."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    cache_read_input_tokens: int = 0
    cache_write_input_tokens: int = 0


class LeftOut(BaseModel):
    """What the model was not shown as it is, because it refuses it. The conversation itself keeps it."""

    what: str = Field(description="message, or a kind of content block: image, document, cachePoint, toolResult, ...")
    message_ids: list[int] = Field(description="The messages it stands in.")


def _is_empty(value: object) -> bool:
    return not value


_NODES = "Of a graph or a swarm: each node's part in its run, in the order in which they ended."


class NodeReply(BaseModel):
    """A node's part in the run of an orchestrator."""

    node_id: str
    status: Literal["completed", "failed", "interrupted"]
    message: Message | None = Field(description="What it said last; null when it said nothing.")
    usage: Usage
    duration_ms: int


class TurnReply(BaseModel):
    """What one turn came to."""

    session_id: str
    agent_id: str
    turn_id: str = Field(description="Names the turn: GET and DELETE /sessions/{session_id}/turns/{turn_id}.")
    message: Message
    stop_reason: str = Field(
        description="end_turn, interrupt, max_tokens, guardrail_intervened, cancelled, failed, ..."
    )
    interrupts: list[Interrupt]
    usage: Usage
    restored_messages: int = Field(description="How many earlier messages the agent remembered.")
    left_out: list[LeftOut] = Field(
        default=[], exclude_if=_is_empty, description="What of the conversation the model was not shown; else absent."
    )
    nodes: list[NodeReply] | None = Field(default=None, exclude_if=_is_empty, description=_NODES)


class TurnView(BaseModel):
    """What became of a turn."""

    session_id: str
    agent_id: str
    turn_id: str
    status: Literal["running", "answered", "cancelled", "failed", "cut-off"]
    reply: TurnReply | None = Field(description="Of a turn that was answered or cancelled: what its request got.")
    problem: "Problem | None" = Field(description="Of one that failed or was cut off: what its request got instead.")
    request_id: str | None = Field(description="X-Request-Id of the request that takes it, or took it last.")


class RunningTurn(BaseModel):
    """A turn that goes on without this caller: accepted (`Prefer: respond-async`), or asked to stop."""

    session_id: str
    agent_id: str
    turn_id: str
    status: Literal["running", "answered", "cancelled"] = Field(
        description="Other than running when the same request was accepted before, and its turn is over."
    )


class TurnEvents(RootModel[str]):
    """A turn as it happens: server-sent events, each with one JSON object as its data (`TurnEvent`).

    First `turn`, then as they happen `text`, `reasoning`, `tool`, `node` and `message`, then as the last event either
    `reply`, the JSON reply of the same request, or `problem`, a problem document. Comments keep the connection awake.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "contentMediaType": "text/event-stream",
            "contentSchema": {"type": "array", "items": {"$ref": "#/components/schemas/TurnEvent"}},
        }
    )


class ExportLines(RootModel[str]):
    """Sessions as JSON lines: of each a head, its records and a checksum, and a last line with `next_cursor`.

    An answer without its last line was cut off; the sessions with a checksum in it are whole.
    """

    model_config = ConfigDict(json_schema_extra={"contentMediaType": "application/jsonl"})


class AgentDescription(BaseModel):
    """An agent of a session."""

    agent_id: str
    message_count: int = Field(
        description="Of a long conversation the number of its last message and one: what somebody removed counts, too."
    )


class ForkDescription(BaseModel):
    """How a session was forked off another."""

    session_id: str
    forked_from: str = Field(description="The session it began as.")
    agent_id: str
    before_message: int = Field(description="The first message of the turn before which it begins.")
    message_count: int = Field(description="How many messages of this agent it began with.")
    state: Literal["as then", "unknown"] = Field(description="unknown: nobody kept it, and it began empty.")


TITLE = "The title it was given, or the first words of its first prompt; null when there are none."


class SessionDescription(BaseModel):
    """A session, without its messages. Times are ISO 8601 in UTC."""

    session_id: str
    title: str | None = Field(description=TITLE)
    created_at: str
    last_used_at: str | None
    expires_at: str | None = Field(description="Null when sessions never expire.")
    agents: list[AgentDescription]
    next_cursor: str | None = Field(
        description="Null when these are all agents. Of a long session with many agents, send it as cursor for more."
    )
    fork: ForkDescription | None = Field(description="How it was forked off another session; null when it was not.")


class TurnBegun(BaseModel):
    """The turn that a message begins."""

    turn_id: str = Field(description="GET /sessions/{session_id}/turns/{turn_id} tells what became of the last ones.")
    restored_messages: int | None = Field(description="How many earlier messages the agent remembered, if noted.")


class StoredMessage(BaseModel):
    """A message with its place in the conversation."""

    message_id: int
    created_at: str
    message: Message
    left_out: list[LeftOut] = Field(default=[], description="Of an answer: what the model was not shown for it.")
    nodes: list[NodeReply] | None = Field(default=None, exclude_if=_is_empty, description=_NODES)
    refused: bool = Field(default=False, description="Of a prompt: whether the model refused it.")
    turn: TurnBegun | None = Field(
        default=None,
        exclude_if=_is_empty,
        description="Of a turn's first message: which turn; absent if nobody noted it.",
    )


class Messages(BaseModel):
    """A page of a conversation, in order."""

    session_id: str
    agent_id: str
    messages: list[StoredMessage]
    next_cursor: str | None = Field(description="Send it as cursor for the next page; null on the last one.")


class Erasure(BaseModel):
    """A session that is closed to everybody and not erased whole yet. Sent again, the request goes on."""

    session_id: str
    erased_objects: int = Field(description="How many objects and versions this request has erased.")
    objects_left: int | None = Field(
        description="How many there are yet at least, counted up to 1,000; null when there was no time to count them."
    )


class Undeleted(BaseModel):
    """Something that could not be deleted."""

    name: str = Field(description="Where it lies, below the caller's own part of the store.")
    code: str = Field(
        description="Why: an error code of the storage. InUse: a turn runs in this session, which is closed already."
    )


class Receipt(BaseModel):
    """What an erasure of everything came to, counted over all its requests."""

    sessions: int
    objects: int
    versions: int = Field(description="Older versions of objects, in a bucket that keeps them.")
    markers: int = Field(description="Delete markers of objects, in a bucket that keeps versions.")
    bytes: int = Field(description="The size of all these.")
    began_at: str | None = Field(description="ISO 8601 in UTC; null when there was nothing to erase.")
    ended_at: str | None = Field(description="When everything had gone; null while something is left.")
    left: list[Undeleted] = Field(description="What could not be deleted: the first 20.")
    left_count: int
    complete: bool = Field(description="Whether nothing is left.")


class Health(BaseModel):
    """The endpoint is up."""

    status: str


class InvalidPart(BaseModel):
    """One thing that is wrong with a request."""

    location: str = Field(description="Where, for example body.prompt.0.image.format")
    detail: str


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(description="Names the kind of problem; compare it as a whole.")
    title: str
    status: int
    detail: str
    session_id: str | None = None
    request_id: str | None = Field(default=None, description="Find the request in the log with it.")
    turn_began: bool | None = Field(
        default=None,
        description="session-conflict, storage-failed: true if the turn had begun. What it stored stays, and its tools "
        "may have run: read the conversation before sending the request again without its key. In one of these two "
        "problems without it, no tool has run.",
    )
    errors: list[InvalidPart] | None = Field(default=None, description="invalid-request: each thing that is wrong.")
    interrupts: list[Interrupt] | None = Field(default=None, description="interrupt-pending: what the agent asks.")
    erasure: Literal["open", "closing", "closed"] | None = Field(
        default=None,
        description="delete_session: whether the session is as it was, perhaps closed, or closed to everybody.",
    )
    receipt: Receipt | None = Field(
        default=None, description="delete_sessions: what has been erased before the erasure failed, and what is left."
    )
    next_cursor: str | None = Field(default=None, description="payload-too-large: the page after the large message.")
    offered: list[str] | None = Field(default=None, description="not-acceptable: the media types there are.")
    known_agents: list[str] | None = Field(default=None, description="not-found: the agents there are.")
    left_out: list[LeftOut] | None = Field(
        default=None, description="prompt-refused, context-too-long: what of the prompt the model is not shown again."
    )
