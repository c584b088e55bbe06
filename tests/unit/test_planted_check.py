"""The check on planted secrets can fail: a test that emits one by any way out fails, and no other test does."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.planted import Watch

ROOT = Path(__file__).parents[2]

SUITE = """
import logging

import boto3
import pytest
from botocore.stub import Stubber
from strands import Agent

from agent_sessions._storage.file_objects import FileObjects
from agent_sessions.exceptions import SessionException
from agent_sessions.object_store import Absent
from tests.doubles.scripted_model import ScriptedModel, tool_use
from tests.planted import emitted, plant, plant_event

SAID = "My name is Ada Lovelace."


def test_leaks_a_prompt_to_the_output():
    Agent(model=ScriptedModel("Hello."), callback_handler=None)(SAID)
    print(f"asked: {SAID}")


def test_leaks_an_answer_to_the_output():
    Agent(model=ScriptedModel("You are Ada."), callback_handler=None)("Who am I?")
    print("You are Ada.")


def test_leaks_to_an_output_that_the_test_reads(capsys):
    plant(SAID)
    print(SAID)
    capsys.readouterr()


def test_leaks_to_a_line_of_the_log_that_nobody_wants():
    plant(SAID)
    logging.getLogger("agent_sessions.lease").debug("said=<%s> | here", SAID)


def test_leaks_to_a_line_of_the_log_by_an_error():
    plant(SAID)
    logging.getLogger("lambda_src").warning("refused", exc_info=ValueError(SAID))


def test_leaks_to_an_exception():
    plant(SAID)
    with pytest.raises(SessionException):
        raise SessionException(f"{SAID} | cannot be stored")


def test_leaks_to_a_key_on_disk(tmp_path):
    plant(SAID)
    FileObjects(tmp_path).put(f"{SAID}/session.json", b"{}", Absent())


def test_leaks_to_a_key_on_s3():
    plant(SAID)
    s3 = boto3.client("s3", "eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(s3) as stubbed:
        stubbed.add_response("put_object", {})
        s3.put_object(Bucket="bucket", Key=SAID, Body=b"")


def test_leaks_to_a_problem_document():
    plant_event({"owner": {"issuer": "https://issuer.example", "subject": "ada-lovelace"}})
    emitted("a problem document", '{"detail": "ada-lovelace has no such session"}')


def test_leaks_a_token():
    print("authorization: Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2ln")


def test_leaks_a_marked_word():
    print("person-xyzzy7")


@pytest.mark.emits_on_purpose("a key", reason="a test of the marker")
def test_leaks_elsewhere_than_on_purpose():
    plant(SAID)
    print(SAID)


@pytest.mark.emits_on_purpose("the output", reason="a test of the marker")
def test_may_leak_on_purpose():
    plant(SAID)
    print(SAID)


def test_may_print_an_id_of_a_tool_s_use():
    use = tool_use("clock", tool_use_id="tooluse_54")
    Agent(model=ScriptedModel(use, "Hello."), callback_handler=None)(SAID)
    plant(use)
    print("interrupt v1:tool_call:tooluse_54")


def test_may_say_what_another_test_has_planted():
    print(SAID)


def test_may_store_words(tmp_path):
    plant(SAID)
    FileObjects(tmp_path).put("session_a/session.json", SAID.encode(), Absent())
"""


def test_a_leak_by_any_way_out_fails_its_test_in_whichever_suite_it_is(tmp_path: Path) -> None:
    suite = tmp_path / "test_of_some_suite.py"
    suite.write_text(SUITE, encoding="utf-8")
    paths = os.pathsep.join(str(ROOT / part) for part in ("layer", "client", "cli", "."))
    config = str(ROOT / "pyproject.toml")
    options = ["-n0", "-q", "-rE", "-p", "no:cacheprovider", "-p", "tests.planted_check", "-c", config]

    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", tmp_path, suite],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    tests = re.findall(r"^def (test_\w+)", SUITE, re.MULTILINE)
    failed = re.findall(r"^ERROR \S+::(test_\w+)", run.stdout, re.MULTILINE)
    assert sorted(failed) == sorted(name for name in tests if name.startswith("test_leaks_")), run.stdout
    assert f"{len(tests)} passed, {len(failed)} errors" in run.stdout, run.stdout
    assert "planted: the output holds 'My name is Ada Lovelace.'" in run.stdout


def test_a_thread_that_a_test_has_left_may_emit_something_while_it_is_looked_at() -> None:
    watch = Watch()
    watch.secrets["a secret of hers"] = None
    watch.emitted |= {("the output", f"a secret of hers, {number}"): None for number in range(2)}

    looking = watch.found(set())
    next(looking)
    watch.secrets["another"] = watch.emitted["the output", "later"] = None

    assert len(list(looking)) == 1
