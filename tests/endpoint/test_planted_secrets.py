"""Words of a conversation and names of people are in no log line, metric, error or key, whatever goes wrong.

Requests over HTTP are looked through by ``test_authorization``; these are the events that come without it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from strands import Agent, tool

from tests.doubles.scripted_model import ScriptedModel, overflow, throttled, tool_use
from tests.endpoint.function import Function

Scripted = Callable[..., tuple[Function, ScriptedModel]]
PROMPT, PERSON, SUBJECT, SAID = "prompt-plugh42", "person-xyzzy7", "subject-frotz9", "answer-gnusto3"
PLANTED = (PROMPT, PERSON, SUBJECT, SAID)

SCRIPTS: dict[str, list[Any]] = {
    "a turn": [SAID],
    "a tool that fails": [tool_use("fail", word=PROMPT), SAID],
    "a model that is throttled": [throttled(PROMPT)],
    "a model that cannot be reached": [[SAID, ConnectionError(PROMPT)]],
    "a conversation that is too long": [overflow(), overflow(), overflow()],
    "a bug": [ValueError(f"{PROMPT} {PERSON}")],
}


@tool
def fail(word: str) -> str:
    """Fail.

    Args:
        word: Said in the error.
    """
    raise RuntimeError(f"{word} {PERSON}")


@pytest.mark.parametrize("how", SCRIPTS)
@pytest.mark.parametrize("change", [{}, {"prompt": None}, {"session_id": "a/b"}, {"unknown": PROMPT}])
def test_an_event_leaves_no_word_and_no_name_behind(
    how: str, change: dict[str, Any], scripted: Scripted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    function, model = scripted(*SCRIPTS[how])
    function.build_agent = lambda session, _settings: Agent(
        model=model, tools=[fail], session_manager=session, callback_handler=None
    )
    event = {
        "owner": {"issuer": "https://issuer.example", "subject": SUBJECT},
        "on_behalf_of": PERSON,
        "session_id": "chat",
        "prompt": PROMPT,
        "request_id": "execution-1",
        **change,
    }
    raised = ""
    try:
        function.invoke(event)
    except Exception as error:  # noqa: BLE001 - whatever Lambda would report
        raised = f"{type(error).__name__}: {error}"

    captured = capsys.readouterr()
    logged = captured.out + captured.err
    keys = "\n".join(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert logged
    for secret in PLANTED:
        assert secret not in logged
        assert secret not in keys
        assert secret not in raised
