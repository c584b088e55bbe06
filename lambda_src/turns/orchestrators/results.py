"""What a run of an orchestrator came to: each node's part, and the answer. Decisions about values, without any I/O."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from lambda_src.content import shown
from lambda_src.models.marks import add_mark, mark_in
from lambda_src.turns.cancelling import NOTHING_SAID
from lambda_src.turns.turn_events import usage_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

NO_TOKENS = usage_of({})
_DEFAULTS = frozenset({"pending", "dispatched", "executing"})
NO_ANSWER = "(No node of this turn has given an answer.)"
WAITS = "(This turn waits for an answer to what it has asked.)"


class Run(NamedTuple):
    """A run, or the part of it that is known.

    Attributes:
        status: As Strands has it: ``completed``, ``failed``, ``interrupted``, ``executing``.
        results: Strands' ``NodeResult`` of each node, by its id, in the order in which they ended.
        interrupts: What it waits for.
        said: What an orchestrator said that has no such results.
        next_nodes: The nodes that are left to run, of a stored run.
    """

    status: str
    results: dict[str, Any]
    interrupts: Sequence[Any] = ()
    said: Any = None
    next_nodes: Sequence[str] = ()


def run_of(result: Any) -> Run:
    """The run that an orchestrator's result tells of."""
    if not isinstance(getattr(result, "results", None), dict):
        return Run("completed", {}, said=result)
    nodes = getattr(result, "execution_order", None) or getattr(result, "node_history", None) or ()
    status = _of_ended(getattr(result.status, "value", str(result.status)))
    return Run(status, _in_order(result.results, map(_id_of, nodes)), getattr(result, "interrupts", None) or ())


def stored_run(state: Mapping[str, Any] | None) -> Run | None:
    """The run that an orchestrator's stored state tells of; ``None`` for a state that is not Strands' own.

    Strands notes that a run is completed after its last node. If the process dies in between, a swarm has no node left
    to run. What a graph has left to run, only the graph itself can tell: see :mod:`frontier`.
    """
    from strands.multiagent.base import NodeResult

    if state is None or state.get("type") not in {"graph", "swarm"}:
        return None
    results = {node_id: NodeResult.from_dict(stored) for node_id, stored in state["node_results"].items()}
    order = state.get("execution_order") or state.get("node_history") or ()
    next_nodes = state["next_nodes_to_execute"] or ()
    has_ended = state["type"] == "swarm" and state["status"] == "executing" and results and not next_nodes
    status = "completed" if has_ended else str(state["status"])
    return Run(status, _in_order(results, order), next_nodes=next_nodes)


def _in_order(results: Mapping[str, Any], order: Iterable[str]) -> dict[str, Any]:
    """Node results in the order in which the nodes ended; one that ran several times stands where it ended last."""
    last = list(dict.fromkeys(reversed(list(order))))[::-1]
    return {node_id: results[node_id] for node_id in [*last, *results] if node_id in results}


def _id_of(node: Any) -> str:
    return str(node.node_id)


def _of_ended(status: str) -> str:
    """The status of what has returned: an orchestrator of one's own may have left Strands' default."""
    return "completed" if status in _DEFAULTS else status


# --- what each node came to -----------------------------------------------------------------------------


def status_of(result: Any, *, in_cancelled: bool = False) -> str:
    """``completed``, ``failed`` or ``interrupted``, from a ``NodeResult``.

    Args:
        result: It.
        in_cancelled: Whether the turn is cancelled. Then an agent that was cut short has failed, on every release.
    """
    if in_cancelled and was_cut(result):
        return "failed"
    return _of_ended(getattr(result.status, "value", str(result.status)))


def was_cut(result: Any) -> bool:
    """Whether a node's agent was cancelled: what it has said so far is its message."""
    return getattr(result.result, "stop_reason", None) == "cancelled"


def node_reply(node_id: str, result: Any, *, in_cancelled: bool = False) -> dict[str, Any]:
    """What a reply tells of a node, from its ``NodeResult``: see :func:`status_of`."""
    return {
        "node_id": node_id,
        "status": status_of(result, in_cancelled=in_cancelled),
        "message": _said(result.result),
        "usage": usage_of(result.accumulated_usage),
        "duration_ms": result.execution_time,
    }


def interrupted_node(node_id: str, result: Any, duration_ms: int) -> dict[str, Any]:
    """What a reply tells of a node that asks, from what its agent came to: Strands keeps no result of it."""
    counted = getattr(result, "metrics", result)  # an agent's result has them, an orchestrator's is one itself
    usage = NO_TOKENS if result is None else usage_of(counted.accumulated_usage)
    told = {"node_id": node_id, "status": "interrupted", "message": _said(result)}
    return {**told, "usage": usage, "duration_ms": duration_ms}


def asking_nodes(context: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What a reply tells of the nodes that ask, by their ids, from what Strands stores of them.

    Args:
        context: Of an orchestrator's interrupt state. It holds no tokens: those are 0.
    """
    asking: dict[str, dict[str, Any]] = {}
    for node_id, asked in context.items():
        if not isinstance(asked, dict) or not asked.keys() & {"interrupt_ids", "interrupt_state"}:
            continue
        messages = asked.get("messages") or [{"role": "user"}]
        last = SimpleNamespace(message=messages[-1] if messages[-1]["role"] == "assistant" else None)
        asking[node_id] = {**interrupted_node(node_id, None, 0), "message": _said(last)}
    return asking


def ran_out_of_time(result: Any, node_timeout: float | None) -> bool:
    """Whether a node failed because its graph's ``node_timeout`` was over.

    Strands has no class for that. Its result then is an error of no kind, after exactly the time that there was.
    """
    return (
        node_timeout is not None
        and type(result.result) is Exception
        and result.execution_time == round(node_timeout * 1000)
    )


def reworded(interrupt: Any, change: Callable[[Any], Any]) -> Any:
    """An interrupt with other words: what it asks, and what it was answered."""
    return replace(interrupt, reason=change(interrupt.reason), response=change(interrupt.response))


def added(*usages: Mapping[str, int]) -> dict[str, int]:
    """Tokens of several, together."""
    return {name: sum(usage[name] for usage in usages) for name in NO_TOKENS}


def _said(result: Any) -> dict[str, Any] | None:
    """What an agent said last, or the last node of an orchestrator inside; calls of tools are left out."""
    inside = getattr(result, "results", None)
    if isinstance(inside, dict):
        spoken = (_said(node.result) for node in reversed(run_of(result).results.values()))
        return next((message for message in spoken if message is not None), None)
    message = getattr(result, "message", None)
    if not isinstance(message, dict):
        return None
    blocks = [block for block in message["content"] if "toolUse" not in block]
    return shown({**message, "content": blocks}) if blocks else None


# --- the answer -----------------------------------------------------------------------------------------


def answer_of(run: Run, followed_by: Mapping[str, set[str]], otherwise: str = NO_ANSWER) -> tuple[dict[str, Any], str]:
    """The message that a run came to, and why it stopped.

    What the last nodes said: those that ended well and that no other node of the run came after. Of a swarm, and of a
    graph that goes in a circle, the node that ended last.

    Args:
        run: The run.
        followed_by: The nodes of a graph that may come after each of them.
        otherwise: What is said when nobody has said anything.
    """
    if not run.results and run.said is not None:
        return _message(_blocks_of(run.said), otherwise), "end_turn"
    well = {name: result for name, result in run.results.items() if status_of(result) == "completed"}
    if run.status == "cancelled":  # what was said so far
        well = {name: result for name, result in run.results.items() if name in well or was_cut(result)}
        well = {name: result for name, result in well.items() if not _is_silent(result.result)}
    last = [name for name in well if followed_by and not followed_by.get(name, set()) & well.keys()] or list(well)[-1:]
    said = [message for name in last if (message := _said(well[name].result)) is not None]
    reasons = {getattr(well[name].result, "stop_reason", "end_turn") for name in last}
    stop_reason = reasons.pop() if len(reasons) == 1 else "end_turn"
    if run.status != "completed":
        stop_reason = {"interrupted": "interrupt", "failed": "failed"}.get(run.status, "cancelled")
    return _message([block for message in said for block in message["content"]], otherwise), stop_reason


def _is_silent(said: Any) -> bool:
    message = _said(said)
    return message is None or message["content"] == [{"text": NOTHING_SAID}]


def _blocks_of(said: Any) -> list[dict[str, Any]]:
    message = _said(said)
    if message is not None:
        return list(message["content"])
    text = str(said).strip()
    return [{"text": text}] if text else []


def _message(blocks: list[dict[str, Any]], otherwise: str) -> dict[str, Any]:
    return {"role": "assistant", "content": blocks or [{"text": otherwise}]}


# --- kept with the answer -------------------------------------------------------------------------------


def keep_with(
    answer: Any, nodes: list[dict[str, Any]], interrupts: list[dict[str, Any]], usage: dict[str, int]
) -> None:
    """Have the answer's record keep what a reply tells besides: a repeat of the request gets it again."""
    add_mark(answer, {"run": {"nodes": nodes, "interrupts": interrupts, "usage": usage}})


def kept_with(answer: Mapping[str, Any]) -> dict[str, Any] | None:
    """``nodes``, ``interrupts`` and ``usage`` of the turn that ended with a message; ``None`` if it is an agent's."""
    run = mark_in(answer).get("run")
    match run:
        case {"nodes": list(), "interrupts": list(), "usage": dict()}:
            return run
        case _:
            return None
