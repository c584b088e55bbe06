"""What ``make run`` accepts, and how it refuses the rest."""

import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from lambda_src.models.providers import PROVIDER_KEYS, PROVIDER_PACKAGES
from local import configuration
from local.configuration import Configuration, ConfigurationError, check_credentials, read_configuration
from local.dotenv_file import read_dotenv


def test_the_defaults_need_nothing(tmp_path: Path) -> None:
    read = read_configuration({}, tmp_path)

    assert read == Configuration(8000, (tmp_path / ".sessions").as_uri(), "offline:history")
    assert read.is_offline
    assert read.settings_on_aws == []


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    assert read_configuration({"PORT": "", "STORE": "", "MODEL": ""}, tmp_path) == read_configuration({}, tmp_path)


def test_real_parts_reach_the_endpoints_settings(tmp_path: Path) -> None:
    read = read_configuration({"PORT": "0", "STORE": "s3://bucket/prefix", "MODEL": "bedrock:some.model:0"}, tmp_path)

    assert read.port == 0
    assert read.endpoint_environment() == {
        "SESSION_STORE": "s3://bucket/prefix",
        "AGENT_MODEL": "bedrock:some.model:0",
        "ENDPOINT_AUTH": "local",
        "PAGE": "true",
    }
    assert read.settings_on_aws == ["STORE", "MODEL"]


@pytest.mark.parametrize("text", ["http", "-1", "65536", "8000.5", " 80", "٣"])
def test_a_port_is_a_number(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"PORT=.* Allowed: a number from 1 to 65535"):
        read_configuration({"PORT": text}, tmp_path)


@pytest.mark.parametrize(
    "text",
    ["sessions", "/srv/sessions", "s3://", "s3:bucket", "file://host/x", "file:relative", "gs://b", "s3://b?x=1"],
)
def test_a_store_is_one_of_two_urls(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"STORE=.* Allowed: file:///absolute/folder or s3://bucket/prefix"):
        read_configuration({"STORE": text}, tmp_path)


def test_a_folder_that_cannot_be_made_is_refused_at_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(ConfigurationError, match=r"STORE=.* cannot be used"):
        read_configuration({"STORE": (tmp_path / "file" / "sessions").as_uri()}, tmp_path)


def test_a_folder_with_odd_letters_is_made(tmp_path: Path) -> None:
    read_configuration({"STORE": (tmp_path / "my sessions # 1").as_uri()}, tmp_path)

    assert (tmp_path / "my sessions # 1").is_dir()


@pytest.mark.parametrize("text", ["gpt", "bedrock", "bedrock:", "offline:", "acme:claude", "openai: "])
def test_a_model_is_one_of_the_known_ones(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"MODEL=.* Allowed: offline \(the default\), bedrock:"):
        read_configuration({"MODEL": text}, tmp_path)


@pytest.mark.parametrize("provider", sorted(PROVIDER_PACKAGES))
def test_a_missing_package_comes_with_its_command(
    provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configuration, "is_installed", lambda _provider: False)

    with pytest.raises(ConfigurationError, match=rf"-m pip install 'strands-agents\[{provider}\]'$") as caught:
        read_configuration({"MODEL": f"{provider}:llama"}, tmp_path)

    assert "\n" not in str(caught.value)


def test_an_installed_package_is_all_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "is_installed", lambda _provider: True)

    assert read_configuration({"MODEL": "ollama:llama3"}, tmp_path).model == "ollama:llama3"


@pytest.fixture
def no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.usefixtures("no_credentials")
class TestCredentials:
    def test_parts_on_aws_need_credentials(self) -> None:
        with pytest.raises(ConfigurationError, match="STORE=s3://b/p and MODEL=bedrock:m needs AWS credentials"):
            check_credentials(Configuration(0, "s3://b/p", "bedrock:m"))

    def test_a_profile_that_does_not_exist_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_PROFILE", "nobody")

        with pytest.raises(ConfigurationError, match="nobody"):
            check_credentials(Configuration(0, "s3://b/p", "offline:history"))

    @pytest.mark.parametrize(("provider", "key"), sorted(PROVIDER_KEYS.items()))
    def test_a_provider_with_a_key_needs_it(
        self, provider: str, key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.delenv(key, raising=False)
        local = Configuration(0, tmp_path.as_uri(), f"{provider}:m")

        with pytest.raises(
            ConfigurationError, match=rf"MODEL={provider}:m needs {key}\. Set it, or write {key}=\.\.\."
        ):
            check_credentials(local)

        monkeypatch.setenv(key, "xyzzy-17")
        check_credentials(local)

    def test_with_credentials_it_may_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")

        check_credentials(Configuration(0, "s3://b/p", "bedrock:m"))

    def test_without_aws_nothing_is_asked_for(self) -> None:
        check_credentials(Configuration(0, "file:///x", "offline:history"))


class TestDotenv:
    @pytest.fixture(autouse=True)
    def _variables(self) -> Iterator[None]:
        with mock.patch.dict(os.environ):
            yield

    def test_its_variables_are_set_unless_the_shell_has_set_them(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("# mine\nKIT_TOKEN='a b'\nexport KIT_TABLE=orders\n", encoding="utf-8")
        os.environ["KIT_TABLE"] = "the shell's"

        read_dotenv(tmp_path)

        assert (os.environ["KIT_TOKEN"], os.environ["KIT_TABLE"]) == ("a b", "the shell's")

    def test_without_the_file_nothing_is_set(self, tmp_path: Path) -> None:
        before = dict(os.environ)

        read_dotenv(tmp_path)

        assert dict(os.environ) == before

    @pytest.mark.parametrize(
        ("content", "complaint"),
        [
            (b"KIT_TABLE=orders\nxyzzy 17\n", r"\.env, line 2, cannot be read\. Allowed: NAME=value"),
            (b"KIT_TABLE='xyzzy 17\n", r"\.env, line 1, cannot be read"),
            (b"KIT_TABLE=\xff xyzzy 17\n", r"\.env cannot be read: it is no UTF-8"),
        ],
    )
    def test_a_file_that_cannot_be_read_is_refused_without_quoting_it(
        self, content: bytes, complaint: str, tmp_path: Path
    ) -> None:
        (tmp_path / ".env").write_bytes(content)

        with pytest.raises(ConfigurationError, match=complaint) as refusal:
            read_dotenv(tmp_path)

        assert "xyzzy" not in str(refusal.value)
        assert "KIT_TABLE" not in os.environ

    def test_a_folder_in_its_place_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / ".env").mkdir()

        with pytest.raises(ConfigurationError, match=r"\.env cannot be read: Is a directory"):
            read_dotenv(tmp_path)

    def test_nobody_commits_it(self) -> None:
        assert ".env" in (Path(__file__).parents[2] / ".gitignore").read_text().splitlines()
