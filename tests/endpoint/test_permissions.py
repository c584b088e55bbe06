"""Everything this suite's functions ask AWS for is judged by the deployed role (see conftest). Here: that it is."""

import os
from typing import TYPE_CHECKING, TypedDict

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.doubles.bedrock_server import BedrockServer
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.deployed_role import DeployedRole, ModelCall
from tests.endpoint.test_conversation import on_bedrock

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class Keys(TypedDict):
    """Who a client is."""

    region_name: str
    aws_access_key_id: str
    aws_secret_access_key: str


def test_a_session_s_whole_life_is_seen_and_allowed(s3_store: dict[str, str], deployed_role: DeployedRole) -> None:
    with BedrockServer("Hello.", "And on.") as bedrock:
        function = on_bedrock(bedrock, s3_store)
        function.reply("Hi")
        function.cold_start()
        function.reply("Hi again")
        function.http("GET", "/sessions")
        assert function.http("DELETE", "/sessions/chat").status == 204

    assert deployed_role.actions >= {
        *("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"),
        "bedrock:InvokeModelWithResponseStream",
    }
    assert len([call for call in deployed_role.calls if call.action == "s3:PutObject"]) > 4
    # The profile, the model behind it here, and the model wherever there is capacity.
    assert len([call for call in deployed_role.calls if isinstance(call, ModelCall)]) == 3
    assert not deployed_role.refused


@pytest.mark.parametrize("key", ["sessions2/x", "other/sessions/x", "session.json"])
def test_a_call_beside_the_prefix_is_refused_and_noticed(
    key: str, s3_store: dict[str, str], deployed_role: DeployedRole
) -> None:
    s3 = as_the_function(s3_store)

    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Bucket=bucket_of(s3_store), Key=key, Body=b"")

    assert {call.resource for call in deployed_role.refused} == {f"arn:aws:s3:::{bucket_of(s3_store)}/{key}"}
    deployed_role.calls.clear()  # it was asked for here, on purpose


def test_everything_of_a_caller_is_erased_and_exported_with_what_the_role_may(
    s3_store: dict[str, str], deployed_role: DeployedRole
) -> None:
    with BedrockServer("Hello.") as bedrock:
        function = on_bedrock(bedrock, s3_store)
        function.reply("Hi")
        exported = function.http("GET", "/export")
        erased = function.http("DELETE", "/sessions")

    assert (exported.status, '"session_id": "chat"' in exported.text) == (200, True)
    assert (erased.status, erased.json["sessions"], erased.json["complete"]) == (200, 1, True)
    assert not deployed_role.refused


def test_a_listing_of_the_whole_bucket_is_refused_and_noticed(
    s3_store: dict[str, str], deployed_role: DeployedRole
) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        as_the_function(s3_store).list_objects_v2(Bucket=bucket_of(s3_store))

    assert {call.action for call in deployed_role.refused} == {"s3:ListBucket"}
    deployed_role.calls.clear()


def test_another_model_than_the_configured_one_is_refused_and_noticed(
    s3_store: dict[str, str], deployed_role: DeployedRole
) -> None:
    with BedrockServer(otherwise="Hello.") as bedrock:
        client = boto3.client("bedrock-runtime", endpoint_url=bedrock.url, **keys())
        with pytest.raises(ClientError):
            client.converse(modelId="amazon.nova-pro-v1:0", messages=[{"role": "user", "content": [{"text": "Hi"}]}])
        assert not bedrock.requests

    assert {call.action for call in deployed_role.refused} == {"bedrock:InvokeModel"}
    deployed_role.calls.clear()


def test_a_role_that_reaches_a_neighbour_is_noticed(
    s3_store: dict[str, str], deployed_role: DeployedRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]
    monkeypatch.setattr("tests.endpoint.deployed_role.deployed_statements", lambda *_: everything)

    as_the_function(s3_store).put_object(Bucket=bucket_of(s3_store), Key="sessions/x", Body=b"")

    assert {call.resource.partition(":::")[2] for call in deployed_role.reached_neighbours} == {
        f"{bucket_of(s3_store)}2/sessions/x",
        f"{bucket_of(s3_store)}/sessions2/x",
    }
    deployed_role.reached_neighbours.clear()


def as_the_function(store: dict[str, str]) -> "S3Client":
    os.environ.update(store)
    return boto3.client("s3", endpoint_url=store["AWS_ENDPOINT_URL_S3"], **keys())


def keys() -> "Keys":
    return Keys(
        region_name=CREDENTIALS["AWS_REGION"],
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )


def bucket_of(store: dict[str, str]) -> str:
    return store["SESSION_STORE"].removeprefix("s3://").partition("/")[0]
