"""What a guardrail takes back in a node of a graph or a swarm is taken back everywhere."""

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

from tests.contract.strands_features import needs_swarm_checkpoints
from tests.doubles.bedrock_server import BedrockServer, Guardrail
from tests.doubles.scripted_model import Pause, Redact, Request, ScriptedModel, tool_use
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import Context, Function, text_of
from tests.endpoint.orchestra import chain, fan, models, node, sign, stamp, swarm
from tests.endpoint.test_orchestrators import said

SECRET = "the number of the vault is 4711"
BLOCKED: Any = [Redact(), "Sorry."]
# Who may see older versions. The deployed role may not: the kit's own bucket keeps none.
OWNER = {**CREDENTIALS, "AWS_ACCESS_KEY_ID": "administrator"}
KEYED: Any = {"headers": {"idempotency-key": "request-1"}}


class Versions:
    """Everything that a bucket with versioning holds."""

    def __init__(self, store: dict[str, str]) -> None:
        self._bucket = urlsplit(store["SESSION_STORE"]).netloc
        self._client = boto3.client(
            "s3",
            endpoint_url=store["AWS_ENDPOINT_URL_S3"],
            region_name="us-east-1",
            aws_access_key_id="administrator",
            aws_secret_access_key="testing",
        )
        self._client.put_bucket_versioning(Bucket=self._bucket, VersioningConfiguration={"Status": "Enabled"})

    def with_text(self, text: str) -> list[str]:
        """The keys of which a version holds a text."""
        listed = self._client.list_object_versions(Bucket=self._bucket).get("Versions", [])
        assert len(listed) > 3
        return [entry["Key"] for entry in listed if text in self._body(entry)]

    def _body(self, entry: Any) -> str:
        place = {"Bucket": self._bucket, "Key": entry["Key"], "VersionId": entry["VersionId"]}
        return self._client.get_object(**place)["Body"].read().decode()


@pytest.fixture
def versions(s3_store: dict[str, str]) -> Versions:
    return Versions(s3_store)


def shown_to(model: ScriptedModel) -> str:
    return str([request.messages for request in model.requests])


def hand_over_with(to: str, message: str) -> Any:
    return tool_use("handoff_to_agent", agent_name=to, message=message, context={"found": message})


def echo(request: Request) -> str:
    return f"You asked: {request.messages[0]['content'][0]['text']}"


def test_of_a_graph_the_prompt_and_what_earlier_nodes_said_of_it_go(
    versions: Versions, s3_store: dict[str, str]
) -> None:
    nodes = models(read=[echo], judge=[BLOCKED], write=["Written.", "Fine."])
    function = Function({**OWNER, **s3_store}, build_agent=chain(nodes))

    reply = function.reply(f"Say: {SECRET}")
    versions_after_the_turn = versions.with_text(SECRET)
    function.cold_start()

    assert versions_after_the_turn == []
    assert SECRET not in json.dumps(reply)
    assert said(function) == ["user: [User input redacted.]", "assistant: Written."]
    assert [text_of(part) for part in reply["nodes"]] == ["[User input redacted.]", "Sorry.", "Written."]
    assert SECRET in shown_to(nodes["judge"])
    assert SECRET not in shown_to(nodes["write"])


@needs_swarm_checkpoints
def test_of_a_swarm_what_was_handed_over_and_shared_goes_too(versions: Versions, s3_store: dict[str, str]) -> None:
    nodes = models(
        read=[hand_over_with("judge", f"they say '{SECRET}'\n"), "Over."],
        judge=[BLOCKED],
    )
    function = Function({**OWNER, **s3_store}, build_agent=swarm(nodes))

    reply = function.reply(f"Say: {SECRET}")

    assert SECRET in shown_to(nodes["judge"])
    assert versions.with_text(SECRET) == []
    assert (text_of(reply), SECRET in json.dumps(reply)) == ("Sorry.", False)


def test_what_a_node_waits_with_that_was_given_the_same_text_goes_too(
    versions: Versions, s3_store: dict[str, str]
) -> None:
    nodes = models(
        plan="Plan.",
        north=[tool_use("stamp", document="it"), "Stamped."],
        south=[BLOCKED],
    )
    function = Function({**OWNER, **s3_store}, build_agent=fan(nodes, stamp))

    question = function.reply(f"Say: {SECRET}")
    while_it_waits = versions.with_text(SECRET)
    function.cold_start()
    answers = [{"interrupt_id": one["interrupt_id"], "response": "yes"} for one in question["interrupts"]]
    answer = function.http("POST", "/sessions/chat/messages", {"interrupt_responses": answers})

    assert while_it_waits == []
    assert SECRET not in json.dumps(question)
    assert (answer.status, text_of(answer.json)) == (200, "Sorry.Stamped.")
    assert SECRET not in str(nodes["north"].requests[-1].messages)


def test_what_is_taken_back_after_an_answer_goes_out_of_the_turn_that_asked(
    versions: Versions, s3_store: dict[str, str]
) -> None:
    nodes = models(ask=[tool_use("sign", document=f"it: Say: {SECRET}"), "Signed."], judge=[BLOCKED])
    function = Function({**OWNER, **s3_store}, build_agent=chain(nodes, sign))
    question = function.reply(f"Say: {SECRET}", **KEYED)
    assert SECRET in json.dumps(question["interrupts"])
    function.cold_start()

    answers = [{"interrupt_id": one["interrupt_id"], "response": "yes"} for one in question["interrupts"]]
    answer = function.http("POST", "/sessions/chat/messages", {"interrupt_responses": answers})

    assert answer.status == 200, answer.text
    assert versions.with_text(SECRET) == []
    assert said(function)[0] == "user: [User input redacted.]"
    function.cold_start()
    again = function.say(f"Say: {SECRET}", **KEYED)
    assert again.status == 200, again.text
    assert SECRET not in again.text
    assert again.json["interrupts"][0]["reason"] == {"document": "[User input redacted.]"}


@pytest.mark.parametrize("build", [chain, pytest.param(swarm, marks=needs_swarm_checkpoints)])
def test_a_turn_that_goes_on_after_it_was_cut_off_is_shown_what_is_stored(
    versions: Versions, s3_store: dict[str, str], build: Any
) -> None:
    nodes = models(judge=[[Redact(), "Sor", Pause(30), "ry."], "Sorry."])
    function = Function({**OWNER, **s3_store, "DEADLINE_MARGIN_SECONDS": "2"}, build_agent=build(nodes))

    late = function.say(f"Say: {SECRET}", context=Context(remaining_seconds=4), **KEYED)
    function.cold_start()
    reply = function.reply(f"Say: {SECRET}", **KEYED)

    assert late.problem == "out-of-time"
    assert text_of(reply) == "Sorry."
    assert SECRET not in str(nodes["judge"].requests[-1].messages)
    assert versions.with_text(SECRET) == []


def test_a_guardrail_of_bedrock_in_a_node_is_heard(versions: Versions, s3_store: dict[str, str]) -> None:
    from strands.models import BedrockModel

    with BedrockServer(["Sorry.", Guardrail("input")], "Fine.") as bedrock:

        def build(session_manager: Any, settings: Any) -> Any:
            made = {name: BedrockModel(model_id="some.model", endpoint_url=bedrock.url) for name in ("judge", "write")}
            return chain(made)(session_manager, settings)  # type: ignore[arg-type] # real ones in the scripts' place

        reply = Function({**OWNER, **s3_store}, build_agent=build).reply(f"Say: {SECRET}")

        assert text_of(reply) == "Fine."
        assert SECRET not in json.dumps(bedrock.requests[1].messages)
    assert versions.with_text(SECRET) == []


def test_an_orchestrator_of_ones_own_has_it_taken_out_of_its_state(
    versions: Versions, s3_store: dict[str, str]
) -> None:
    from agent_sessions.multi_agent import MultiAgentBase

    class Loop(MultiAgentBase):
        """Asks one agent, and keeps what it was asked."""

        def __init__(self, session_manager: Any, settings: Any) -> None:
            super().__init__()
            self.id = settings.agent_id
            self.asked: list[Any] = []
            agent = node("judge", ScriptedModel(BLOCKED))
            self.nodes = {"judge": type("Node", (), {"executor": agent})()}
            session_manager.initialize_multi_agent(self)
            self._session = session_manager

        async def stream_async(self, task: Any, invocation_state: Any = None, **kwargs: Any) -> AsyncIterator[Any]:
            self.asked.append(task)
            self._session.sync_multi_agent(self)
            yield {"result": str(await self.nodes["judge"].executor.invoke_async(task))}

        async def invoke_async(self, task: Any, invocation_state: Any = None, **kwargs: Any) -> Any:
            raise NotImplementedError

        def serialize_state(self) -> dict[str, Any]:
            return {"asked": self.asked}

        def deserialize_state(self, payload: dict[str, Any]) -> None:
            self.asked = payload["asked"]

    function = Function({**OWNER, **s3_store}, build_agent=Loop)

    reply = function.reply(f"Say: {SECRET}")

    assert text_of(reply).strip() == "Sorry."
    assert versions.with_text(SECRET) == []
