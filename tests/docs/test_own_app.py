"""docs/OWN_APP.md: its lines are those of the example that the rehearsal deploys, its commands run there or here."""

import ast
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from aws_cdk import App, Stack

import infra
from infra import KitConfig
from infra.packaging.python_package import ROOT
from tests.deploy.assembly import Tool
from tests.deploy.own_app import EXAMPLE, INSTALLED
from tests.docs.documents import blocks, transcript
from tests.infra.surroundings import KEYS

PAGE = (ROOT / "docs" / "OWN_APP.md").read_text(encoding="utf-8")
THREE_LINES, SETTINGS, SHARED_LAYERS = blocks(PAGE, "python")


def commands(text: str) -> list[str]:
    return [command for command, _ in transcript(text)]


def test_the_three_lines_are_those_of_the_example() -> None:
    assert len(THREE_LINES.splitlines()) == 3
    assert THREE_LINES in (EXAMPLE / "app.py").read_text(encoding="utf-8")


def test_its_settings_are_accepted() -> None:
    config = eval(SETTINGS.removeprefix("config = "), {"KitConfig": KitConfig})  # noqa: S307 - our own page

    assert (config.session_ttl_days, config.architecture) == (7, "x86_64")


def test_its_shared_layers_are_those_that_the_endpoint_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(EXAMPLE)
    stack = Stack(App(outdir=str(tmp_path), context={"aws:cdk:bundling-stacks": []}), "Mine")
    config = KitConfig(agent_model="openai:gpt-5", agent_secrets={"OPENAI_API_KEY": "ssm:/chat/key"})
    names = {name: getattr(infra, name) for name in infra.__all__}

    exec(SHARED_LAYERS, {**names, "self": stack, "config": config})  # noqa: S102 - our own page

    assert {child.node.id for child in stack.node.children} == {"Runtime", "Library", "Chat"}


def test_every_construct_and_every_file_of_the_folder_is_one_that_exists() -> None:
    named = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)

    assert set(named) == {name for name in infra.__all__ if name.endswith(("Endpoint", "Bucket", "Layer", "Error"))}
    for name in re.findall(r"^\| `(\w+\.(?:py|txt|json))`", PAGE, re.MULTILINE):
        assert (ROOT / "lambda_src" / "agent" / name).is_file()


def test_the_commands_are_those_of_the_rehearsal_and_of_other_tests() -> None:
    assert commands(PAGE) == [
        f"pip install '{INSTALLED}'",
        "python -m agent_session_kit_cdk.lock agent",  # tests/infra/test_own_agent.py
        "cdk synth",
        'make rehearse ARGS="--assembly ~/shop/cdk.out --tool order_status order_id=A-17"',
        "cdk deploy",
    ]
    assert commands((EXAMPLE / "README.md").read_text(encoding="utf-8")) == [
        f"pip install '{INSTALLED}'",
        "cdk synth",
        "cdk deploy",
    ]


def test_make_hands_on_what_the_tool_is_given() -> None:
    (command,) = [command for command in commands(PAGE) if "--tool" in command]
    printed = subprocess.run(
        ["bash", "-c", f"{command} -n -o node_modules/.package-lock.json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    (line,) = [line for line in printed.stdout.splitlines() if "--tool" in line]
    words = shlex.split(line)
    assert Tool.parse(words[words.index("--tool") + 1 :]) == Tool("order_status", {"order_id": "A-17"})


def test_what_cannot_be_rehearsed_is_said_in_one_line(tmp_path: Path) -> None:
    properties = {"Handler": "lambda_src.handler.lambda_handler", "Architectures": ["riscv"]}
    template = {"Resources": {"Function": {"Type": "AWS::Lambda::Function", "Properties": properties}}}
    cases: dict[str, dict[str, str]] = {
        "is no output of a CDK app: it has no manifest.json": {},
        "has no AgentEndpoint": {"manifest.json": "{}"},
        "a function is for riscv and this machine is": {
            "manifest.json": "{}",
            "shop.template.json": json.dumps(template),
        },
    }
    program = (
        "import sys; from pathlib import Path; from tests.deploy.assembly import *\n"
        "from tests.deploy.transcript import Transcript\n"
        "for folder in sys.argv[1:]:\n"
        "    try: Assembly(Path(folder), Path('.'), None, '', Transcript(), Report())\n"
        "    except AssemblyError as error: print(error)\n"
    )
    folders = []
    for number, files in enumerate(cases.values()):
        folders.append(tmp_path / str(number))
        folders[-1].mkdir()
        for name, text in files.items():
            (folders[-1] / name).write_text(text)

    said = subprocess.run(
        [sys.executable, "-c", program, *map(str, folders)],
        cwd=ROOT,
        env={"PYTHONPATH": "layer:client:.", "PATH": "/usr/bin:/bin", **KEYS},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()

    assert len(said) == len(cases)
    for line, expected in zip(said, cases, strict=True):
        assert expected in line


def test_the_agents_modules_import_each_other_relatively() -> None:
    for path in (EXAMPLE / "agent").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
        assert not [name for name in imported if name.startswith(("agent.", "lambda_src.agent"))]
