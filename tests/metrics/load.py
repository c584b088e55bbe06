"""A load on the real handler that keeps a ledger of its own: what it asked, and what it was answered.

The model plays a script, the bucket is a stand-in that counts its requests, and the callers are threads.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from agent_sessions.owner import owner_prefix
from tests.doubles.s3.request_log import LogEntry
from tests.doubles.s3_server import S3Server
from tests.doubles.scripted_model import ScriptedModel, throttled, tool_use
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import ALICE, Context, Function, http_event

BUCKET = "sessions"
TOKENS = (12, 7)
FOLDER = f"kit/{owner_prefix(ALICE.account, ALICE.unique_id)}"


@dataclass
class Ledger:
    """What the load knows without the metrics."""

    expected: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, **counts: int) -> None:
        with self._lock:
            self.expected.update(counts)

    def note(self, answer: Any, **counts: int) -> None:
        """An answer over HTTP: a reply is a turn, a refusal is what it says."""
        document = json.loads(answer["body"] or "{}")
        kind = str(document.get("type", "")).rpartition(":")[2]
        refused = {"session-busy": "Busy", "session-conflict": "Conflicts", "storage-failed": "StorageFailures"}
        self.add(Requests=1, **counts)
        if kind in refused:
            self.add(**{refused[kind]: 1})
        elif answer["statusCode"] == 500:
            self.add(InternalErrors=1)


class Load:
    """A function on a stand-in for S3, with a ledger.

    Args:
        s3: The stand-in.
        **environment: Of the function, besides.
    """

    def __init__(self, s3: S3Server, **environment: str) -> None:
        self.s3 = s3
        self.ledger = Ledger()
        self.model = ScriptedModel(otherwise=self._answer, input_tokens=TOKENS[0], output_tokens=TOKENS[1])
        self.function = Function(
            {
                **CREDENTIALS,
                "AWS_ACCESS_KEY_ID": "load",
                "SESSION_STORE": f"s3://{BUCKET}/kit",
                "AWS_ENDPOINT_URL_S3": s3.url,
                "AGENT_MODEL": "scripted:load",
                "LEASE_WAIT_SECONDS": "0",
                "POWERTOOLS_LOG_LEVEL": "INFO",
                **environment,
            },
            {"load": self.model},
            self.build,
        )
        self.function.cold_start()
        self._answers = 0
        self._lock = threading.Lock()

    # --- the agent --------------------------------------------------------------------------------------

    def _answer(self, request: Any) -> Any:
        asked = next(text for text in reversed(request.texts) if text in _PROMPTS or text.startswith("Say"))
        result = any("toolResult" in block for block in request.messages[-1]["content"])
        reply = _PROMPTS.get(asked, "Hello.") if not result else "Done."
        if not isinstance(reply, BaseException):
            with self._lock:
                self._answers += 1
        return reply

    def build(self, session_manager: Any, settings: Any) -> Any:
        from strands import Agent, tool

        from lambda_src.models.providers import build_model

        @tool
        def note() -> str:
            """Note something."""
            return "noted"

        @tool
        def meddle() -> str:
            """Write a message in between, as another process would that holds no lease."""
            folder = f"{FOLDER}/session_{session_manager.session_id}/agents/agent_default/messages/message_"
            stored = self.s3.objects(BUCKET, folder)
            foreign = stored[f"{folder}{len(stored) - 1}.json"]
            self.s3.store.put(BUCKET, f"{folder}{len(stored)}.json", foreign)
            return "meddled"

        return Agent(
            agent_id=settings.agent_id,
            model=build_model(settings),
            tools=[note, meddle],
            session_manager=session_manager,
            callback_handler=None,
            retry_strategy=None,
        )

    # --- callers ----------------------------------------------------------------------------------------

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send a request and return the answer; a stream is read to its end, as the runtime's client does."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        event = http_event(method, path, body, headers=named)
        answer = self.function.invoke(event, Context(remaining_seconds=60))
        if isinstance(answer, dict):
            return answer
        text = b"".join(answer.pieces).decode()
        answer.close()
        answer.wait()
        return {"statusCode": answer.status_code, "body": "{}", "stream": text}

    def say(self, prompt: str, session_id: str, **headers: str) -> Any:
        """Take a turn, and note what came of it."""
        answer = self.send("POST", f"/sessions/{session_id}/messages", {"prompt": prompt}, **headers)
        self.ledger.note(answer, Turns=int(answer["statusCode"] == 200))
        return answer

    def user(self, number: int, turns: int = 5) -> None:
        """One user: a session of its own, with everything that can happen in one."""
        own = f"user-{number}"
        for turn in range(turns):
            self.say(f"Say {turn}", own, idempotency_key=f"{number}-{turn}")
        repeated = {"prompt": "Say 1"}
        self.ledger.note(
            self.send("POST", f"/sessions/{own}/messages", repeated, idempotency_key=f"{number}-1"), Replays=1
        )
        self.say("Say as a stream", own, accept="text/event-stream")
        self.say("note", own)
        self.ledger.note(self.send("GET", f"/sessions/{own}/messages"))
        self.ledger.note(self.send("GET", "/sessions/none-of-mine"))
        self.ledger.note(self.send("POST", f"/sessions/{own}/messages", {"prompt": 5}))
        self.ledger.note(
            self.send("POST", f"/sessions/{own}/messages", {"prompt": "overburden"}), Turns=1, ModelThrottles=1
        )
        self.ledger.note(self.send("POST", f"/sessions/{own}/messages", {"prompt": "break"}), Turns=1, ModelErrors=1)
        self.ledger.note(self.send("POST", f"/sessions/{own}/messages", {"prompt": "meddle"}), Turns=1, TurnsCutOff=1)
        event = {"owner": "job", "session_id": own, "prompt": "Say hello", "request_id": f"job-{number}"}
        self.function.invoke(event)
        self.ledger.add(Requests=1, Turns=1)
        with suppress(Exception):
            self.function.invoke({"owner": "job", "session_id": own})
        self.ledger.add(Requests=1)

    def crowd(self, number: int, turns: int = 4) -> None:
        """Several users of one session: some are refused, and the ledger says which."""
        for turn in range(turns):
            self.say(f"Say {number} {turn}", "shared")

    def run(self, users: int = 3) -> None:
        """Let the users come, all at once."""
        self.run_together(*[lambda number=number: self.user(number) for number in range(users)])
        self.run_together(*[lambda number=number: self.crowd(number) for number in range(users)])

    @staticmethod
    def run_together(*users: Callable[[], object]) -> None:
        """Let several come at the same time."""
        threads = [threading.Thread(target=user) for user in users]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def settled(self, told: Counter[str]) -> Counter[str]:
        """What the metrics have to add up to.

        A request to S3 for which nobody waits may be sent after the last line: the function has counted it for the
        next one, and it is no part of this sum.

        Args:
            told: What they add up to.
        """
        untold = Counter[str]()

        def has_all(log: list[LogEntry]) -> bool:
            sent = self.function.part("metrics.emf").SENT.take()
            untold.update(S3Requests=sent.requests, S3WriteRequests=sent.writes)
            return len(log) == told["S3Requests"] + untold["S3Requests"]

        assert self.s3.log.wait_for(has_all), "the requests to S3 do not add up"
        sent = self.s3.log.take()
        writes = [entry for entry in sent if entry.verb in {"PUT", "LIST", "LIST_VERSIONS"}]
        calls = len(self.model.requests)
        return self.ledger.expected + Counter(
            {
                "ColdStarts": 1,
                "ModelCalls": calls,
                "InputTokens": TOKENS[0] * self._answers,
                "OutputTokens": TOKENS[1] * self._answers,
                "S3Requests": len(sent) - untold["S3Requests"],
                "S3WriteRequests": len(writes) - untold["S3WriteRequests"],
            }
        )


_PROMPTS: dict[str, Any] = {
    "note": tool_use("note"),
    "meddle": tool_use("meddle"),
    "overburden": throttled(),
    "break": RuntimeError("the model's client is broken"),
}
