"""What the running test must not emit, and what it has emitted: ``tests.planted_check`` compares the two.

The standard library alone: doubles that run in processes of their own plant here, too.
"""

import json
import re
from collections.abc import Iterator

TOKEN = re.compile(r"eyJ[\w-]{6,}\.eyJ[\w-]{6,}\.[\w-]*")
"""A JSON Web Token, with or without its signature."""

MARKS = re.compile(r"[\w-]*(?:plugh|xyzzy|frotz|gnusto|rezrov|frobozz)\d+", re.IGNORECASE)
"""Words that the tests plant on purpose."""

_HEAD_CHARACTERS = 24
"""Of a long text: whoever quotes it, quotes its beginning."""

_SHORTEST = 8
"""Characters. Whatever is shorter may stand anywhere by chance."""

_MOST_SECRETS = 400
"""Of one test: each is looked for in everything that it emits."""

_IDS = {"toolUseId"}
"""Keys of what nobody has said: a provider of models makes it, and an interrupt's id has it."""

WAYS_OUT = (
    *("the output", "a record of the log", "an exception", "a problem document", "what an event raises", "a key"),
)


class Watch:
    """What one test must not emit, and what it has emitted."""

    def __init__(self) -> None:
        self.secrets: dict[str, None] = {}
        self.emitted: dict[tuple[str, str], None] = {}

    def found(self, leaving_out: set[str]) -> Iterator[str]:
        """Each thing emitted that holds what it must not, but those that left these ways."""
        secrets = self.secrets.copy()
        for way_out, text in self.emitted.copy():  # a thread that the test has left may still emit something
            if way_out in leaving_out:
                continue
            for line in text.splitlines():
                marked = TOKEN.search(line) or MARKS.search(line)
                held = marked[0] if marked else next((secret for secret in secrets if secret in line), None)
                if held:
                    yield f"{way_out} holds {held!r}: {line.strip()[:600]}"


watch = Watch()


def plant(*values: object) -> None:
    """Let a text be found wherever it is emitted; a text that may stand anywhere by chance is passed over.

    Anything else than a text is looked through for texts.
    """
    left = list(reversed(values))
    while left:  # values may be nested deeper than Python calls
        value = left.pop()
        if isinstance(value, str):
            _plant_text(value)
        elif isinstance(value, dict):
            left.extend(below for key, below in reversed(value.items()) if key not in _IDS)
        elif isinstance(value, list | tuple):
            left.extend(reversed(value))


def _plant_text(text: str) -> None:
    if len(watch.secrets) >= _MOST_SECRETS:
        return
    beginning = text[: 4 * _HEAD_CHARACTERS]
    # What looks the same in JSON, and in JSON within JSON.
    plain = [run.strip()[:_HEAD_CHARACTERS] for run in re.findall(r"[ !#-\[\]-~]{8,}", beginning)]
    found = next(filter(_is_distinct, plain), None)
    if found is None:
        found = next((line.strip()[:_HEAD_CHARACTERS] for line in beginning.splitlines() if line.strip()), "")
        if not _is_distinct(found):
            return
        in_json = json.dumps(found)[1:-1]
        watch.secrets |= dict.fromkeys((in_json, json.dumps(in_json)[1:-1]))
    watch.secrets[found] = None


def _is_distinct(text: str) -> bool:
    return len(text) >= _SHORTEST and len(set(text)) > _SHORTEST // 2 and re.search(r"[^\W\d_]{3}", text) is not None


def plant_event(event: object) -> None:
    """Plant what an event of the endpoint's function says: its prompt, and of whom it speaks."""
    if not isinstance(event, dict):
        return
    headers = event.get("headers")
    named = {str(name).lower(): value for name, value in headers.items()} if isinstance(headers, dict) else {}
    owner = event.get("owner")
    subject = owner.get("subject") if isinstance(owner, dict) else None
    plant(event.get("prompt"), event.get("on_behalf_of"), subject, named.get("session-owner"))
    plant(re.sub(r"^bearer ", "", str(named.get("authorization", "")), flags=re.IGNORECASE))


def emitted(way_out: str, text: str) -> None:
    """Remember what the running test has emitted, for instance the output of a process of its own.

    Args:
        way_out: One of ``WAYS_OUT``.
        text: What left there.
    """
    if text:
        watch.emitted[way_out, text] = None
