"""The constructs in an app of one's own: another folder is the agent's, and what is missing is made or named."""

import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack, Validations
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template
from cdk_nag import AwsSolutionsChecks

from infra import AgentEndpoint, ConfigError, KitConfig, LayerTarget, RuntimeLayer, SessionBucket, SessionLayer
from infra.constructs import agent_endpoint, runtime_layer
from infra.lock import main
from infra.packaging.agent_folder import AgentFolderError
from infra.packaging.agent_requirements import AgentRequirementsError
from infra.packaging.runtime_layer_build import LayerBuildError
from infra.stack import KitStack
from tests.infra.synthesis import ResolvedTemplate
from tests.infra.wheels import locked, wheel

BUILDER = "def build_agent(session_manager, settings): ...\n"
AGENT = (
    "from strands import Agent\n\n\n"
    "def build_agent(session_manager, settings):\n    return Agent(session_manager=session_manager)\n"
)
HAIKU = "bedrock:global.anthropic.claude-haiku-4-5-20251001-v1:0"
POLICY = (
    '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sqs:SendMessage", '
    '"Resource": "arn:aws:sqs:eu-central-1:111122223333:parcels"}}'
)


def stack_in(folder: Path, *, builds: bool = False) -> Stack:
    context: dict[str, list[str]] | None = None if builds else {"aws:cdk:bundling-stacks": []}
    return Stack(App(outdir=str(folder / "out"), context=context), "Mine")


def template_of(stack: Stack) -> ResolvedTemplate:
    return ResolvedTemplate({"Outputs": {}, **app_of(stack).synth().get_stack_by_name("Mine").template})


def app_of(stack: Stack) -> App:
    app = stack.node.root
    assert isinstance(app, App)
    return app


def lock_as_made(agent: Path, packages: str) -> None:
    """The agent's lock, as the command writes it."""
    digest = hashlib.sha256((agent / "requirements.in").read_text().strip().encode()).hexdigest()[:16]
    made = f"# made by `python -m agent_session_kit_cdk.lock` from requirements.in with the hash {digest}\n"
    (agent / "requirements.txt").write_text(made + packages)


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    folder = tmp_path / "agent"
    folder.mkdir()
    (folder / "__init__.py").write_text(BUILDER)
    return folder


def test_one_construct_brings_bucket_layers_role_and_url(agent: Path, tmp_path: Path) -> None:
    (agent / "policy.json").write_text(POLICY)
    (agent / "model.txt").write_text("bedrock:eu.amazon.nova-lite-v1:0\n")
    stack = stack_in(tmp_path)

    AgentEndpoint(stack, "Chat", agent=agent)

    template = template_of(stack)
    function = template.properties("AWS::Lambda::Function")
    assert len(template.of_type("AWS::Lambda::LayerVersion")) == len(function["Layers"]) == 2
    assert len(template.of_type("AWS::S3::Bucket")) == len(template.of_type("AWS::Lambda::Url")) == 1
    assert template.of_type("AWS::SSM::Parameter") == []
    assert function["Environment"]["Variables"]["AGENT_MODEL"] == "bedrock:eu.amazon.nova-lite-v1:0"
    assert function["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] == "Mine"
    policies = str([policy["Properties"] for policy in template.of_type("AWS::IAM::Policy")])
    assert "sqs:SendMessage" in policies
    assert "nova-lite" in policies


def test_the_configuration_and_the_bucket_of_ones_own_are_used(agent: Path, tmp_path: Path) -> None:
    (agent / "model.txt").write_text("bedrock:eu.amazon.nova-lite-v1:0\n")
    config = KitConfig(agent_model=HAIKU, session_ttl_days=7, memory_mb=512)
    stack = stack_in(tmp_path)
    store = SessionBucket.configured(stack, "Store", config)

    endpoint = AgentEndpoint(stack, "Chat", agent=agent, config=config, store=store)

    template = template_of(stack)
    function = template.properties("AWS::Lambda::Function")
    assert endpoint.store is store
    assert len(template.of_type("AWS::S3::Bucket")) == 1
    assert function["MemorySize"] == 512
    assert function["Environment"]["Variables"]["AGENT_MODEL"] == HAIKU
    with pytest.raises(ValueError, match="session_ttl_days=30: the bucket forgets sessions after 7 days"):
        AgentEndpoint(stack, "Other", agent=agent, store=store)


@pytest.mark.parametrize(
    ("model", "secrets"), [("ollama:llama3.2", {}), ("openai:gpt-5", {"OPENAI_API_KEY": "ssm:/chat/key"})]
)
def test_settings_are_judged_with_the_model_of_the_folder(
    model: str, secrets: dict[str, str], agent: Path, tmp_path: Path
) -> None:
    (agent / "model.txt").write_text(f"{model}\n")
    config = KitConfig(agent_model=None, agent_model_url="https://models.example.com", agent_secrets=secrets)  # type: ignore[arg-type]
    stack = stack_in(tmp_path)

    endpoint = AgentEndpoint(stack, "Chat", agent=agent, config=config)

    variables = template_of(stack).properties("AWS::Lambda::Function")["Environment"]["Variables"]
    assert (variables["AGENT_MODEL"], variables["AGENT_MODEL_URL"]) == (model, "https://models.example.com")
    assert endpoint.config.agent_model == model


@pytest.mark.parametrize(
    ("model", "values", "complaint"),
    [
        ("ollama:llama3.2", {}, "agent_model='ollama:llama3.2': .* name it in `agent_model_url`"),
        ("openai:gpt-5", {}, "agent_model='openai:gpt-5': its provider needs a key"),
        (HAIKU, {"agent_model_url": "https://models.example.com"}, "Bedrock has an address of its own"),
        ("lama", {}, "agent_model='lama': 'lama' is no provider of models"),
    ],
)
def test_what_the_model_of_the_folder_lacks_is_named(
    model: str, values: dict[str, Any], complaint: str, agent: Path, tmp_path: Path
) -> None:
    (agent / "model.txt").write_text(model)

    with pytest.raises(ConfigError, match=complaint):
        AgentEndpoint(stack_in(tmp_path), "Chat", agent=agent, config=KitConfig(**values))


def test_two_endpoints_share_bucket_and_layers_and_cdk_nag_finds_nothing(agent: Path, tmp_path: Path) -> None:
    config = KitConfig(session_ttl_days=7)
    stack = stack_in(tmp_path)
    store = SessionBucket.configured(stack, "Store", config)
    runtime = RuntimeLayer(stack, "Runtime", target=LayerTarget(config.python_version, config.architecture))
    sessions = SessionLayer(stack, "Sessions", python_version=config.python_version)
    shared: list[lambda_.ILayerVersion] = [runtime.layer, sessions.layer]

    AgentEndpoint(stack, "Chat", agent=agent, config=config, store=store, layers=shared)
    AgentEndpoint(stack, "Support", config=config, store=store, layers=shared)

    Validations.of(stack.node.root).add_plugins(AwsSolutionsChecks(stack.node.root))
    template = template_of(stack)
    assert len(template.of_type("AWS::S3::Bucket")) == 1
    assert len(template.of_type("AWS::Lambda::LayerVersion")) == 2
    assert len(template.of_type("AWS::Lambda::Url")) == 2
    variables = [f["Properties"].get("Environment", {}) for f in template.of_type("AWS::Lambda::Function")]
    names = [of["Variables"]["POWERTOOLS_SERVICE_NAME"] for of in variables if of]
    assert names == ["Mine", "Mine-Support"], "the metrics of one would be the other's"
    watched = Counter(
        value
        for alarm in template.of_type("AWS::CloudWatch::Alarm")
        for value in set(re.findall(r"'Name': 'service', 'Value': '([^']*)'", str(alarm["Properties"])))
    )
    assert set(watched) == set(names)
    assert watched["Mine"] == watched["Mine-Support"] > 0
    titles = [query["Properties"]["Name"] for query in template.of_type("AWS::Logs::QueryDefinition")]
    assert len(set(titles)) == len(titles)


def test_layers_that_do_not_hold_what_the_function_needs_are_refused_by_name(agent: Path, tmp_path: Path) -> None:
    stack = stack_in(tmp_path)
    plain = RuntimeLayer(stack, "Plain", target=LayerTarget("3.13", "arm64")).layer
    foreign = lambda_.LayerVersion.from_layer_version_arn(
        stack, "Foreign", "arn:aws:lambda:eu-central-1:111122223333:layer:birds:1"
    )
    openai = KitConfig(agent_model="openai:gpt-5", agent_secrets={"OPENAI_API_KEY": "ssm:/chat/key"})

    def refusal(layer: lambda_.ILayerVersion, config: KitConfig, number: int) -> str:
        with pytest.raises((ValueError, AgentRequirementsError)) as refused:
            AgentEndpoint(stack, f"Chat{number}", agent=agent, config=config, layers=[layer])
        return str(refused.value)

    assert refusal(plain, KitConfig(architecture="x86_64"), 1) == (
        "layers: Mine/Plain is for Python 3.13 on arm64, and the function has Python 3.13 on x86_64"
    )
    assert refusal(plain, openai, 2).endswith("make it with provider_package='openai'")
    assert refusal(foreign, openai, 3).endswith("a RuntimeLayer(..., provider_package='openai')")
    (agent / "requirements.in").write_text("parrot\n")
    assert "requirements.in has changed and" in refusal(foreign, KitConfig(), 4)
    lock_as_made(agent, "parrot==1.0\n")
    assert refusal(plain, KitConfig(), 5).endswith(f"requirements.txt; make it with agent={str(agent)!r}")
    assert refusal(foreign, openai, 6).endswith(f"RuntimeLayer(..., provider_package='openai', agent={str(agent)!r})")

    right = RuntimeLayer(
        stack, "Right", target=LayerTarget("3.13", "arm64"), provider_package="openai", agent=agent
    ).layer
    AgentEndpoint(stack, "Chat", agent=agent, config=openai, layers=[foreign, right])


def test_each_endpoint_is_called_as_its_own_stack_and_its_permissions_as_its_own_file(
    agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reasons: dict[str, str] = {}
    monkeypatch.setattr(agent_endpoint, "waive", lambda _, given: reasons.update(given))
    wide = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sqs:ListQueues", "Resource": "*"}}
    (agent / "policy.json").write_text(json.dumps(wide))
    config = KitConfig(agent_policy_wildcards=True)
    stack = stack_in(tmp_path)
    there = Stack(app_of(stack), "Theirs")

    AgentEndpoint(stack, "Chat", agent="agent", config=config, store=SessionBucket.configured(there, "Store", config))

    template = app_of(stack).synth().get_stack_by_name("Mine").template  # it imports from the other stack
    (function,) = [one for one in template["Resources"].values() if one["Type"] == "AWS::Lambda::Function"]
    assert function["Properties"]["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] == "Mine"
    assert reasons["AwsSolutions-IAM5[Resource::*]"] == "Asked for in agent/policy.json."


def test_the_folder_is_packaged_as_the_agent_with_the_kits_model_where_it_names_none(
    agent: Path, tmp_path: Path
) -> None:
    (agent / "__init__.py").write_text(AGENT)
    (agent / "parcels.py").write_text("X = 1\n")

    AgentEndpoint(stack_in(tmp_path, builds=True), "Chat", agent=agent, layers=[])

    (package,) = (tmp_path / "out").glob("asset.*.package")
    shipped = package / "lambda_src" / "agent"
    assert {path.name for path in shipped.iterdir()} == {"__init__.py", "parcels.py", "model.txt", "__pycache__"}
    assert (shipped / "__init__.py").read_text() == AGENT
    assert (shipped / "model.txt").read_text().strip() == HAIKU
    assert (package / "lambda_src" / "handler.py").is_file()


def test_the_stack_takes_everything_of_an_agents_folder(agent: Path, tmp_path: Path) -> None:
    (agent / "model.txt").write_text("bedrock:eu.amazon.nova-lite-v1:0\n")
    (agent / "policy.json").write_text(POLICY)
    (agent / "requirements.in").write_text("parrot\n")
    lock_as_made(agent, locked(wheel(tmp_path / "index", "parrot")))
    app = App(outdir=str(tmp_path / "out"), context={"aws:cdk:bundling-stacks": []})

    stack = KitStack(app, KitConfig(), agent)

    variables = Template.from_stack(stack).find_resources("AWS::Lambda::Function")
    assert "nova-lite" in str(variables)
    assert stack.runtime_layer.agent_lock == agent / "requirements.txt"
    assert str(stack.agent_policy).count("sqs:SendMessage") == 1


def test_a_builder_that_returns_no_agent_is_refused_while_it_is_packaged(agent: Path, tmp_path: Path) -> None:
    with pytest.raises(AgentFolderError, match=r"agent cannot be used: build_agent has returned a NoneType"):
        AgentEndpoint(stack_in(tmp_path, builds=True), "Chat", agent=agent, layers=[])

    assert not list((tmp_path / "out").glob("asset.*"))


def test_a_folder_that_is_no_agents_is_named(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(BUILDER)
    (tmp_path / "empty").mkdir()
    stack = stack_in(tmp_path, builds=True)

    with pytest.raises(AgentFolderError, match=r"agent='.*/nowhere': .* does not exist; allowed: a folder whose"):
        AgentEndpoint(stack, "A", agent=f"{tmp_path}/nowhere", layers=[])
    with pytest.raises(AgentFolderError, match=r"agent\.py is a file"):
        AgentEndpoint(stack, "B", agent=tmp_path / "agent.py", layers=[])
    with pytest.raises(AgentFolderError, match=r"empty holds no agent: it has no __init__\.py"):
        AgentEndpoint(stack, "C", agent=tmp_path / "empty", layers=[])


def test_packages_are_installed_from_the_folders_lock_and_only_if_it_is_theirs(
    agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit = tmp_path / "kit.txt"
    kit.write_text(locked(wheel(tmp_path, "perch")), encoding="utf-8")
    monkeypatch.setattr(runtime_layer, "endpoint_lock", lambda _: kit)
    monkeypatch.setattr(runtime_layer, "_CACHE", None)  # as where the package is installed
    monkeypatch.chdir(tmp_path)
    stack = stack_in(tmp_path, builds=True)
    target = LayerTarget("3.13", "arm64")
    wheel(tmp_path / "index", "parrot", tag="cp313-cp313-manylinux_2_28_aarch64")
    (agent / "requirements.in").write_text("parrot\n")

    with pytest.raises(
        AgentRequirementsError,
        match=r"agent/requirements\.in has changed and agent/requirements\.txt has not: "
        r"run `python -m agent_session_kit_cdk\.lock agent`",
    ):
        RuntimeLayer(stack, "Unlocked", target=target, agent="agent")

    assert main(["agent", "--no-index", "--find-links", str(tmp_path / "index")]) == 0
    lock = agent / "requirements.txt"
    lock.write_text(lock.read_text() + f"--find-links {tmp_path / 'index'}\n")
    RuntimeLayer(stack, "Locked", target=target, agent="agent")
    (package,) = (tmp_path / "out").glob("asset.*.package")
    assert {"perch", "parrot"} <= {path.name for path in (package / "python").iterdir()}
    assert list((tmp_path / "out" / ".runtime-layers").iterdir())

    with pytest.raises(LayerBuildError, match=r"(?s)agent/requirements\.txt cannot be installed .* x86_64.*parrot"):
        RuntimeLayer(stack, "Elsewhere", target=LayerTarget("3.13", "x86_64"), agent="agent")


def test_the_lock_command_says_what_it_needs(agent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("usage: python -m agent_session_kit_cdk.lock FOLDER")
    assert main([f"{agent}/nowhere"]) == 1
    assert "nowhere does not exist" in capsys.readouterr().err
    assert main([str(agent)]) == 1
    assert "has no requirements.in: its agent needs no packages" in capsys.readouterr().err


def test_settings_in_code_are_refused_in_the_words_of_the_context() -> None:
    with pytest.raises(ConfigError) as refusal:
        KitConfig(memory_mb=5, memory_md=3)  # type: ignore[call-arg]

    assert str(refusal.value) == (
        "the configuration cannot be deployed:\n"
        "  memory_md: no such key; did you mean `memory_mb`?\n"
        "  memory_mb=5: Input should be greater than or equal to 256; allowed: a whole number from 256 to 10240"
    )


@pytest.mark.parametrize(("missing", "name"), [("aws_cdk", "SessionBucket"), ("pydantic", "KitConfig")])
def test_without_the_extra_it_says_how_to_install_it(missing: str, name: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; import infra; infra.{name}"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    needed = f"needs {missing}, which is not installed: pip install 'agent-session-kit[cdk]'"
    assert done.stderr.splitlines()[-1] == f"ImportError: infra.{name} {needed}"
