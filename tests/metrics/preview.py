"""``make dashboard-preview``: the deployed dashboard's widgets, drawn from the lines of a local run.

The widgets are those of the synthesised template. The load is a real one on the real handler: a round of it stands for
five minutes, and in some rounds something goes wrong. Writes ``docs/pictures/dashboard.svg``.
"""

import io
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any

from tests.docs.documents import ROOT
from tests.doubles.s3_server import S3_LATENCY, S3Server
from tests.doubles.scripted_model import Pause, ScriptedModel, throttled
from tests.endpoint.function import processes
from tests.infra.synthesis import synthesize
from tests.metrics import emf, faults
from tests.metrics.alarm_evaluator import is_raised
from tests.metrics.load import BUCKET, Load
from tests.metrics.widgets import draw

PICTURE = ROOT / "docs" / "pictures" / "dashboard.svg"
ROUNDS = 18
SLOW_STORAGE = {8, 9}
THROTTLED = {12, 13}
BROKEN = {15}


def play() -> list[dict[str, list[float]]]:
    """The values of each metric, round by round."""
    output = io.StringIO()
    rounds: list[dict[str, list[float]]] = []
    with processes(), S3Server(buckets=[BUCKET]) as s3, redirect_stdout(output):
        load = Load(s3, LEASE_WAIT_SECONDS="2")
        for number in range(ROUNDS):
            s3.set_latency({verb: 0.2 if number in SLOW_STORAGE else seconds for verb, seconds in S3_LATENCY.items()})
            think = 0.15 + 0.05 * (number % 4)
            reply: list[Any] = [Pause(think), "Here is what you asked for, in a few words."]
            script = [throttled()] * 4 if number in THROTTLED else []
            load.function.models["load"] = ScriptedModel(
                *script, otherwise=reply, input_tokens=900 + 40 * number, output_tokens=180
            )
            for turn in range(4 + number % 3):
                load.say(f"Say {turn}", f"session-{turn}", idempotency_key=f"{number}-{turn}")
            if number in THROTTLED:
                for turn in range(3):
                    load.say(f"Say {turn}", f"session-{turn}")
            load.run_together(lambda: load.say("Say both", "shared"), lambda: load.say("Say both", "shared"))
            if number in BROKEN:
                faults.internal_error(load)
                load.function.part("agent").build_agent = load.build
            rounds.append(_values(emf.read(output.getvalue())))
            output.seek(0)
            output.truncate()
    return rounds


def _values(lines: Sequence[emf.Line]) -> dict[str, list[float]]:
    values: dict[str, list[float]] = defaultdict(list)
    for line in lines:
        for name, given in line.values.items():
            values[name] += given
    return values


def alarm_states(rounds: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, bool]:
    """Whether each alarm was raised in some round, by its title."""
    found = {}
    for alarm in synthesize().of_type("AWS::CloudWatch::Alarm"):
        properties = alarm["Properties"]
        title = properties["AlarmDescription"].rpartition("#")[2].replace("-", " ").capitalize()
        found[title] = any(is_raised(properties, rounds[: end + 1]) for end in range(len(rounds)))
    return found


def widgets() -> list[dict[str, Any]]:
    """The dashboard's widgets, as CloudWatch gets them."""
    body = json.loads(synthesize().properties("AWS::CloudWatch::Dashboard")["DashboardBody"])
    found: list[dict[str, Any]] = body["widgets"]
    return found


if __name__ == "__main__":
    played = play()
    PICTURE.write_text(draw(widgets(), played, alarm_states(played)), encoding="utf-8")
    sys.stdout.write(f"{PICTURE.relative_to(ROOT)}: {ROUNDS} rounds\n")
