"""The two layers as the template declares them."""

import pytest

from tests.infra.synthesis import ResolvedTemplate, synthesize


def layer(template: ResolvedTemplate, description: str) -> dict[str, object]:
    (found,) = [
        resource
        for resource in template.of_type("AWS::Lambda::LayerVersion")
        if resource["Properties"]["Description"].startswith(description)
    ]
    return found


def test_the_session_layer_fits_any_runtime_and_architecture() -> None:
    properties = layer(synthesize(), "agent_sessions")["Properties"]

    assert isinstance(properties, dict)
    assert "CompatibleRuntimes" not in properties
    assert "CompatibleArchitectures" not in properties


@pytest.mark.parametrize(("python_version", "architecture"), [("3.13", "arm64"), ("3.12", "x86_64"), ("3.14", "arm64")])
def test_the_runtime_layer_fits_the_function_it_is_built_for(python_version: str, architecture: str) -> None:
    template = synthesize(python_version=python_version, architecture=architecture)

    properties = layer(template, "Strands")["Properties"]
    function = template.properties("AWS::Lambda::Function")
    assert isinstance(properties, dict)
    assert properties["CompatibleRuntimes"] == [function["Runtime"]] == [f"python{python_version}"]
    assert properties["CompatibleArchitectures"] == function["Architectures"] == [architecture]


@pytest.mark.parametrize("description", ["agent_sessions", "Strands"])
@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_a_replaced_layer_version_stays_for_whoever_uses_it(stage: str, description: str) -> None:
    found = layer(synthesize(stage=stage), description)

    assert (found["UpdateReplacePolicy"], found["DeletionPolicy"]) == ("Retain", "Retain")


def test_other_apps_find_the_session_layer_and_the_bucket_by_parameters() -> None:
    template = synthesize(stage="team-a")

    parameters = {p["Properties"]["Name"]: p["Properties"]["Value"] for p in template.of_type("AWS::SSM::Parameter")}
    assert parameters == {
        "/agent-session-kit/team-a/session-layer-arn": template.outputs["SessionLayerArn"],
        "/agent-session-kit/team-a/bucket-name": template.outputs["BucketName"],
    }


def test_the_function_has_both_layers() -> None:
    template = synthesize()

    assert template.properties("AWS::Lambda::Function")["Layers"] == [
        template.outputs["RuntimeLayerArn"],
        template.outputs["SessionLayerArn"],
    ]
