"""``python -m bench.endpoint_process URL``: the function's handler, asked and answering in lines of JSON.

One request a line: ``bucket``, ``prompt``, ``window``, ``think_seconds``, ``streamed``. One line back: ``start`` and
``end`` of the handler's call and of each of the model's ``calls``, in monotonic seconds, and ``restored_messages``. A
streamed answer ends, here, with its ``reply``; what comes after is waited for, and not counted.
"""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any, cast

from bench.contenders import SESSION_ID
from bench.conversation import AGENT_ID, InstantModel, build_agent
from bench.endpoint import TTL_DAYS
from tests.endpoint.function import Context, http_event

if TYPE_CHECKING:
    from strands import Agent

    from agent_sessions.session_manager import SessionManager
    from lambda_src.settings import Settings

_HTTP_OK = 200


def main(url: str) -> None:
    """Answer until standard input ends."""
    answers = sys.stdout
    # The function logs to standard output. It is to pay for that, but not to be mistaken for an answer.
    with open(os.devnull, "w", encoding="utf-8") as log:  # noqa: PTH123  # the system's name for it is a text
        sys.stdout = log
        function = _Function(url)
        for line in sys.stdin:
            answers.write(json.dumps(function.take_turn(**json.loads(line))) + "\n")
            answers.flush()


class _Function:
    def __init__(self, url: str) -> None:
        os.environ |= {
            "AWS_ACCESS_KEY_ID": "stand-in",
            "AWS_SECRET_ACCESS_KEY": "stand-in",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": url,
            "SESSION_STORE": "s3://not-yet",
            "SESSION_TTL_DAYS": str(TTL_DAYS),
            "AGENT_ID": AGENT_ID,
        }
        # Only now: the settings are read when it is imported.
        from lambda_src import agent, handler

        self._handler = handler
        self._model = InstantModel()
        self._window: int | None = None
        agent.build_agent = self._build_agent

    def take_turn(
        self, bucket: str, prompt: str, window: int | None, think_seconds: float, streamed: bool
    ) -> dict[str, Any]:
        """Send the handler one request, as the Function URL would."""
        self._use(bucket)
        self._model, self._window = InstantModel(think_seconds), window
        # As a client does that wants to be able to send it again.
        headers = {"idempotency-key": str(uuid.uuid4())}
        headers |= {"accept": "text/event-stream"} if streamed else {}
        event = http_event("POST", f"/sessions/{SESSION_ID}/messages", {"prompt": prompt}, headers=headers)
        context: Any = Context(aws_request_id=str(uuid.uuid4()))

        start = time.monotonic()
        answer: Any = self._handler.lambda_handler(event, context)
        reply = _streamed_reply(answer) if streamed else ""
        end = time.monotonic()

        if streamed:
            answer.close()
            answer.wait()
        elif answer["statusCode"] != _HTTP_OK:
            raise RuntimeError(f"status={answer['statusCode']} | {answer['body']}")
        restored_messages = json.loads(reply or answer["body"])["restored_messages"]
        return {"start": start, "end": end, "calls": self._model.calls, "restored_messages": restored_messages}

    def _use(self, bucket: str) -> None:
        """Go on in another bucket; a function has one for its whole life, and warm connections to it."""
        endpoint, url = self._handler.endpoint, f"s3://{bucket}"
        if endpoint.settings.session_store != url:
            endpoint.settings = endpoint.settings.model_copy(update={"session_store": url})
            endpoint.forget_store()

    def _build_agent(self, session_manager: SessionManager, settings: Settings) -> Agent:  # noqa: ARG002  # as users' own
        """Stand in for the agent that a user would have written."""
        # Ours plugs in by structure, not by inheritance.
        return build_agent(cast("Any", session_manager), self._model, window=self._window)


def _streamed_reply(answer: Any) -> str:
    """The data of a stream's ``reply``, read as far as that."""
    told = b""
    for piece in answer.pieces:
        told += piece
        if b"event: reply\n" in told and told.endswith(b"\n\n"):
            return str(told.partition(b"event: reply\ndata: ")[2], "utf-8")
    raise RuntimeError(f"the stream ended without a reply: {told.decode()}")


if __name__ == "__main__":
    main(sys.argv[1])
