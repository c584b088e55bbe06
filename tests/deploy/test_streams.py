"""The rehearsal's story of streams, told by the handler of this working tree under the real runtime client."""

from pathlib import Path

import pytest

from infra.commands.smoke.report import Report
from tests.deploy.function_url import FunctionUrl
from tests.deploy.streams import Streams, streaming_model
from tests.deploy.working_tree import working_tree_function


@pytest.mark.timeout(300)  # a process for each of a dozen invocations
def test_the_story_of_streams_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with streaming_model() as (bedrock, gate), FunctionUrl(working_tree_function(tmp_path, bedrock.url)) as url:
        report = Report()
        Streams(url, gate, report).hold()

    assert report.failed == 0, capsys.readouterr().out
    assert bedrock.script.unplayed == 0
