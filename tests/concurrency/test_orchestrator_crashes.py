"""A process is killed at every single write of a graph's or a swarm's turn; then another one goes on.

``AGENT_SESSIONS_CRASHES=all`` tries every point with every kind of run, on disk, too.
"""

import itertools
import json
from collections import Counter
from typing import Any

import pytest

from tests.concurrency.killing import EVERYTHING, Bucket, Folder, Job, Report, batches
from tests.concurrency.orchestra_caller import NODES
from tests.concurrency.reference import stored_in
from tests.contract.strands_features import needs_swarm_checkpoints

KINDS = ["graph", "asking graph", pytest.param("swarm", marks=needs_swarm_checkpoints)]
EACH = {"graph": 1, "asking graph": 2, "swarm": 4, "fan": 4, "circle": 5, "another": 4, "question": 2}
"""Of the points on S3, each so many-th is tried with a kind of run."""
PROMPT, ANSWERED = {"prompt": "prompt-1"}, "sign: yes"


def points_of(place: Bucket | Folder, kind: str) -> list[Any]:
    points: list[Any] = place.points()
    if EVERYTHING:
        # A run that visits five nodes writes more often than any other turn.
        more = [("PUT", applied, number) for number in range(14, 19) for applied in (False, True)]
        return [*points, *more] if kind == "circle" and isinstance(place, Bucket) else points
    if isinstance(place, Folder) and kind != "graph":
        pytest.skip("on disk it is tried with a plain graph, and everywhere with every kind on request")
    if kind == "question":  # after each write that has taken effect
        return points[1 :: EACH[kind]]
    return points[:: EACH[kind] if isinstance(place, Bucket) else 8]


def ended_nodes(place: Bucket | Folder, session_id: str) -> set[str]:
    """The nodes whose results are stored in a run of the turn that died."""
    key = f"session_{session_id}/multi_agents/multi_agent_default/multi_agent.json"
    found = [json.loads(body) for name, body in place.objects().items() if name.endswith(key)]
    return set(found[0].get("node_results", {})) if found and "turn" in found[0]["kit"] else set()


def visits(place: Bucket | Folder, session_id: str) -> Counter[str]:
    """How often each node of a graph has ended, in the stored run of the turn that died."""
    key = f"session_{session_id}/multi_agents/multi_agent_default/multi_agent.json"
    found = [json.loads(body) for name, body in place.objects().items() if name.endswith(key)]
    return Counter(found[0].get("execution_order", ()) if found and "turn" in found[0]["kit"] else ())


def conversation(place: Bucket | Folder, session_id: str) -> list[tuple[str, str]]:
    owned = {key: body for key, body in place.objects().items() if f"session_{session_id}/" in key}
    return [(role, json.loads(content)[0]["text"]) for role, content in stored_in(owned, session_id)]


def parts(told: Any) -> list[tuple[str, str]]:
    return [(part["node_id"], part["message"]["content"][0]["text"]) for part in told["reply"]["nodes"]]


def whole_run(prompt: str = "prompt-1") -> list[tuple[str, str]]:
    return [(name, f"{name} did {prompt}") for name in NODES]


def asked_in(told: Any) -> list[dict[str, str]]:
    """The question of a reply."""
    assert told is not None
    assert "refused" not in told, told
    (interrupt,) = told["reply"]["interrupts"]
    return [{"interrupt_id": interrupt["interrupt_id"]}]


def asking(place: Bucket | Folder, jobs: list[Job]) -> list[Job]:
    """Take the turn in which a node asks, and return the requests that answer it."""
    answers = []
    for job, told in zip(jobs, place.zygote.run([{**job, "key": "asks"} for job in jobs]), strict=True):
        assert told is not None
        (interrupt,) = told["reply"]["interrupts"]
        given = [{"interrupt_id": interrupt["interrupt_id"], "response": "yes"}]
        answers.append({**job, "body": {"interrupt_responses": given}})
    return answers


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_dies_at_any_write_goes_on_and_no_node_that_ended_runs_again(
    place: Bucket | Folder, kind: str, report: Report
) -> None:
    tried, ran_again, not_once, ids = 0, 0, 0, itertools.count()
    begun = [("user", "prompt-1"), ("assistant", "a did prompt-1")] if kind == "asking graph" else []
    asked = ("user", ANSWERED if begun else "prompt-1")
    for batch in batches(points_of(place, kind)):
        common: Job = {**place.place, "orchestra": kind, "key": "request-1", "body": PROMPT}
        jobs: list[Job] = [{**common, "session_id": f"s{next(ids)}"} for _ in batch]
        if begun:
            jobs = asking(place, jobs)

        died = place.crash(jobs, batch)
        ended = [ended_nodes(place, job["session_id"]) for job in jobs]
        again = place.zygote.run(jobs)
        is_repeated = EVERYTHING or (kind == "graph" and isinstance(place, Bucket))
        once_more = place.zygote.run(jobs) if is_repeated else [None] * len(jobs)

        for job, dead, kept, second, third in zip(jobs, died, ended, again, once_more, strict=True):
            if not dead:
                continue
            tried += 1
            assert second is not None
            assert "refused" not in second, f"{job}: {second}"
            assert parts(second) == whole_run(), f"{job}: {second}"
            ran_again += len(kept & set(second["ran"]))
            if is_repeated:
                assert third is not None
                assert third["reply"] == second["reply"], f"{job}: not the same reply"
                assert not third["ran"], f"{job}: {third['ran']} ran for a reply that is stored"
            stored = conversation(place, job["session_id"])
            assert stored[-2:] == [asked, ("assistant", "c did prompt-1")], f"{job}: {stored}"
            not_once += len(stored) != len(begun) + 2
        if not all(died) and isinstance(place, Folder):
            break
    assert tried > 4, "hardly a process was killed"
    name = f"{place.name}, {kind}: "
    report(f"{name}points tried", tried)
    report(f"{name}nodes that had ended and ran again", ran_again)
    report(f"{name}turns not exactly once", not_once)
    assert (ran_again, not_once) == (0, 0)


WHOLE = {
    "fan": {"a": "a did prompt-1", "b": "b did prompt-1", "c": "c did prompt-1", "d": "d did prompt-1"},
    "circle": {"a": "a did prompt-1, draft 2", "b": "b did prompt-1, good", "c": "c did prompt-1"},
}
VISITS = {"fan": Counter("abcd"), "circle": Counter("ababc")}


@pytest.mark.parametrize("kind", ["fan", "circle"])
def test_nodes_at_once_a_join_and_a_circle_that_die_at_any_write_are_visited_as_often_as_in_a_whole_run(
    place: Bucket | Folder, kind: str, report: Report
) -> None:
    tried, ran_again, left_out, ids = 0, 0, 0, itertools.count()
    for batch in batches(points_of(place, kind)):
        common: Job = {**place.place, "orchestra": kind, "key": "request-1", "body": PROMPT}
        jobs: list[Job] = [{**common, "session_id": f"s{next(ids)}"} for _ in batch]

        died = place.crash(jobs, batch)
        ended = [visits(place, job["session_id"]) for job in jobs]
        again = place.zygote.run(jobs)

        for job, dead, kept, second in zip(jobs, died, ended, again, strict=True):
            if not dead:
                continue
            tried += 1
            assert second is not None
            assert "refused" not in second, f"{job}: {second}"
            assert dict(parts(second)) == WHOLE[kind], f"{job}: {second}"
            made = kept + Counter(second["ran"])
            ran_again += (made - VISITS[kind]).total()
            left_out += (VISITS[kind] - made).total()
            last = WHOLE[kind][max(WHOLE[kind])]
            assert conversation(place, job["session_id"]) == [("user", "prompt-1"), ("assistant", last)], job
        if not all(died) and isinstance(place, Folder):
            break
    assert tried > 1, "hardly a process was killed"
    name = f"{place.name}, {kind}: "
    report(f"{name}points tried", tried)
    report(f"{name}visits that had ended and were made again", ran_again)
    report(f"{name}visits that were left out", left_out)
    assert (ran_again, left_out) == (0, 0)


def test_a_question_of_a_run_that_dies_at_any_write_is_asked_again_and_can_be_answered(
    place: Bucket | Folder, report: Report
) -> None:
    tried, ran_again, ids = 0, 0, itertools.count()
    for batch in batches(points_of(place, "question")):
        common: Job = {**place.place, "orchestra": "asking graph", "key": "asks", "body": PROMPT}
        jobs: list[Job] = [{**common, "session_id": f"s{next(ids)}"} for _ in batch]

        died = place.crash(jobs, batch)
        ended = [ended_nodes(place, job["session_id"]) for job in jobs]
        questions = place.zygote.run(jobs)
        given = [[{**one, "response": "yes"} for one in asked_in(told)] for told in questions]
        answers: list[Job] = [
            {**job, "key": "answers", "body": {"interrupt_responses": responses}}
            for job, responses in zip(jobs, given, strict=True)
        ]
        answered = place.zygote.run(answers)

        for job, dead, kept, question, answer in zip(jobs, died, ended, questions, answered, strict=True):
            if not dead:
                continue
            tried += 1
            assert question is not None
            assert answer is not None
            ran_again += len(kept & set(question["ran"]))
            told = [(part["node_id"], part["status"]) for part in question["reply"]["nodes"]]
            assert told == [("a", "completed"), ("b", "interrupted")], f"{job}: {told}"
            assert question["reply"]["stop_reason"] == "interrupt", f"{job}: {question}"
            assert "refused" not in answer, f"{job}: {answer}"
            assert parts(answer) == whole_run(), f"{job}: {answer}"
            stored = [role for role, _ in conversation(place, job["session_id"])]
            assert stored == ["user", "assistant"] * 2, f"{job}: not once: {stored}"
        if not all(died) and isinstance(place, Folder):
            break
    assert tried > 1, "hardly a process was killed"
    report(f"{place.name}, a question: points tried", tried)
    report(f"{place.name}, a question: nodes that had ended and ran again", ran_again)
    assert ran_again == 0


def test_another_request_after_a_run_that_died_has_a_run_of_its_own(place: Bucket | Folder, report: Report) -> None:
    tried, ids = 0, itertools.count()
    for batch in batches(points_of(place, "another")):
        common: Job = {**place.place, "orchestra": "graph", "key": "request-1", "body": PROMPT}
        jobs: list[Job] = [{**common, "session_id": f"s{next(ids)}"} for _ in batch]

        died = place.crash(jobs, batch)
        others = place.zygote.run([{**job, "key": "request-2", "body": {"prompt": "prompt-2"}} for job in jobs])

        for job, dead, told in zip(jobs, died, others, strict=True):
            if not dead:
                continue
            tried += 1
            assert told is not None
            assert "refused" not in told, f"{job}: {told}"
            assert (parts(told), told["ran"]) == (whole_run("prompt-2"), list(NODES)), f"{job}: {told}"
            stored = conversation(place, job["session_id"])
            assert stored[-2:] == [("user", "prompt-2"), ("assistant", "c did prompt-2")], f"{job}: {stored}"
            assert [role for role, _ in stored] == ["user", "assistant"] * (len(stored) // 2), f"{job}: {stored}"
        if not all(died) and isinstance(place, Folder):
            break
    assert tried > 0, "no process was killed"
    report(f"{place.name}, graph, another request: points tried", tried)
