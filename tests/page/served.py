"""``python -m tests.page.served``: the real local server, with an agent that a test's script speaks for.

Arguments: the port, the folder of sessions, the folder of the script, ``local`` or ``dev``, and how long a token of the
development issuer lives, in seconds. It prints ``ready``, and where that issuer is, when
it listens.
"""

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from strands import Agent, ToolContext, tool
from strands.models import Model
from strands.types.exceptions import ModelThrottledException
from strands.types.streaming import StreamEvent

from local.__main__ import load_handler, with_issuer
from local.configuration import DEV, LOCAL, Configuration
from local.server import LocalServer
from tests.doubles.content_events import block_events
from tests.doubles.script import words
from tests.page.script import Script

_LONG, _PIECE = 20_000, 2_000
"""A longer text does not come word by word, but in pieces of so many characters."""


def pieces(text: str) -> list[str]:
    """Cut a long text, whatever it says."""
    return [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]


class FolderModel(Model):
    """Plays what a test has written."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def update_config(self, **model_config: Any) -> None:
        """Nothing can be changed."""

    def get_config(self) -> dict[str, Any]:
        return {"model_id": "scripted"}

    async def stream(self, messages: Any, *_: Any, **__: Any) -> AsyncGenerator[StreamEvent, None]:
        parts = self._script.next_reply(messages)
        written = 0
        yield {"messageStart": {"role": "assistant"}}
        for part in parts:
            async for event in self._events(part):
                written += "contentBlockDelta" in event
                yield event
        calls = any(isinstance(part, dict) and "toolUse" in part for part in parts)
        yield {"messageStop": {"stopReason": "tool_use" if calls else "end_turn"}}
        read = 10 * len(messages)
        usage = {"inputTokens": read, "outputTokens": written, "totalTokens": read + written}
        yield {"metadata": {"usage": usage, "metrics": {"latencyMs": 0}}}  # type: ignore[typeddict-item]

    async def _events(self, part: Any) -> AsyncGenerator[StreamEvent, None]:
        if isinstance(part, str):
            for piece in words(part) if len(part) < _LONG else pieces(part):
                yield {"contentBlockDelta": {"delta": {"text": piece}}}
            yield {"contentBlockStop": {}}
            return
        match part:
            case {"gate": name}:
                for seconds in self._script.waits(name):
                    await asyncio.sleep(seconds)
            case {"fails": "throttled"}:
                raise ModelThrottledException("Too many requests.")
            case {"fails": kind}:
                raise RuntimeError(kind)
            case {"slowly": {"text": text, "seconds": seconds}}:
                for word in words(text):
                    await asyncio.sleep(seconds)
                    yield {"contentBlockDelta": {"delta": {"text": word}}}
                yield {"contentBlockStop": {}}
            case _:
                for event in block_events(part):
                    yield event

    def structured_output(self, *_: Any, **__: Any) -> AsyncGenerator[dict[str, Any], None]:
        raise NotImplementedError


def tools_of(script: Script) -> list[Any]:
    """What the agent can do, beside the demo agent's tools."""
    from lambda_src.agent.tools import calculator, current_time

    @tool(context=True)
    def ask(question: str, tool_context: ToolContext) -> str:
        """Ask the person something."""
        answer = tool_context.interrupt("approval", reason={"question": question})
        return f"answered: {answer}"

    @tool
    def wait_for(gate: str) -> str:
        """Wait until the test opens a gate."""
        for seconds in script.waits(gate):
            time.sleep(seconds)
        return f"{gate} is open"

    @tool
    def fail(why: str) -> str:
        """Fail."""
        raise RuntimeError(why)

    return [calculator, current_time, ask, wait_for, fail]


def main() -> None:
    """Serve until somebody kills this process."""
    given_port, store, folder, auth, lifetime = sys.argv[1:]
    port = int(given_port)
    script = Script(Path(folder))
    from lambda_src import agent
    from lambda_src.models.providers import MODEL_PROVIDERS

    MODEL_PROVIDERS["scripted"] = lambda _id, _settings: FolderModel(script)

    def build(session_manager: Any, settings: Any) -> Agent:
        return Agent(
            agent_id=settings.agent_id,
            model=FolderModel(script),
            tools=tools_of(script),
            session_manager=session_manager,
            callback_handler=None,
            retry_strategy=None,
        )

    agent.build_agent = build
    if auth == "agents":
        agent.AGENTS = {"default": build, "research": build}  # type: ignore[attr-defined]
    known = auth if auth == DEV else LOCAL
    configuration = Configuration(port, Path(store).as_uri(), "scripted:script", auth=known)
    server = LocalServer(port)
    configuration, _ = with_issuer(configuration, port, page_lifetime_seconds=float(lifetime))
    server.serve(load_handler(configuration))
    configured = configuration.issuer_settings.get("JWT_CONFIGURATION_URL", "")
    sys.stdout.write(f"ready {configured.removesuffix('/.well-known/openid-configuration')}\n")
    sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()


if __name__ == "__main__":
    main()
