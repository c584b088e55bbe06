"""The page on the client: its code runs, one block after the other, and prints what the page says."""

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.documents import ROOT, blocks
from tests.endpoint.function import forget_function, processes

PAGE = (ROOT / "docs" / "CLIENT.md").read_text(encoding="utf-8")


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The kit's own endpoint on files, with the offline model."""
    for name, value in {
        "SESSION_STORE": f"file://{tmp_path}/sessions",
        "ENDPOINT_AUTH": "local",
        "AGENT_MODEL": "offline:history",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)
    with processes():
        forget_function()
        from lambda_src.models.providers import MODEL_PROVIDERS
        from local.offline_model import OfflineModel
        from local.server import LocalServer

        monkeypatch.setitem(MODEL_PROVIDERS, "offline", lambda model_id, _settings: OfflineModel(model_id))
        from lambda_src import handler

        server = LocalServer(0)
        server.serve(handler.lambda_handler)  # type: ignore[arg-type]  # its context is the local one
        yield server.url
        server.stop()


def test_the_code_runs_in_its_order_and_prints_what_the_page_says(url: str) -> None:
    codes, printed = blocks(PAGE, "python"), blocks(PAGE, "text")
    assert len(codes) == len(printed) > 4

    for code, expected in zip(codes, printed, strict=True):
        output = io.StringIO()
        here = re.sub(r'"https?://[^"]+"', f'"{url}"', code)
        assert here != code
        with contextlib.redirect_stdout(output):
            exec(compile(here, "docs/CLIENT.md", "exec"), {"__name__": "page"})  # noqa: S102 - the page's own code
        # The function's log goes to the same output, also between a text and its line's end; Lambda keeps them apart.
        said = re.sub(r'\{"(level|_aws)".*\}\n', "", output.getvalue())
        assert said.strip() == expected.strip()


def test_the_table_has_every_event() -> None:
    import agent_sessions_client.events as known

    listed = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`\w+`(?:, `\w+`)?) \|", PAGE, re.MULTILINE))))

    assert listed == {kind.__name__ for kind in known.Event.__args__}
