"""The measurements of ``make bench-coldstart``: fresh processes, everybody's turn about."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.coldstart_packages import PACKAGED, Variant, build_variants, compiled_share
from bench.coldstart_process import ColdStart, measure_cold_start
from bench.run import head
from bench.stand_in import StandIn
from tests.doubles.bedrock_server import BedrockServer
from tests.doubles.s3_server import REGION, S3_LATENCY
from tests.endpoint.function import http_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.packaging.interpreters import Interpreter
    from tests.deploy.lambda_process import DeployedFunction

_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
_TEMPLATE, _OPENINGS = "coldstart-template", "coldstart-openings"
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "coldstart",
    "AWS_SECRET_ACCESS_KEY": "coldstart",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}
_EVENT = http_event("POST", "/sessions/coldstart/messages", {"prompt": "And how is the weather there?"})


@dataclass(frozen=True, slots=True)
class ColdStartPlan:
    """What to measure.

    Attributes:
        repeat: Processes of each variant.
        openings: Processes for each way of opening a session.
        variants: Which; ``None`` is all.
    """

    repeat: int = 7
    openings: int = 11
    variants: tuple[str, ...] | None = None


def run(plan: ColdStartPlan, folder: Path, interpreter: Interpreter, tell: Callable[[str], None]) -> dict[str, Any]:
    """Build the packages and measure.

    Args:
        plan: What.
        folder: An existing, empty folder for the packages.
        interpreter: The Python that runs them.
        tell: Told what is being done.

    Returns:
        Head, settings and all samples, ready for JSON.

    Raises:
        ValueError: For a variant that does not exist.
        RuntimeError: When a process does not answer.
    """
    tell("building the packages")
    built = build_variants(folder, interpreter, _ARCHITECTURES[platform.machine().lower()])
    chosen = [one for one in built if plan.variants is None or one.name in plan.variants]
    if plan.variants is not None and len(chosen) != len(set(plan.variants)):
        raise ValueError(f"variants={plan.variants} | must be of {', '.join(one.name for one in built)}")
    (packaged,) = [one.function for one in built if one.name == PACKAGED]
    with StandIn() as stand_in, BedrockServer(otherwise="It is sunny.") as bedrock:
        environment = {
            **_CREDENTIALS,
            "AWS_ENDPOINT_URL_S3": stand_in.url,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock.url,
        }
        openings = measure_openings(plan.openings, stand_in, packaged, tell)
        chosen = [replace(one, function=replace(one.function, environment=environment)) for one in chosen]
        stand_in.set_latency(S3_LATENCY)
        samples = _cold_starts(plan, chosen, replace(packaged, environment=environment), stand_in, tell)
    return {
        "head": {**head(), "function_python": interpreter.full_version},
        "variants": {one.name: _about(one) for one in chosen},
        "memory_mb": packaged.configuration["MemorySize"],
        "latency_seconds": dict(S3_LATENCY),
        "samples": [sample.to_dict() for sample in samples],
        "openings": openings,
    }


def _cold_starts(
    plan: ColdStartPlan,
    chosen: list[Variant],
    packaged: DeployedFunction,
    stand_in: StandIn,
    tell: Callable[[str], None],
) -> list[ColdStart]:
    # Every first turn continues the same session: what a process finds must not depend on the one before it.
    bucket = str(packaged.configuration["Environment"]["Variables"]["SESSION_STORE"]).split("/")[2]
    client = stand_in.client()
    client.create_bucket(Bucket=bucket)
    measure_cold_start("preparation", packaged, _EVENT)
    stand_in.copy(bucket, _TEMPLATE)
    samples: list[ColdStart] = []
    for repetition in range(-1, plan.repeat):
        tell(f"cold starts {repetition + 1}/{plan.repeat}")
        for variant in chosen[repetition % len(chosen) :] + chosen[: repetition % len(chosen)]:
            stand_in.copy(_TEMPLATE, bucket)
            sample = measure_cold_start(variant.name, variant.function, _EVENT, answers=variant.answers)
            if repetition >= 0:  # the first round only brings every file into the system's cache
                samples.append(sample)
    return samples


def measure_openings(
    repeat: int, stand_in: StandIn, packaged: DeployedFunction, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Open sessions with the session layer, and send the same requests with boto3 alone, in fresh processes.

    Args:
        repeat: Processes of each kind.
        stand_in: S3, without latency: the wait for it would only hide the difference.
        packaged: Where the session layer and the runtime's boto3 are.
        tell: Told what is being done.

    Returns:
        One row a process: ``who`` (``kit``, ``boto3``), ``session`` (``new``, ``existing``), ``seconds``,
        ``cpu_seconds``.
    """
    client = stand_in.client()
    client.create_bucket(Bucket=_OPENINGS)
    numbers = count()
    rows: list[dict[str, Any]] = []
    for repetition in range(-1, repeat):
        tell(f"opening sessions {repetition + 1}/{repeat}")
        for session in ("new", "existing"):
            session_id = "again" if session == "existing" else f"opened{next(numbers)}"
            order = ["kit", "boto3"] if repetition % 2 else ["boto3", "kit"]
            for who in order:
                requests = _requests(stand_in, packaged, session, next(numbers)) if who == "boto3" else []
                given = {"session_id": session_id, "sent": requests}
                measured = _open(who, stand_in.url, packaged, given)
                if repetition >= 0:
                    rows.append({"who": who, "session": session, "requests": len(requests), **measured})
    return rows


def _requests(stand_in: StandIn, packaged: DeployedFunction, session: str, number: int) -> list[list[str]]:
    """Let the kit open a session and return what it asked for, under keys of another session where it was new."""
    session_id = "again" if session == "existing" else f"asked{number}"
    if session == "existing":
        _open("kit", stand_in.url, packaged, {"session_id": session_id})
    stand_in.take_log()
    _open("kit", stand_in.url, packaged, {"session_id": session_id})
    return [[one.verb, one.key.replace(f"asked{number}", f"sent{number}")] for one in stand_in.take_log()]


def _open(who: str, url: str, packaged: DeployedFunction, given: dict[str, Any]) -> dict[str, float]:
    session_layer = packaged.layers[-1] / "python"
    script = Path(__file__).with_name("coldstart_opening.py")
    command = [str(packaged.interpreter.path), "-S", "-P", str(script), who, url, _OPENINGS, json.dumps(given)]
    finished = subprocess.run(  # noqa: S603  # our own script
        command,
        env={
            **_CREDENTIALS,
            "PYTHONPATH": os.pathsep.join((str(session_layer), str(packaged.runtime))),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(packaged.task_root),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise RuntimeError(f"{who} could not open a session: {finished.stderr}")
    measured: dict[str, float] = json.loads(finished.stdout)
    return measured


def _about(variant: Variant) -> dict[str, Any]:
    compiled, modules = compiled_share(variant.function)
    return {
        "label": variant.label,
        "answers": variant.answers,
        "bytes": _size_bytes(variant.function),
        "modules": modules,
        "compiled_modules": compiled,
    }


def _size_bytes(function: DeployedFunction) -> int:
    """Return how much the function and its layers have, unpacked."""
    folders = (function.task_root, *function.layers)
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
