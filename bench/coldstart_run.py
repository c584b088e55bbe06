"""The measurements of ``make bench-coldstart``: fresh processes, everybody's turn about."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.coldstart_callers import FirstCaller, signing, with_token
from bench.coldstart_packages import PACKAGED, TOKENS, Variant, build_variants, compiled_share
from bench.coldstart_process import ColdStart, measure_cold_start
from bench.run import head
from bench.stand_in import StandIn
from tests.doubles.bedrock_server import BedrockServer
from tests.doubles.s3_server import REGION, S3_LATENCY
from tests.doubles.tls import Authority

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


@dataclass(frozen=True, slots=True)
class ColdStartPlan:
    """What to measure.

    Attributes:
        repeat: Processes of each variant.
        openings: Processes for each way of opening a session.
        variants: Which; ``None`` is all.
        before: A revision of this repository, whose own modules are measured too.
    """

    repeat: int = 7
    openings: int = 11
    variants: tuple[str, ...] | None = None
    before: str | None = None


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
    built = build_variants(folder, interpreter, _ARCHITECTURES[platform.machine().lower()], before=plan.before)
    chosen = [one for one in built if plan.variants is None or one.name in plan.variants]
    if plan.variants is not None and len(chosen) != len(set(plan.variants)):
        raise ValueError(f"variants={plan.variants} | must be of {', '.join(one.name for one in built)}")
    (packaged,) = [one.function for one in built if one.name == PACKAGED]
    authority, model = Authority(folder), _NotedModel()
    with (
        StandIn(tls=authority.server_file) as stand_in,
        BedrockServer(otherwise=model.answer, tls=authority.server_context()) as bedrock,
        with_token(folder, authority.bundle) as person,
    ):
        environment = {
            **_CREDENTIALS,
            "AWS_CA_BUNDLE": str(authority.bundle),
            "AWS_ENDPOINT_URL_S3": stand_in.tls_url,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock.url,
        }
        openings = measure_openings(plan.openings, stand_in, packaged, tell)
        signer = signing()
        starts = [_start(one, person if one.takes_tokens else signer, environment) for one in chosen]
        stand_in.set_latency(S3_LATENCY)
        # Each continues a session of its own.
        own = [one for one in built if one.name in {PACKAGED, TOKENS}]
        _prepare([_start(one, person if one.takes_tokens else signer, environment) for one in own], stand_in)
        samples = _cold_starts(plan, starts, stand_in, model, tell)
    return {
        "head": {**head(), "function_python": interpreter.full_version},
        "variants": {one.name: _about(one) for one in chosen},
        "memory_mb": packaged.configuration["MemorySize"],
        "latency_seconds": dict(S3_LATENCY),
        "samples": [sample.to_dict() for sample in samples],
        "openings": openings,
    }


class _NotedModel:
    """Answers at once.

    Attributes:
        called: When, in monotonic seconds.
    """

    def __init__(self) -> None:
        self.called: list[float] = []

    def answer(self, _: object) -> str:
        """Note the call and answer it."""
        self.called.append(time.monotonic())
        return "It is sunny."


class _Start(NamedTuple):
    """What is started, and the turn it is handed."""

    variant: Variant
    event: dict[str, Any]


def _start(variant: Variant, caller: FirstCaller, environment: dict[str, str]) -> _Start:
    function = replace(variant.function, environment={**environment, **caller.environment})
    return _Start(replace(variant, function=function), caller.event)


def _bucket_of(start: _Start) -> str:
    return str(start.variant.function.configuration["Environment"]["Variables"]["SESSION_STORE"]).split("/")[2]


def _prepare(starts: list[_Start], stand_in: StandIn) -> None:
    """Begin the sessions that every first turn continues: what a process finds must not depend on one before it."""
    bucket = _bucket_of(starts[0])
    stand_in.client().create_bucket(Bucket=bucket)
    for start in starts:
        measure_cold_start("preparation", start.variant.function, start.event)
    stand_in.copy(bucket, _TEMPLATE)


def _cold_starts(
    plan: ColdStartPlan,
    starts: list[_Start],
    stand_in: StandIn,
    model: _NotedModel,
    tell: Callable[[str], None],
) -> list[ColdStart]:
    samples: list[ColdStart] = []
    for repetition in range(-1, plan.repeat):
        tell(f"cold starts {repetition + 1}/{plan.repeat}")
        first = repetition % len(starts)
        for start in starts[first:] + starts[:first]:
            variant = start.variant
            stand_in.copy(_TEMPLATE, _bucket_of(start))
            stand_in.take_handshakes()
            model.called.clear()
            sample = measure_cold_start(variant.name, variant.function, start.event, answers=variant.answers)
            if model.called:
                before = [ready for ready in stand_in.take_handshakes() if ready < model.called[0]]
                sample = replace(sample, s3_connections=len(before))
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
