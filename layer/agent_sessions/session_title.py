"""What a session's record says that the session is called."""

from __future__ import annotations

from typing import Any, NamedTuple

TITLE = "title"
"""Under ``kit`` of a session's record: what it is called."""


class SessionTitle(NamedTuple):
    """What a session is called, as its record says.

    Attributes:
        derived: The first words of its first prompt; ``None`` when that had none.
        agent_id: Whose message that is; ``None`` when nobody has looked for it.
        message_id: Which one.
        given: The title that somebody has given it instead.
    """

    derived: str | None = None
    agent_id: str | None = None
    message_id: int | None = None
    given: str | None = None

    @property
    def shown(self) -> str | None:
        """The title that people see."""
        return self.given if self.given is not None else self.derived

    @property
    def is_derived(self) -> bool:
        """Whether a prompt has been looked for."""
        return self.agent_id is not None

    def is_of(self, agent_id: str, message_id: int) -> bool:
        """Whether it is this message that has been looked for words."""
        return (self.agent_id, self.message_id) == (agent_id, message_id)

    def to_kit(self) -> dict[str, Any]:
        """As a session's record has it."""
        return {name: value for name, value in self._asdict().items() if value is not None}


def title_in(kit: dict[str, Any] | None) -> SessionTitle:
    """What a session's record says of its title."""
    found = (kit or {}).get(TITLE)
    if not isinstance(found, dict):
        return SessionTitle()
    texts = {name: found.get(name) for name in ("derived", "agent_id", "given")}
    number = found.get("message_id")
    return SessionTitle(
        **{name: text for name, text in texts.items() if isinstance(text, str)},
        message_id=number if type(number) is int else None,
    )
