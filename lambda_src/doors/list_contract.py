"""The shapes of lists and titles of sessions: a part of the contract, see ``lambda_src.contract``."""

from pydantic import BaseModel, Field

from lambda_src.contract import TITLE, StrictBody
from lambda_src.value_rules import SessionTitle


class RenameBody(StrictBody):
    """What a session is to be called."""

    title: SessionTitle | None = Field(
        description="Null gives the title back that the first prompt has made. Blanks around it are left out."
    )


class TurnUnderWay(BaseModel):
    """A turn that runs at this moment."""

    turn_id: str
    agent_id: str


class SessionRow(BaseModel):
    """A session in a list. Times are ISO 8601 in UTC."""

    session_id: str
    title: str | None = Field(description=f"{TITLE} Null, too, before the first turn that makes one.")
    created_at: str | None = Field(description="Null when its record cannot be read.")
    forked_from: str | None = Field(description="The session it began as; null when it is no fork.")
    last_used_at: str | None = Field(description="Null in the order of the ids.")
    running_turn: TurnUnderWay | None = Field(description="Null when none runs, and in the order of the ids.")


class SessionName(BaseModel):
    """What a session is called."""

    session_id: str
    title: str | None = Field(description=TITLE)


class Sessions(BaseModel):
    """A page of the caller's sessions, in the order that was asked for."""

    session_ids: list[str]
    sessions: list[SessionRow] = Field(description="The same, each with what is known of it.")
    next_cursor: str | None = Field(description="Send it as cursor for the next page; null on the last one.")
