"""What a session's record says that the session is called."""

from __future__ import annotations

from typing import Any, NamedTuple

TITLE = "title"
"""Under ``kit`` of a session's record: what it is called."""

GIVEN_CHARACTERS = 200
"""Of a title that somebody gives, at most."""

NOT_IN_TITLES = r"\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069"
"""Control characters, ends of lines, and what would turn round what stands beside a title, too: for a regular
expression's class, in the spelling that ECMA 262 and Python share."""

SHOWS_NOTHING = (
    r" \u00a0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000"  # blanks
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u206f\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    # Beyond the first 65,536, neither language reads what the other one writes: these are the characters themselves.
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Characters that show nothing by themselves: blanks, and Unicode's ``Default_Ignorable_Code_Point``. In the same
spelling. A category of Unicode would not do: some marks of format are seen, and some letters are not."""


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
