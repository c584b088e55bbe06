"""What the CDK stages and uploads is what was built, under a hash that knows its modes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, FileSystem, Stack
from aws_cdk import aws_lambda as lambda_

from infra.packaging.built_code import built_code, stage_package
from infra.packaging.python_package import ROOT, copy_package
from infra.packaging.shipped_files import PackageError, fingerprint
from tests.infra.test_layer_build import HERE, lock  # noqa: F401 - a fixture
from tests.infra.test_packages import everybody_can_read, packaged, set_all, write_sources
from tests.infra.test_session_report import load

EXAMPLE = ROOT / "examples" / "session-report"


def synthesize(package: Path, outdir: Path) -> str:
    """Synthesise a stack with one function; return the key under which its code is uploaded."""
    app = App(outdir=str(outdir))
    stack = Stack(app, "S")

    def build(output: Path) -> None:
        copy_package(package, output, python_version=HERE, installed_as="/var/task")

    code = built_code(stack, package, build)
    lambda_.Function(stack, "F", runtime=lambda_.Runtime.PYTHON_3_13, handler="bot.handler.lambda_handler", code=code)
    return uploaded(app.synth().get_stack_by_name("S").template)


def uploaded(template: dict[str, Any]) -> str:
    (function,) = [r for r in template["Resources"].values() if r["Type"] == "AWS::Lambda::Function"]
    return str(function["Properties"]["Code"]["S3Key"])


def in_private(program: str, folder: Path, **variables: str) -> None:
    """Run a program under ``umask 077``, the CDK's own process included."""
    subprocess.run(
        [sys.executable, *program.split()],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'layer'}", **variables},
        umask=0o077,
        capture_output=True,
        text=True,
        check=True,
    )


def test_what_the_cdk_uploads_is_the_same_under_any_umask(tmp_path: Path) -> None:
    key = synthesize(write_sources(tmp_path / "a"), tmp_path / "a-out")
    set_all(write_sources(tmp_path), 0o600, 0o700)
    program = "from pathlib import Path; from tests.infra.test_staged_packages import synthesize"
    (tmp_path / "program.py").write_text(f"{program}\nsynthesize(Path('bot'), Path('out'))\n")

    in_private("program.py", tmp_path)

    assert uploaded(json.loads((tmp_path / "out" / "S.template.json").read_text())) == key
    (staged,) = (tmp_path / "out").glob("asset.*")
    assert staged.name == f"asset.{key.removesuffix('.zip')}.package"
    everybody_can_read(staged)


def test_a_package_with_other_modes_than_before_is_uploaded_anew(tmp_path: Path) -> None:
    # The CDK's own hash, under which a package that nobody can read may have been uploaded already.
    package = write_sources(tmp_path / "theirs")
    output = packaged(package, tmp_path / "output")
    (output / "bot" / "handler.py").chmod(0o600)
    theirs = FileSystem.fingerprint(str(output))
    (output / "bot" / "handler.py").chmod(0o644)
    assert FileSystem.fingerprint(str(output)) == theirs

    _, digest = stage_package(lambda folder: shutil.copytree(output, folder, dirs_exist_ok=True), tmp_path / "staging")

    assert theirs != digest
    assert theirs not in next((tmp_path / "staging").iterdir()).name


def test_a_staged_package_that_was_cut_off_or_changed_is_made_again(tmp_path: Path) -> None:
    package = write_sources(tmp_path / "theirs")

    def build(folder: Path) -> None:
        shutil.copytree(package, folder, dirs_exist_ok=True)

    staged, digest = stage_package(build, tmp_path / "out")
    (staged / "handler.py").unlink()
    (staged / "prompt.md").chmod(0o600)

    assert stage_package(build, tmp_path / "out") == (staged, digest)

    assert fingerprint(staged) == digest
    assert [path.name for path in (tmp_path / "out").iterdir()] == [staged.name]


def test_a_build_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "half.py").write_text("")
        raise PackageError("no")

    with pytest.raises(PackageError):
        stage_package(build, tmp_path / "out")

    assert list((tmp_path / "out").iterdir()) == []


def test_where_bundling_is_switched_off_nothing_is_built(tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path / "out"), context={"aws:cdk:bundling-stacks": []})
    package = write_sources(tmp_path)

    def build(_folder: Path) -> None:
        raise AssertionError("built")

    assert isinstance(built_code(Stack(app, "S"), package, build), lambda_.AssetCode)


# --- the example's --------------------------------------------------------------------------------------------


def test_the_examples_function_is_the_same_under_any_umask(tmp_path: Path) -> None:
    ordinary = App(outdir=str(tmp_path / "a"))
    load("session_report_app", EXAMPLE / "app.py").SessionReport(ordinary, "dev")
    key = uploaded(ordinary.synth().get_stack_by_name("session-report-dev").template)

    in_private("app.py", EXAMPLE, CDK_OUTDIR=str(tmp_path / "b"))

    assert uploaded(json.loads((tmp_path / "b" / "session-report-dev.template.json").read_text())) == key
    (staged,) = (tmp_path / "b").glob("asset.*")
    everybody_can_read(staged)
    assert [path.name for path in staged.iterdir()] == ["session_report.py"]
    assert FileSystem.fingerprint(str(staged)) not in key
