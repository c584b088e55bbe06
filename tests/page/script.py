"""What the agent of the page's tests says: written by a test, played by a server in a process of its own.

It lies in a folder, so that a server that was killed goes on with it. A test writes::

    script.say("Hello.")                                   # one model call, one answer
    script.say([reasoning("Hm."), "Yes.", tool_use("calculator", expression="6*7")], "It is 42.")
    script.say(["One two ", gate("more"), "three."])       # stands still there until script.open("more")
    script.say(slowly("many words", 0.05))                 # so long between two words
    script.say([fails("ThrottlingException")])

What is asked beyond the script is answered with ``echo: <prompt>``.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_REPLIES, _ASKED, _GATES = "replies.jsonl", "asked.jsonl", "gates"
_WAIT_SECONDS = 0.01
_GATE_SECONDS = 30.0

Part = str | dict[str, Any]


def tool_use(name: str, /, tool_use_id: str = "", **tool_input: Any) -> dict[str, Any]:
    """A tool call. The agent has ``calculator``, ``current_time``, ``ask``, ``wait_for``, ``fail``: see ``served``."""
    return {"toolUse": {"name": name, "toolUseId": tool_use_id or f"use_{os.urandom(6).hex()}", "input": tool_input}}


def reasoning(text: str) -> dict[str, Any]:
    """What the model shows of its reasoning."""
    return {"reasoningContent": {"reasoningText": {"text": text}}}


def gate(name: str) -> dict[str, Any]:
    """The model stands still until the test opens this gate."""
    return {"gate": name}


def slowly(text: str, seconds_a_word: float) -> list[Part]:
    """An answer with a pause before each word."""
    return [{"slowly": {"text": text, "seconds": seconds_a_word}}]


def fails(kind: str = "the model failed") -> dict[str, Any]:
    """The model raises an error there: ``throttled``, or a text."""
    return {"fails": kind}


class Script:
    """Both sides of the folder.

    Args:
        folder: Where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / _GATES).mkdir(parents=True, exist_ok=True)

    # --- a test's side ---

    def say(self, *replies: Part | list[Part]) -> None:
        """Add what the model answers: one reply for each call."""
        with (self.folder / _REPLIES).open("a", encoding="utf-8") as file:
            for reply in replies:
                file.write(json.dumps(reply if isinstance(reply, list) else [reply]) + "\n")

    def open(self, name: str) -> None:
        """Let the model, or the tool ``wait_for``, go on."""
        (self.folder / _GATES / name).touch()

    def reset(self) -> None:
        """Forget everything, and let go whoever stands at a gate."""
        for name in (_REPLIES, _ASKED):
            (self.folder / name).unlink(missing_ok=True)
        for opened in (self.folder / _GATES).iterdir():
            opened.unlink()

    @property
    def asked(self) -> list[Any]:
        """The messages of every call of the model so far."""
        path = self.folder / _ASKED
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []

    # --- the server's side ---

    def next_reply(self, messages: Any) -> list[Part]:
        """Record a call, and tell what answers it."""
        number = len(self.asked)
        with (self.folder / _ASKED).open("a", encoding="utf-8") as file:
            file.write(json.dumps(messages, default=lambda value: f"{len(value)} bytes") + "\n")
        path = self.folder / _REPLIES
        replies = path.read_text("utf-8").splitlines() if path.exists() else []
        if number < len(replies):
            parts: list[Part] = json.loads(replies[number])
            return parts
        texts = [block["text"] for block in messages[-1]["content"] if "text" in block]
        return [f"echo: {' '.join(texts) or 'no text'}"]

    def waits(self, name: str) -> Iterator[float]:
        """The pauses of somebody who stands at a gate, until it opens."""
        given_up_at = time.monotonic() + _GATE_SECONDS
        while not (self.folder / _GATES / name).exists() and time.monotonic() < given_up_at:
            yield _WAIT_SECONDS
