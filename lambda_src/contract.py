"""The shapes of requests and replies: what is validated on the way in and documented in ``docs/openapi.json``."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from agent_sessions.identifiers import check_identifier
from lambda_src.content import ContentBlock

MAX_INTERRUPT_RESPONSES = 100


def _blocks(value: object) -> object:
    if isinstance(value, str):
        return [{"text": value}]
    if not isinstance(value, list) or not value:
        raise ValueError("must be text or a list of content blocks, and not empty")
    return value


def _says_something(blocks: list[ContentBlock]) -> list[ContentBlock]:
    if all(block.cache_point is not None for block in blocks):
        raise ValueError("a prompt needs more than cache points")
    return blocks


AgentId = Annotated[str, AfterValidator(lambda value: check_identifier("agent", value))]
Prompt = Annotated[
    list[ContentBlock],
    BeforeValidator(_blocks, json_schema_input_type=Annotated[str, Field(min_length=1)] | list[ContentBlock]),
    AfterValidator(_says_something),
]
_BLOCK_SCHEMA = {
    "type": "object",
    "description": "A Strands content block; bytes in it are base64 text.",
    "additionalProperties": True,
}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class InterruptResponse(_Body):
    """The answer to one interrupt."""

    interrupt_id: str = Field(min_length=1, description="As the reply that asked named it.")
    response: Any = Field(description="The answer: any JSON value but null, handed to whoever asked.")

    @model_validator(mode="after")
    def _answers_something(self) -> Self:
        if self.response is None:
            raise ValueError("response must not be null: an interrupt without a response counts as unanswered")
        return self


class FirstTurnBody(_Body):
    """The first turn of a new session."""

    prompt: Prompt = Field(description="Text, or content blocks with bytes as base64.")
    agent_id: AgentId | None = Field(default=None, description="The agent spoken to; by default the endpoint's.")


class TurnBody(_Body):
    """One turn: either a prompt, or the answers to the interrupts that the last reply named."""

    prompt: Prompt | None = Field(default=None, description="Text, or content blocks with bytes as base64.")
    interrupt_responses: list[InterruptResponse] | None = Field(
        default=None, min_length=1, max_length=MAX_INTERRUPT_RESPONSES
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


class TurnReply(BaseModel):
    """What one turn came to."""

    session_id: str
    agent_id: str
    message: Message
    stop_reason: str = Field(description="end_turn, interrupt, max_tokens, guardrail_intervened, ...")
    interrupts: list[Interrupt]
    usage: Usage
    restored_messages: int = Field(description="How many earlier messages the agent remembered.")


class AgentDescription(BaseModel):
    """An agent of a session."""

    agent_id: str
    message_count: int = Field(
        description="Of a long conversation the number of its last message and one: what somebody removed counts, too."
    )


class SessionDescription(BaseModel):
    """A session, without its messages. Times are ISO 8601 in UTC."""

    session_id: str
    created_at: str
    last_used_at: str | None
    expires_at: str | None = Field(description="Null when sessions never expire.")
    agents: list[AgentDescription]
    next_cursor: str | None = Field(
        description="Null when these are all agents. Of a long session with many agents, send it as cursor for more."
    )


class StoredMessage(BaseModel):
    """A message with its place in the conversation."""

    message_id: int
    created_at: str
    message: Message


class Messages(BaseModel):
    """A page of a conversation, in order."""

    session_id: str
    agent_id: str
    messages: list[StoredMessage]
    next_cursor: str | None = Field(description="Send it as cursor for the next page; null on the last one.")


class Sessions(BaseModel):
    """A page of the caller's sessions, ordered by id."""

    session_ids: list[str]
    next_cursor: str | None = Field(description="Send it as cursor for the next page; null on the last one.")


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
    errors: list[InvalidPart] | None = Field(default=None, description="invalid-request: each thing that is wrong.")
    interrupts: list[Interrupt] | None = Field(default=None, description="interrupt-pending: what the agent asks.")
    next_cursor: str | None = Field(default=None, description="payload-too-large: the page after the large message.")


class OwnerName(_Body):
    """Whose session it is, as ``agent_sessions.owner.owner_prefix`` takes it."""

    issuer: str = Field(min_length=1)
    subject: str = Field(min_length=1)


class PlainEvent(TurnBody):
    """A turn without HTTP, for Step Functions, EventBridge and ``aws lambda invoke``."""

    owner: Annotated[str, Field(min_length=1)] | OwnerName
    session_id: Annotated[str, AfterValidator(lambda value: check_identifier("session", value))]
    request_id: str = Field(min_length=1, max_length=200, description="The sender's own name for this request.")
