"""What a caller of a session does, in a process of its own that may be killed at any moment."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from mypy_boto3_s3.client import S3Client

from agent_sessions._storage.s3_conditions import trust
from agent_sessions.lease import SessionLease
from agent_sessions.session_store import SessionStore
from tests.concurrency.orchestra_caller import ask_orchestra
from tests.doubles.s3_server import REGION
from tests.doubles.scripted_model import Request, ScriptedModel, tool_use

if TYPE_CHECKING:
    from lambda_src.answers.errors import EndpointError
    from lambda_src.endpoint import Endpoint

CHANGES_ON_DISK = frozenset({"os.link", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"})


def answer(job: dict[str, Any]) -> Any:
    """The model: it says what it was asked, after using a tool when the turn is to have one."""

    def reply(request: Request) -> Any:
        if job.get("think_seconds"):
            time.sleep(job["think_seconds"])
        last = request.messages[-1]
        if job["kind"] == "tools" and not any("toolResult" in block for block in last["content"]):
            return ["Let me see. ", tool_use("calculator", expression="6*7")]
        prompt = [text for text in request.texts if text.startswith("prompt ")][-1]
        return f"reply to {prompt}"

    return reply


def open_store(job: dict[str, Any]) -> SessionStore:
    if job["url"].startswith("file://"):
        return SessionStore.from_url(job["url"])
    if not job.get("asks"):
        trust(job["endpoint"])  # the stand-in keeps every condition, and may kill this process at its nth request
    return SessionStore.from_url(job["url"], client=s3_client(job["endpoint"]))


@cache
def boto_session() -> boto3.Session:
    """Made before the zygote forks: loading the service's model takes longer than a turn."""
    return boto3.Session(aws_access_key_id="stand-in", aws_secret_access_key="stand-in", region_name=REGION)


def s3_client(endpoint: str) -> S3Client:
    retries: Any = {"mode": "standard", "total_max_attempts": 4}
    config = Config(retries=retries, max_pool_connections=10, read_timeout=20)
    return boto_session().client("s3", endpoint_url=endpoint, config=config)


def take_turns(job: dict[str, Any]) -> dict[str, Any]:
    """Take turns through the library, and say of each what became of it.

    A ``stale`` caller restores once and takes all its turns with what it restored then.
    """
    from strands import Agent

    from agent_sessions.exceptions import SessionException
    from lambda_src.agent.tools import calculator

    store = open_store(job)
    model = ScriptedModel(otherwise=answer(job))

    def restore(lease: SessionLease | None) -> Agent:
        modes = {"effects": {"durability": "turn", "fence": "effects"}}
        mode = modes.get(job["durability"], {"durability": job["durability"]})
        manager = store.session_manager(job["session_id"], **mode, lease=lease)
        return Agent(
            agent_id="default",
            model=model,
            tools=[calculator],
            session_manager=manager,
            callback_handler=None,
            retry_strategy=None,
        )

    lease_seconds = job.get("wait_seconds", 0)
    told: list[dict[str, Any]] = []
    agent = restore(None) if job.get("stale") else None
    for prompt in job["prompts"]:
        lease = (
            SessionLease(store, job["session_id"], holder=f"process {os.getpid()}", wait_seconds=lease_seconds)
            if job.get("lease")
            else None
        )
        try:
            with lease or nullcontext():
                mine = agent or restore(lease)
                result = mine(prompt)
                text = result.message["content"][-1]["text"]
                told.append({"prompt": prompt, "reply": text, "seen": model.requests[-1].messages})
        except Exception as error:  # noqa: BLE001 - whatever it is, the test wants to hear of it
            error = getattr(error, "original_exception", error)
            known = isinstance(error, SessionException)
            told.append({"prompt": prompt, "refused": type(error).__name__, "known": known, "why": str(error)})
    return {"turns": told}


def endpoint_of(job: dict[str, Any], model: ScriptedModel | None = None) -> "Endpoint":
    """The endpoint, as the process of its function has it."""
    from lambda_src.endpoint import Endpoint
    from lambda_src.models.providers import MODEL_PROVIDERS
    from lambda_src.settings import load_settings

    scripted = model or ScriptedModel()
    MODEL_PROVIDERS["scripted"] = lambda _name, _settings: scripted
    wait = str(job.get("wait_seconds", 0))
    endpoint = Endpoint(
        load_settings({"SESSION_STORE": job["url"], "AGENT_MODEL": "scripted:echo", "LEASE_WAIT_SECONDS": wait})
    )
    endpoint._store = open_store(job)
    return endpoint


def ask_endpoint(job: dict[str, Any]) -> dict[str, Any]:
    """Send one keyed request to the endpoint, as its function's process would."""
    from lambda_src.answers.error_answers import answer_for
    from lambda_src.contract import TurnBody

    model = ScriptedModel(otherwise=answer(job))
    endpoint = endpoint_of(job, model)
    (prompt,) = job["prompts"]
    try:
        reply = endpoint.take_turn(
            "owner",
            job["session_id"],
            TurnBody.model_validate({"prompt": prompt}),
            lambda: job.get("remaining_seconds", 60),
            request_id=f"process {os.getpid()}",
            idempotency_key=job["key"],
        )
    except Exception as error:  # noqa: BLE001 - as above
        refusal: EndpointError = answer_for(error)
        return {"turns": [{"prompt": prompt, "refused": type(refusal).__name__, "known": True, "why": refusal.detail}]}
    told = {"prompt": prompt, "reply": reply["message"]["content"][-1]["text"], "whole": reply}
    return {"turns": [{**told, "model_calls": len(model.requests)}]}


@contextmanager
def killed_on_disk(folder: Path, at: int | None) -> Iterator[list[int]]:
    """Count the changes below a folder, and kill this process just before one of them (counted from 1)."""
    count = [0]
    armed = [True]

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if not armed[0]:
            return
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event not in CHANGES_ON_DISK and not writes:
            return
        if not any(isinstance(argument, (str, os.PathLike)) and str(folder) in str(argument) for argument in arguments):
            return
        count[0] += 1
        if count[0] == at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    try:
        yield count
    finally:
        armed[0] = False


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Do what a job says."""
    work = ask_orchestra if job.get("orchestra") else ask_endpoint if job.get("key") else take_turns
    if job["url"].startswith("file://"):
        with killed_on_disk(Path(job["url"].removeprefix("file://")), job.get("kill_at")) as count:
            return {**work(job), "changes": count[0]}
    return work(job)
