"""`make destroy` and `make smoke` work on one account, region, stack and bucket, say which, and never guess."""

import json
from pathlib import Path

import boto3
import pytest

from infra.commands import destroy
from infra.commands.smoke import __main__ as smoke
from tests.infra.surroundings import KEYS, REGIONS, STACK, held

# What somebody's shell may say, and the region that the CDK's command line makes of it (see test_cdk_oracle).
SURROUNDINGS = [
    ({**KEYS, "AWS_REGION": "us-east-1"}, [], "us-east-1"),
    ({**KEYS, "AWS_REGION": "eu-west-1"}, [], "eu-west-1"),
    ({**KEYS, "AWS_DEFAULT_REGION": "eu-west-1"}, [], "eu-west-1"),
    ({**KEYS, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "eu-west-1"}, [], "us-east-1"),
    ({**KEYS, "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1"}, [], "eu-west-1"),
    ({"AWS_PROFILE": "work"}, [], "eu-west-1"),
    ({}, ["--profile", "work"], "eu-west-1"),
    ({"AWS_PROFILE": "work", "AWS_REGION": "us-east-1"}, [], "us-east-1"),
    ({"AWS_REGION": "us-east-1"}, ["--profile=work"], "us-east-1"),
    ({"AWS_PROFILE": "nowhere"}, [], "us-east-1"),
    ({**KEYS}, [], "us-east-1"),
    ({**KEYS, "AWS_REGION": "us-east-1"}, ["--region", "eu-west-1"], "eu-west-1"),
    ({"CDK_PROFILE": "work"}, [], "eu-west-1"),
]


def answer(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "answer").write_text(text, encoding="utf-8")
    monkeypatch.setattr("sys.stdin", (tmp_path / "answer").open(encoding="utf-8"))


@pytest.mark.usefixtures("aws", "open_app")
class TestDestroy:
    @pytest.mark.parametrize(("variables", "arguments", "region"), SURROUNDINGS)
    def test_the_bucket_that_is_emptied_and_the_stack_that_goes_are_in_one_region(
        self,
        variables: dict[str, str],
        arguments: list[str],
        region: str,
        shell: pytest.MonkeyPatch,
        cdk: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        for name, value in variables.items():
            shell.setenv(name, value)

        assert destroy.main(["--force", *arguments]) == 0

        assert held() == {name: 0 if name == region else 2 for name in REGIONS}
        assert cdk.read_text().split() == [region, region, "destroy", "--force", *arguments]
        said = capsys.readouterr().out
        assert said.startswith(
            f"account  123456789012\nregion   {region}\nstack    {STACK}\nbucket   sessions-{region}\n"
        )

    def test_it_shows_what_it_is_about_before_it_asks(
        self, shell: pytest.MonkeyPatch, cdk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shell.setenv("AWS_PROFILE", "work")
        answer("no\n", tmp_path, shell)

        assert destroy.main([]) == 1

        said = capsys.readouterr().out
        shown, _, asked = said.partition("The bucket holds 2 objects")
        assert all(word in shown for word in ("123456789012", "eu-west-1", STACK, "sessions-eu-west-1"))
        assert "Type the stack's name" in asked
        assert held() == {"us-east-1": 2, "eu-west-1": 2}
        assert not cdk.exists()

    @pytest.mark.parametrize(
        ("typed", "goes"),
        [
            *[("", False), ("y\n", False), ("yes\n", False), (f"{STACK}x\n", False), (f"{STACK.upper()}\n", False)],
            *[(f"{STACK}\n", True), (f"  {STACK}  \n", True)],
        ],
    )
    def test_where_there_are_sessions_the_stacks_name_has_to_be_typed(
        self, typed: str, goes: bool, shell: pytest.MonkeyPatch, cdk: Path, tmp_path: Path
    ) -> None:
        shell.setenv("AWS_PROFILE", "work")
        answer(typed, tmp_path, shell)

        assert destroy.main([]) == (0 if goes else 1)

        assert held() == {"us-east-1": 2, "eu-west-1": 0 if goes else 2}
        assert cdk.exists() is goes

    @pytest.mark.parametrize(("typed", "goes"), [("y\n", True), ("YES\n", True), ("n\n", False), ("", False)])
    def test_an_empty_bucket_needs_a_yes(
        self, typed: str, goes: bool, shell: pytest.MonkeyPatch, cdk: Path, tmp_path: Path
    ) -> None:
        shell.setenv("AWS_PROFILE", "work")
        destroy.empty_bucket(boto3.Session("x", "x", region_name="eu-west-1").client("s3"), "sessions-eu-west-1")
        answer(typed, tmp_path, shell)

        assert destroy.main([]) == (0 if goes else 1)
        assert cdk.exists() is goes

    def test_deleted_sessions_whose_versions_are_kept_are_sessions_too(
        self, shell: pytest.MonkeyPatch, cdk: Path, tmp_path: Path
    ) -> None:
        shell.setenv("AWS_PROFILE", "work")
        s3 = boto3.Session("x", "x", region_name="eu-west-1").client("s3")
        s3.put_bucket_versioning(Bucket="sessions-eu-west-1", VersioningConfiguration={"Status": "Enabled"})
        for n in range(2):
            s3.delete_object(Bucket="sessions-eu-west-1", Key=f"sessions/o_x/session_1/{n}")
        answer("y\n", tmp_path, shell)

        assert destroy.main([]) == 1
        assert not cdk.exists()

    @pytest.mark.parametrize("flag", ["--yes", "-y"])
    def test_a_script_says_yes_by_naming_the_stack(
        self, flag: str, shell: pytest.MonkeyPatch, cdk: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shell.setenv("AWS_PROFILE", "work")

        assert destroy.main([flag]) == 1
        refusal = capsys.readouterr().err
        assert destroy.main([flag, STACK]) == 0

        assert refusal.count("\n") == 1
        assert f"--yes {STACK}" in refusal
        assert held() == {"us-east-1": 2, "eu-west-1": 0}
        assert cdk.read_text().count("destroy") == 1

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--contex", "stage=prod"],
            ["--contex=stage=prod"],
            ["-x"],
            ["-fx"],
            ["--forc"],
            ["--regio", "eu-west-1"],
            ["--profil", "work"],
            ["--profile"],
            ["--profile", "work", "--profile", "other"],
            ["--context"],
            ["-c", "stage"],
            ["-c", "=test"],
            ["-c", "contex=1"],
            ["-c", "stag=test"],
            ["-c", "Stage=test"],
            ["--force=perhaps"],
            ["--all"],
            ["another-stack"],
            [f"{STACK}x"],
            ["*"],
            ["--require-approval", "never"],
            ["--", "--force"],
        ],
    )
    def test_what_is_not_understood_is_an_error_and_nothing_is_touched(
        self, arguments: list[str], shell: pytest.MonkeyPatch, cdk: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shell.setenv("AWS_PROFILE", "work")

        assert destroy.main(["--force", *arguments]) == 2

        assert "Traceback" not in capsys.readouterr().err
        assert held() == {"us-east-1": 2, "eu-west-1": 2}
        assert not cdk.exists()

    def test_a_value_in_one_word_means_the_same_to_both_parts(self, shell: pytest.MonkeyPatch, cdk: Path) -> None:
        shell.setenv("AWS_PROFILE", "work")

        assert destroy.main(["-f", "-cmemory_mb=512"]) == 0

        assert cdk.read_text().split()[2:] == ["destroy", "-f", "-c", "memory_mb=512"]

    @pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--force", "--help"]])
    def test_asking_for_help_destroys_nothing(
        self, arguments: list[str], shell: pytest.MonkeyPatch, cdk: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shell.setenv("AWS_PROFILE", "work")

        assert destroy.main(arguments) == 0

        assert "make destroy" in capsys.readouterr().out
        assert held() == {"us-east-1": 2, "eu-west-1": 2}
        assert not cdk.exists()

    def test_the_context_of_the_users_own_settings_counts_as_for_the_cli(
        self, shell: pytest.MonkeyPatch, cdk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shell.setenv("AWS_PROFILE", "work")
        (tmp_path / ".cdk.json").write_text('{"context": {"max_concurrency": "no number"}}')

        assert destroy.main(["--force"]) == 2

        assert "max_concurrency" in capsys.readouterr().err
        assert held() == {"us-east-1": 2, "eu-west-1": 2}

    def test_where_there_is_no_such_stack_it_says_where_it_looked(
        self, shell: pytest.MonkeyPatch, cdk: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shell.setenv("AWS_PROFILE", "work")

        assert destroy.main(["--region", "ap-south-1"]) == 0

        said = capsys.readouterr()
        assert said.out.count("\n") == 1
        assert all(word in said.out for word in (STACK, "no such stack", "123456789012", "ap-south-1"))
        assert said.err == ""
        assert not cdk.exists()

    def test_a_stack_whose_bucket_is_gone_already_is_removed(self, shell: pytest.MonkeyPatch, cdk: Path) -> None:
        shell.setenv("AWS_PROFILE", "work")
        s3 = boto3.Session("x", "x", region_name="eu-west-1").client("s3")
        destroy.empty_bucket(s3, "sessions-eu-west-1")
        s3.delete_bucket(Bucket="sessions-eu-west-1")

        assert destroy.main(["--yes"]) == 0
        assert cdk.exists()

    def test_a_stack_that_was_never_finished_is_removed(
        self, shell: pytest.MonkeyPatch, cdk: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shell.setenv("AWS_REGION", "eu-north-1")
        cloudformation = boto3.Session("x", "x", region_name="eu-north-1").client("cloudformation")
        body = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})
        cloudformation.create_stack(StackName=STACK, TemplateBody=body)
        for name, value in KEYS.items():
            shell.setenv(name, value)

        assert destroy.main(["--yes"]) == 0

        assert "bucket   none" in capsys.readouterr().out
        assert cdk.exists()

    def test_ctrl_c_at_the_question_ends_it_quietly(
        self, shell: pytest.MonkeyPatch, cdk: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        class Interrupted:
            def readline(self) -> str:
                raise KeyboardInterrupt

        shell.setenv("AWS_PROFILE", "work")
        shell.setattr("sys.stdin", Interrupted())

        assert destroy.main([]) == 130
        assert capsys.readouterr().err == "\n"
        assert held() == {"us-east-1": 2, "eu-west-1": 2}


@pytest.mark.usefixtures("aws", "open_app")
class TestSmoke:
    @pytest.mark.parametrize(("variables", "arguments", "region"), SURROUNDINGS)
    def test_it_asks_the_stack_where_the_cdk_deployed_it(
        self,
        variables: dict[str, str],
        arguments: list[str],
        region: str,
        shell: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        asked: list[str | None] = []
        shell.setattr(smoke, "check_conversation", lambda *_, **__: None)
        shell.setattr(smoke, "check_bucket", lambda _report, s3, *_, **__: asked.append(s3.meta.region_name))
        for name, value in variables.items():
            shell.setenv(name, value)

        assert smoke.main([f"https://abc.lambda-url.{region}.on.aws/", *arguments]) == 0

        assert asked == [region]
        assert f"region   {region}\n" in capsys.readouterr().out

    def test_another_regions_url_is_refused_with_what_was_looked_at(
        self, shell: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shell.setenv("AWS_PROFILE", "work")

        assert smoke.main(["https://abc.lambda-url.us-east-1.on.aws/"]) == 2

        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert all(word in said for word in (STACK, "123456789012", "eu-west-1"))

    @pytest.mark.parametrize("arguments", [["--contex", "stage=prod"], ["-x"], ["-c", "stag=x"], ["-c", "stage"]])
    def test_what_is_not_understood_is_an_error(
        self, arguments: list[str], shell: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shell.setenv("AWS_PROFILE", "work")

        assert smoke.main(["https://abc.lambda-url.eu-west-1.on.aws/", *arguments]) == 2
        assert "Traceback" not in capsys.readouterr().err

    def test_what_a_deployment_was_given_is_understood(self, shell: pytest.MonkeyPatch) -> None:
        shell.setattr(smoke, "check_conversation", lambda *_, **__: None)
        shell.setattr(smoke, "check_bucket", lambda *_, **__: None)
        given = ["--profile", "work", "--require-approval", "never", "-c", "memory_mb=512", "--outputs-file", "o.json"]

        assert smoke.main(["https://abc.lambda-url.eu-west-1.on.aws", *given]) == 0
