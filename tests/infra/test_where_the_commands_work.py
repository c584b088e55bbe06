"""Where the operator's commands work: what the app says, the settings' sources, and what is checked before the CDK."""

import json
import sys
import textwrap
from pathlib import Path

import pytest

from infra.commands import check_arguments, destroy
from infra.commands.cdk_app import AppError, Environment, environment_in, stack_environment
from infra.commands.cdk_options import Options, read_options
from infra.commands.cdk_settings import CdkSettings, CdkSettingsError, decide_region, read_settings
from infra.packaging.python_package import ROOT
from tests.infra.surroundings import KEYS, REGIONS, STACK, held


class TestTheAppsOwnEnvironment:
    @pytest.fixture
    def app(self, tmp_path: Path) -> Path:
        """An app that says where its stack belongs: as ``environment`` beside it says, or fails as it says."""
        script = tmp_path / "app.py"
        script.write_text(
            textwrap.dedent(
                f"""
                import json, os, pathlib, sys
                told = pathlib.Path({str(tmp_path)!r}, "environment").read_text()
                if not told.startswith("aws://"):
                    sys.exit("a line before\\n" + told)
                told = told.format(**os.environ)
                stack = {{"type": "aws:cloudformation:stack", "environment": told}}
                artifacts = {{{STACK!r}: stack, "Tree": {{"type": "cdk:tree"}}}}
                manifest = pathlib.Path(os.environ["CDK_OUTDIR"], "manifest.json")
                manifest.write_text(json.dumps({{"artifacts": artifacts}}))
                """
            )
        )
        return script

    def run(self, app: Path, environment: str, *arguments: str) -> int:
        (app.parent / "environment").write_text(environment)
        # A command line of its own each time, because one question is asked once in a process.
        return destroy.main(["--force", "--app", f"{sys.executable} {app} {environment!r}", *arguments])

    @pytest.mark.usefixtures("aws")
    @pytest.mark.parametrize(
        ("environment", "region"),
        [
            ("aws://unknown-account/unknown-region", "us-east-1"),
            ("aws://unknown-account/eu-west-1", "eu-west-1"),
            ("aws://123456789012/eu-west-1", "eu-west-1"),
            ("aws://{CDK_DEFAULT_ACCOUNT}/{CDK_DEFAULT_REGION}", "us-east-1"),
        ],
    )
    def test_the_region_that_the_app_names_counts_more_than_any_variable(
        self, environment: str, region: str, app: Path, shell: pytest.MonkeyPatch, cdk: Path
    ) -> None:
        for name, value in {**KEYS, "AWS_REGION": "us-east-1"}.items():
            shell.setenv(name, value)

        assert self.run(app, environment) == 0

        assert held() == {name: 0 if name == region else 2 for name in REGIONS}
        assert cdk.read_text().split()[:2] == [region, region]

    @pytest.mark.usefixtures("aws")
    @pytest.mark.parametrize(
        ("environment", "said"),
        [("aws://999999999999/us-east-1", "999999999999"), ("stage: no such thing", "stage: no such thing")],
    )
    def test_another_account_and_an_app_that_fails_are_refused_in_a_line(
        self, environment: str, said: str, app: Path, shell: pytest.MonkeyPatch, cdk: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        for name, value in {**KEYS, "AWS_REGION": "us-east-1"}.items():
            shell.setenv(name, value)

        assert self.run(app, environment) == 1

        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert said in error
        assert held() == {"us-east-1": 2, "eu-west-1": 2}
        assert not cdk.exists()

    def test_a_stack_that_the_app_has_not_is_named_with_those_it_has(self, tmp_path: Path) -> None:
        artifacts = {
            "one": {"type": "aws:cloudformation:stack", "environment": "aws://1/r"},
            "x": {"type": "aws:cloudformation:stack", "environment": "aws://1/r", "properties": {"stackName": "two"}},
        }
        (tmp_path / "manifest.json").write_text(json.dumps({"artifacts": artifacts}))

        with pytest.raises(AppError, match=r"no stack three; it has one, two"):
            environment_in(tmp_path, "three")
        assert environment_in(tmp_path, "two") == Environment("1", "r")

    @pytest.mark.parametrize("content", [None, "", "[]", '{"artifacts": 1}', "{}"])
    def test_what_no_app_has_made_is_refused(self, content: str | None, tmp_path: Path) -> None:
        if content is not None:
            (tmp_path / "manifest.json").write_text(content)

        with pytest.raises(AppError):
            environment_in(tmp_path, STACK)

    def test_the_kits_own_app_leaves_both_open(self) -> None:
        settings = read_settings(Options(), ROOT, {"HOME": "/nowhere"})

        found = stack_environment(
            settings.app or "", STACK, settings.context, project=ROOT, account="1" * 12, region="eu-west-1"
        )

        assert found == Environment(None, None)


class TestSettings:
    @pytest.mark.parametrize(
        ("file", "content"), [("cdk.json", "{"), ("cdk.context.json", "[]"), (".cdk.json", "\xff"), ("cdk.json", "1")]
    )
    def test_a_file_that_is_no_json_object_is_named(self, file: str, content: str, tmp_path: Path) -> None:
        (tmp_path / file).write_text(content, encoding="latin-1")

        with pytest.raises(CdkSettingsError, match=file):
            read_settings(Options(), tmp_path, {"HOME": str(tmp_path)})

    @pytest.mark.parametrize(
        ("context", "taken"), [("null", True), ("{}", True), ("[]", True), ("[1]", False), ("7", False)]
    )
    def test_a_context_that_is_no_object_is_refused(self, context: str, taken: bool, tmp_path: Path) -> None:
        (tmp_path / "cdk.json").write_text(f'{{"context": {context}}}')

        if taken:
            assert read_settings(Options(), tmp_path, {"HOME": str(tmp_path)}).context == {}
        else:
            with pytest.raises(CdkSettingsError, match="context"):
                read_settings(Options(), tmp_path, {"HOME": str(tmp_path)})

    def test_the_command_line_comes_before_the_project_and_the_project_before_the_user(self, tmp_path: Path) -> None:
        (tmp_path / "cdk.json").write_text('{"profile": "p", "context": {"a": "project", "b": "project", "c": 1}}')
        (tmp_path / "cdk.context.json").write_text('{"b": "looked up", "d": "looked up"}')
        (tmp_path / ".cdk.json").write_text('{"profile": "u", "region": "r", "context": {"c": 2, "d": 2, "e": 2}}')

        settings = read_settings(read_options(["-c", "a=x=y"]), tmp_path, {"HOME": str(tmp_path)})

        assert (settings.profile, settings.region) == ("p", "r")
        assert settings.context == {"a": "x=y", "b": "project", "c": 1, "d": "looked up", "e": 2}

    def test_on_an_instance_its_region_comes_before_the_last_resort(self, tmp_path: Path) -> None:
        settings = CdkSettings(profile=None, region=None, app=None, context={})
        files = {"AWS_CONFIG_FILE": str(tmp_path / "a"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "b")}

        assert decide_region(settings, files, lambda: "ap-south-1") == "ap-south-1"
        assert decide_region(settings, files, lambda: None) == "us-east-1"
        assert decide_region(settings, {**files, "AWS_DEFAULT_REGION": "eu-west-3"}, lambda: "x") == "eu-west-3"


class TestBeforeTheCdk:
    @pytest.mark.parametrize("command", ["deploy", "synth"])
    @pytest.mark.parametrize(
        "arguments",
        [["--contex", "stage=prod"], ["-x"], ["-c", "stag=prod"], ["-c", "stage"], ["-cstage=prod"], ["--profile"]],
    )
    def test_what_the_cdk_would_go_on_without_is_refused(
        self, command: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert check_arguments.main([command, *arguments]) == 2
        assert "Traceback" not in capsys.readouterr().err

    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["-c", "stage=test", "-c", "session_ttl_days=7", "--profile", "work"],
            ["--context=stage=test", "--region", "eu-west-1", "--require-approval", "never", "--hotswap"],
            ["-c", "@aws-cdk/core:newStyleStackSynthesis=true", "agent-session-kit-dev", "--no-rollback", "-vv"],
            ["--help"],
        ],
    )
    def test_what_the_cdk_understands_passes(self, arguments: list[str]) -> None:
        assert check_arguments.main(["deploy", *arguments]) == 0

    def test_make_asks_before_it_deploys(self) -> None:
        makefile = (ROOT / "Makefile").read_text()

        for target in ("deploy", "synth"):
            recipe = makefile.partition(f"\n{target}: ")[2].partition("\n\n")[0].splitlines()[1:]
            assert recipe[0] == f"\t@$(BIN)/python -m infra.commands.check_arguments {target} $(ARGS)"
            assert recipe[1].startswith(f"\t$(CDK) {target} ")
