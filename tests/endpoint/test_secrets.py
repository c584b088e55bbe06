"""Secrets of the agent: read when asked for, renewed within five minutes, told to nobody."""

import datetime as dt
import json
import sys
import types
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from agent_sessions.owner import owner_prefix
from tests.doubles.scripted_model import ScriptedModel, tool_use
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.deployed_role import DeployedRole
from tests.endpoint.function import ACCOUNT, ALICE, Function, text_of

SERVICES = ("secretsmanager", "ssm")
VALUE = "xyzzy-17"


class Vault:
    """Secrets Manager and Parameter Store, filled by an administrator.

    Attributes:
        url: Where they are.
        place: A prefix of this test's own.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.place = uuid.uuid4().hex
        keys = {"aws_access_key_id": "administrator", "aws_secret_access_key": "testing"}
        self._clients: dict[str, Any] = {
            name: boto3.client(name, endpoint_url=url, region_name="eu-west-1", **keys)  # type: ignore[call-overload]
            for name in SERVICES
        }

    def put(self, service: str, value: str) -> str:
        """Keep a secret; returns its place."""
        if service == "ssm":
            name = f"/{self.place}/token"
            self._clients["ssm"].put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)
            return f"ssm:{name}"
        name = f"{self.place}/token"
        client = self._clients["secretsmanager"]
        if any(found["Name"] == name for found in client.list_secrets()["SecretList"]):
            client.put_secret_value(SecretId=name, SecretString=value)
        else:
            client.create_secret(Name=name, SecretString=value)
        return f"secretsmanager:{name}"


@pytest.fixture(scope="module")
def vault_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def vault(vault_url: str) -> Vault:
    return Vault(vault_url)


Started = Callable[..., tuple[Function, list[str]]]


@pytest.fixture
def started(vault: Vault, file_store: dict[str, str]) -> Started:
    """A function whose builder asks for secrets; the list holds what it was told."""

    def start(*asks: str, secrets: dict[str, str], **environment: str) -> tuple[Function, list[str]]:
        endpoints = {f"AWS_ENDPOINT_URL_{name}": vault.url for name in ("SECRETS_MANAGER", "SSM")}
        function = Function(
            {**CREDENTIALS, **file_store, **endpoints, "AGENT_MODEL": "scripted:script"}
            | {"AGENT_SECRETS": json.dumps(secrets), **environment}
        )
        function.models["script"] = ScriptedModel(otherwise="Hello.")
        told: list[str] = []

        def build_agent(session_manager: Any, settings: Any) -> Any:
            from strands import Agent

            from lambda_src.models.providers import build_model
            from lambda_src.secrets import secret

            told.extend(secret(name) for name in asks)
            return Agent(agent_id=settings.agent_id, model=build_model(settings), session_manager=session_manager)

        function.build_agent = build_agent
        return function, told

    return start


@pytest.mark.parametrize("service", SERVICES)
def test_the_deployed_function_reads_a_secret_under_its_role(
    service: str, vault: Vault, started: Started, deployed_role: DeployedRole
) -> None:
    function, told = started("TOKEN", secrets={"TOKEN": vault.put(service, VALUE)})

    function.reply("Hi")

    assert told == [VALUE]
    assert deployed_role.actions == {
        {"ssm": "ssm:GetParameter", "secretsmanager": "secretsmanager:GetSecretValue"}[service]
    }


@pytest.mark.parametrize("service", SERVICES)
def test_a_replaced_secret_is_used_after_five_minutes_and_not_asked_for_before(
    service: str, vault: Vault, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aws_lambda_powertools.utilities.parameters import base

    passed = dt.timedelta()

    class Clock(dt.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return dt.datetime.now(tz) + passed

    monkeypatch.setattr(base, "datetime", Clock)
    function, told = started("TOKEN", secrets={"TOKEN": vault.put(service, "old")})
    function.reply("Hi")
    vault.put(service, "new")

    for minutes in (4.9, 5.1):
        passed = dt.timedelta(minutes=minutes)
        function.reply("Hi")

    assert told == ["old", "old", "new"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_missing_secret_is_a_problem_without_its_name_and_the_log_names_it(
    service: str, vault: Vault, started: Started, capfd: pytest.CaptureFixture[str]
) -> None:
    place = vault.put(service, VALUE) + "2"
    function, _ = started("TOKEN", secrets={"TOKEN": place})

    answer = function.say("Hi")

    assert (answer.status, answer.problem) == (500, "secret-unavailable")
    assert "TOKEN" not in answer.text
    assert vault.place not in answer.text
    (line,) = [line for line in logged(capfd) if line["message"] == "a secret cannot be read"]
    assert line["secret"] == "TOKEN"
    assert line["error_code"] in {"ParameterNotFound", "ResourceNotFoundException"}


def test_a_denied_secret_is_told_alike_and_the_next_turn_asks_again(
    vault: Vault, started: Started, deployed_role: DeployedRole, capfd: pytest.CaptureFixture[str]
) -> None:
    place = vault.put("secretsmanager", VALUE)
    function, told = started("TOKEN", secrets={"TOKEN": place})
    function.cold_start()
    # Given a function that was deployed without the secret: its role does not know it.
    with pytest.MonkeyPatch.context() as context:
        context.setattr(DeployedRole, "judge", lambda *_: False)
        answer = function.say("Hi")

    assert (answer.status, answer.problem) == (500, "secret-unavailable")
    assert not told
    output = capfd.readouterr()
    assert VALUE not in output.out + output.err + answer.text
    assert '"secret":"TOKEN"' in output.out
    function.reply("Hi")
    assert told == [VALUE]


def test_a_secret_that_nobody_has_named_is_told_alike(started: Started, capfd: pytest.CaptureFixture[str]) -> None:
    function, _ = started("TOKEN", secrets={})

    answer = function.say("Hi")

    assert (answer.status, answer.problem) == (500, "secret-unavailable")
    (line,) = [line for line in logged(capfd) if "neither in agent_secrets" in line["message"]]
    assert line["secret"] == "TOKEN"


def test_a_plain_event_is_told_by_a_name_of_its_own(started: Started) -> None:
    function, _ = started("TOKEN", secrets={})

    with pytest.raises(Exception, match="A secret that the agent needs cannot be read") as raised:
        function.invoke({"owner": "nightly-report", "session_id": "chat", "prompt": "Hi", "request_id": "execution-1"})

    assert type(raised.value).__name__ == "SecretUnavailableError"
    assert "TOKEN" not in str(raised.value)


def test_on_this_machine_a_secret_is_the_variable_of_its_name(started: Started) -> None:
    function, told = started("TOKEN", secrets={}, TOKEN=VALUE)

    function.reply("Hi")

    assert told == [VALUE]


@pytest.mark.parametrize("together", [1, 3])
def test_a_tool_that_cannot_have_its_secret_ends_the_turn_and_the_next_one_works(
    together: int, vault: Vault, started: Started
) -> None:
    function, _ = started(secrets={})

    def build_agent(session_manager: Any, settings: Any) -> Any:
        from strands import Agent, tool

        from lambda_src.models.providers import build_model
        from lambda_src.secrets import secret

        @tool
        def look_up(word: str) -> str:
            """Look up."""
            return secret("TOKEN") + word

        return Agent(
            agent_id=settings.agent_id,
            model=build_model(settings),
            tools=[look_up],
            session_manager=session_manager,
            callback_handler=None,
        )

    function.build_agent = build_agent
    calls = [tool_use("look_up", word=str(number)) for number in range(together)]
    model = ScriptedModel(calls, otherwise="Hello.")
    function.models["script"] = model

    answer = function.say("Look up.", headers={"idempotency-key": "one"})

    assert (answer.status, answer.problem) == (500, "secret-unavailable")
    assert "TOKEN" not in answer.text
    assert len(model.requests) == 1
    turns = function.module.endpoint.store(owner_prefix(ACCOUNT, ALICE.unique_id)).turns("chat")
    assert turns.find("default", lambda _: True).turn.outcome == {"failed": "secret-unavailable"}
    assert text_of(function.reply("Hi")) == "Hello."
    shown = function.http("GET", "/sessions/chat/messages").text
    assert "TOKEN" not in shown


def test_the_start_and_a_turn_without_a_secret_do_not_import_what_reads_them(started: Started) -> None:
    function, _ = started(secrets={"TOKEN": "ssm:/chat/token"})
    for name in [name for name in sys.modules if name.startswith("aws_lambda_powertools.utilities.parameters")]:
        del sys.modules[name]

    function.reply("Hi")

    assert "aws_lambda_powertools.utilities.parameters" not in sys.modules


def test_a_snapshot_holds_no_secret_and_a_restored_process_reads_it_anew(
    vault: Vault, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime: Any = types.ModuleType("snapshot_restore_py")
    before: list[Callable[[], object]] = []
    after: list[Callable[[], object]] = []
    runtime.register_before_snapshot, runtime.register_after_restore = before.append, after.append
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", runtime)
    function, told = started("TOKEN", secrets={"TOKEN": vault.put("ssm", "old")})
    function.cold_start()
    secrets = function.part("secrets")
    # Given a model that asks for its key when it is made.
    function.part("models.providers").MODEL_PROVIDERS["scripted"] = lambda *_: secrets.secret("TOKEN")

    for hook in before:
        hook()
    held = secrets._provider.cache_info().currsize

    assert held == 0
    function.part("models.providers").MODEL_PROVIDERS["scripted"] = lambda *_: ScriptedModel(otherwise="Hello.")
    function.reply("Hi")
    vault.put("ssm", "new")
    for hook in after:
        hook()
    function.reply("Hi")
    assert told == ["old", "new"]


def logged(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]
