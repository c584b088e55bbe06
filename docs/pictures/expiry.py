"""Draws ``docs/pictures/expiry.svg``, the timeline of ``docs/EXPIRY.md``: ``python docs/pictures/expiry.py``.

Every position comes from the functions that decide, so that the picture cannot tell another story.
"""

from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path

from agent_sessions.expiry import expires_at, lifecycle_days, removable_at, renewal_days, renewal_due, slack_days

TTL_DAYS = 7
BEGIN = datetime(2026, 3, 2, 9, tzinfo=UTC)
TURNS = [BEGIN + timedelta(days=days) for days in (0, 0.4, 1.2, 1.7, 4, 4.3)]
WIDTH, HEIGHT, LEFT, PER_DAY = 860, 250, 130, 32
SECONDS_PER_DAY = 86_400

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .small { font-size: 11px; fill: #57606a }
  .line { stroke: #8c959f; stroke-width: 1 }
  .kept { stroke: #0969da; stroke-width: 6; stroke-linecap: round }
  .gone { stroke: #afb8c1; stroke-width: 6; stroke-dasharray: 2 5 }
  .turn { fill: #0969da }
  .mark { stroke: #bf3989; stroke-width: 2 }
  .end { stroke: #cf222e; stroke-width: 2 }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .small { fill: #9198a1 } }
""".rstrip()


def x(at: datetime) -> float:
    """The horizontal position of a moment."""
    return round(LEFT + (at - BEGIN).total_seconds() / SECONDS_PER_DAY * PER_DAY, 1)


def line(kind: str, begin: datetime, end: datetime, y: float, to_y: float | None = None) -> str:
    """A line between two moments."""
    return f'<line class="{kind}" x1="{x(begin)}" y1="{y}" x2="{x(end)}" y2="{y if to_y is None else to_y}"/>'


def text(words: str, left: float, y: float, kind: str = "", anchor: str = "start") -> str:
    """Words at a position."""
    return f'<text class="{kind}" x="{left}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'


def renewals() -> list[datetime]:
    """The turns that renew the objects."""
    found, marked_at = [], BEGIN
    for turn in TURNS:
        if renewal_due(marked_at, turn, TTL_DAYS):
            found.append(turn)
            marked_at = turn
    return found


def draw() -> str:
    """The picture as SVG."""
    last_use = TURNS[-1]
    expires = expires_at(last_use, TTL_DAYS)
    days = lifecycle_days(TTL_DAYS)
    if expires is None or days is None:
        raise ValueError("the picture needs a lifetime")
    renewed = renewals()
    removed = removable_at(renewed[-1], days)
    last = BEGIN + timedelta(days=22.2)

    parts = [
        text("turns", 12, 64),
        *(f'<circle class="turn" cx="{x(turn)}" cy="60" r="5"/>' for turn in TURNS),
        text("the session", 12, 99),
        line("kept", BEGIN, expires, 95),
        line("gone", expires, last, 95),
        text("its first message", 12, 134),
        line("kept", BEGIN, removed, 130),
        *(line("mark", turn, turn, 120, 140) for turn in renewed),
        line("end", expires, expires, 40, 150),
        text("expired: not read, not listed;", x(expires), 20, anchor="middle"),
        text("the next turn begins anew", x(expires), 35, anchor="middle"),
        text("last use", x(last_use), 35, anchor="middle"),
        line("line", last_use, last_use, 40, 54),
        text("renewed", x(renewed[0]), 155, "small", anchor="middle"),
        text("renewed", x(renewed[-1]), 155, "small", anchor="middle"),
        line("end", removed, removed, 120, 140),
        text("the rule removes", x(removed), 155, "small", anchor="middle"),
        text("what is left", x(removed), 168, "small", anchor="middle"),
        line("line", BEGIN, last, 190),
    ]
    midnight = BEGIN.replace(hour=0) + timedelta(days=1)
    for number in range(22):
        at = midnight + timedelta(days=number)
        parts += [line("line", at, at, 187, 193), text(str(number + 1), x(at), 207, "small", anchor="middle")]
    parts.append(
        text(
            f"midnights UTC. ttl {TTL_DAYS} days, slack {slack_days(TTL_DAYS)}, rule {days}; "
            f"objects are renewed by turns from {renewal_days(TTL_DAYS) / 2:g} day on",
            LEFT,
            230,
            "small",
        )
    )
    body = "\n".join(f"  {part}" for part in parts)
    title = "A session expires as a whole a ttl after its last use; the bucket's rule comes later"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">\n'
        f"<title>{title}</title>\n<style>{STYLE}\n</style>\n{body}\n</svg>\n"
    )


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(draw(), encoding="utf-8")
