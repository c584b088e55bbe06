"""Draws ``docs/pictures/architecture.svg``: ``python docs/pictures/architecture.py``.

The rooms are the folders that are there, so that the picture cannot show one that is gone or leave out one that came.
"""

from html import escape
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT = 900, 600

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .name { font-weight: 600 }
  .small { font-size: 11px; fill: #57606a }
  .package { fill: none; stroke: #8c959f; stroke-width: 1.2 }
  .room { fill: #ddf4ff; stroke: #0969da }
  .door { fill: #dafbe1; stroke: #1a7f37 }
  .yours { fill: #fff8c5; stroke: #9a6700 }
  .outside { fill: #f6f8fa; stroke: #8c959f; stroke-dasharray: 4 3 }
  .arrow { stroke: #57606a; stroke-width: 1.5; fill: none; marker-end: url(#head) }
  #head path { fill: #57606a }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 }
    .room { fill: #0c2d6b } .door { fill: #04260f } .yours { fill: #3b2300 } .outside { fill: #161b22 }
    .arrow { stroke: #9198a1 } #head path { fill: #9198a1 }
  }
""".rstrip()


HEAD = (
    '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0L8 4L0 8z"/></marker>'
)


class Room(NamedTuple):
    """A box of the picture.

    Attributes:
        folder: The folder or module it stands for, from the repository's root; ``None`` for what is not in it.
        words: What is in it, in a few words.
        x: Left edge.
        y: Upper edge.
        width: Its width.
        kind: How it is drawn: ``room``, ``door``, ``yours`` or ``outside``.
    """

    folder: str | None
    words: tuple[str, str]
    x: int
    y: int
    width: int
    kind: str = "room"


HEIGHT_OF_ROOM = 52
ROOMS = [
    Room(None, ("a caller", "HTTP, an event"), 20, 60, 120, "outside"),
    Room("lambda_src/handler.py", ("handler", "where Lambda enters"), 200, 60, 150, "door"),
    Room("lambda_src/doors", ("doors", "routes, events, streams"), 200, 150, 150),
    Room("lambda_src/callers", ("callers", "who is asking"), 20, 150, 120),
    Room("lambda_src/turns", ("turns", "lease, restore, run, reply"), 200, 240, 150),
    Room("lambda_src/answers", ("answers", "errors, problems, logs"), 375, 60, 150),
    Room("lambda_src/turn_resource", ("turn_resource", "follow, status, no caller"), 375, 150, 150),
    Room("lambda_src/agent", ("agent", "yours: prompt, tools"), 375, 240, 150, "yours"),
    Room("lambda_src/runtime", ("runtime", "AWS clients, transport"), 550, 60, 150),
    Room("lambda_src/metrics", ("metrics", "numbers of a request"), 550, 150, 150),
    Room("lambda_src/models", ("models", "providers, refusals"), 550, 240, 150),
    Room(None, ("the model", "Amazon Bedrock, others"), 740, 240, 150, "outside"),
    Room("layer/agent_sessions/session_store.py", ("doors", "managers, store, lease"), 200, 380, 150, "door"),
    Room("layer/agent_sessions/_conversation", ("_conversation", "one agent's messages"), 390, 355, 140),
    Room("layer/agent_sessions/_objects", ("_objects", "a session as objects"), 390, 430, 140),
    Room("layer/agent_sessions/_life", ("_life", "begins, expires, ends"), 560, 355, 140),
    Room("layer/agent_sessions/_records", ("_records", "keys, format, conditions"), 560, 430, 150),
    Room("layer/agent_sessions/_storage", ("_storage", "S3, files"), 740, 390, 120),
    Room(None, ("Amazon S3", "or a folder"), 740, 535, 120, "outside"),
]
PACKAGES = [
    ("lambda_src: the endpoint's function", 10, 30, 710, 280),
    ("agent_sessions: the session library", 180, 325, 700, 185),
]
ARROWS = [
    ((140, 86), (200, 86)),
    ((275, 112), (275, 150)),
    ((275, 202), (275, 240)),
    ((320, 150), (395, 112)),
    ((350, 176), (375, 176)),
    ((200, 176), (140, 176)),
    ((400, 202), (330, 240)),
    ((350, 266), (375, 266)),
    ((525, 266), (550, 266)),
    ((625, 240), (625, 202)),
    ((625, 150), (625, 112)),
    ((700, 266), (740, 266)),
    ((275, 292), (275, 380)),
    ((350, 400), (390, 380)),
    ((350, 410), (390, 450)),
    ((460, 430), (460, 402)),
    ((530, 445), (560, 390)),
    ((530, 456), (560, 456)),
    ((630, 402), (630, 430)),
    ((710, 450), (740, 420)),
    ((800, 442), (800, 535)),
]


def draw() -> str:
    """The picture as SVG.

    Raises:
        FileNotFoundError: A room of the picture is no longer in the repository.
    """
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img">',
        "<title>The rooms of the function and of the session library, and the arrows between them</title>",
        f"<style>{STYLE}\n</style>",
        f"<defs>{HEAD}</defs>",
    ]
    for name, x, y, width, height in PACKAGES:
        parts.append(f'<rect class="package" x="{x}" y="{y}" width="{width}" height="{height}" rx="10"/>')
        parts.append(f'<text class="small" x="{x + width - 12}" y="{y + 18}" text-anchor="end">{escape(name)}</text>')
    for room in ROOMS:
        if room.folder is not None and not (ROOT / room.folder).exists():
            raise FileNotFoundError(room.folder)
        parts.append(
            f'<rect class="{room.kind}" x="{room.x}" y="{room.y}" '
            f'width="{room.width}" height="{HEIGHT_OF_ROOM}" rx="6"/>'
        )
        middle = room.x + room.width // 2
        for offset, style, words in ((22, "name", room.words[0]), (40, "small", room.words[1])):
            parts.append(
                f'<text class="{style}" x="{middle}" y="{room.y + offset}" text-anchor="middle">{escape(words)}</text>'
            )
    for (x1, y1), (x2, y2) in ARROWS:
        parts.append(f'<path class="arrow" d="M{x1} {y1}L{x2} {y2}"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(draw(), encoding="utf-8")
