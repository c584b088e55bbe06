"""A process of its own that sends one request to the endpoint whose builder makes a graph or a swarm."""

import os
import re
from collections.abc import Callable
from typing import Any

from tests.doubles.scripted_model import Request, ScriptedModel, tool_use
from tests.endpoint.orchestra import chain, circle, fan_and_join, hand_over, sign, swarm

NODES = ("a", "b", "c")
BUILDERS = {"swarm": swarm, "fan": fan_and_join, "circle": circle}


def ask_orchestra(job: dict[str, Any]) -> dict[str, Any]:
    """Send the request, and say what came of it and which nodes' models were asked in this process."""
    import lambda_src.agent
    from lambda_src.answers.error_answers import answer_for
    from lambda_src.contract import TurnBody
    from tests.concurrency.callers import endpoint_of

    ran: list[str] = []
    build = BUILDERS.get(job["orchestra"], chain)
    names = (*NODES, "d") if job["orchestra"] == "fan" else NODES
    models = {name: ScriptedModel(otherwise=_speak(job, name, ran)) for name in names}
    lambda_src.agent.build_agent = build(models, sign)  # type: ignore[assignment] # as in an edited folder
    try:
        reply = endpoint_of(job).take_turn(
            "owner",
            job["session_id"],
            TurnBody.model_validate(job["body"]),
            lambda: 60,
            request_id=f"process {os.getpid()}",
            idempotency_key=job["key"],
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, the test wants to hear of it
        refusal = answer_for(error)
        return {"refused": refusal.slug, "why": refusal.detail, "ran": ran}
    return {"reply": reply, "ran": ran}


def _speak(job: dict[str, Any], name: str, ran: list[str]) -> Callable[[Request], Any]:
    """What a node's model says: it hands over, or asks, and then says what it was asked for."""

    def reply(request: Request) -> Any:
        ran.append(name)
        if not any("toolResult" in block for block in request.messages[-1]["content"]):
            if job["orchestra"] == "swarm" and name != NODES[-1]:
                return hand_over(NODES[NODES.index(name) + 1])
            if job["orchestra"] == "asking graph" and name == "b":
                return tool_use("sign", document="it")
        prompt = re.search(r"prompt-\d", str(request.messages))
        done = f"{name} did {prompt and prompt[0]}"
        return f"{done}, {_verdict(name, request)}" if job["orchestra"] == "circle" and name != "c" else done

    return reply


def _verdict(name: str, request: Request) -> str:
    """In a circle, ``a`` writes two drafts, and ``b`` sends back the first."""
    given = str(request.messages[-1])
    if name == "a":
        return "draft 2" if "From b" in given else "draft 1"
    return "again" if "draft 1" in given else "good"
