"""Which resources a model id stands for."""

import re

import pytest

from infra.policies.bedrock_model import ModelGrant, model_grants, model_id_of


def grants(model: str) -> list[ModelGrant]:
    return model_grants(model, partition="aws", region="eu-west-1", account="111122223333")


def test_a_model_of_the_region_is_one_resource() -> None:
    assert grants("bedrock:amazon.nova-lite-v1:0") == [
        ModelGrant(("arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-lite-v1:0",))
    ]


@pytest.mark.parametrize(
    ("geography", "regions"),
    [("us", "us-*"), ("eu", "eu-*"), ("apac", "ap-*"), ("jp", "ap-northeast-*"), ("us-gov", "us-gov-*")],
)
def test_a_geographic_profile_reaches_its_model_in_the_regions_it_routes_to(geography: str, regions: str) -> None:
    profile = f"arn:aws:bedrock:eu-west-1:111122223333:inference-profile/{geography}.anthropic.claude-x-v1:0"

    assert grants(f"bedrock:{geography}.anthropic.claude-x-v1:0") == [
        ModelGrant((profile,)),
        ModelGrant(
            (
                "arn:aws:bedrock:eu-west-1::foundation-model/anthropic.claude-x-v1:0",
                f"arn:aws:bedrock:{regions}::foundation-model/anthropic.claude-x-v1:0",
            ),
            {"bedrock:InferenceProfileArn": profile},
        ),
    ]


def test_a_global_profile_reaches_its_model_where_no_region_is_named() -> None:
    profile = "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/global.anthropic.claude-x-v1:0"

    assert grants("bedrock:global.anthropic.claude-x-v1:0")[1:] == [
        ModelGrant(
            ("arn:aws:bedrock:eu-west-1::foundation-model/anthropic.claude-x-v1:0",),
            {"bedrock:InferenceProfileArn": profile},
        ),
        ModelGrant(
            ("arn:aws:bedrock:::foundation-model/anthropic.claude-x-v1:0",),
            {"bedrock:InferenceProfileArn": profile, "aws:RequestedRegion": "unspecified"},
        ),
    ]


def test_the_arn_of_a_profile_elsewhere_is_taken_at_its_word() -> None:
    profile = "arn:aws:bedrock:us-east-1:444455556666:inference-profile/us.amazon.nova-lite-v1:0"

    (itself, through) = grants(f"bedrock:{profile}")

    assert itself.resources == (profile,)
    assert through.resources[0] == "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"
    assert through.string_equals == {"bedrock:InferenceProfileArn": profile}


def test_behind_an_application_profile_any_model_is_reached_through_it_only() -> None:
    profile = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abc123"

    assert grants(f"bedrock:{profile}") == [
        ModelGrant((profile,)),
        ModelGrant(("arn:aws:bedrock:*::foundation-model/*",), {"bedrock:InferenceProfileArn": profile}),
    ]


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
        "arn:aws:bedrock:us-east-1:111122223333:provisioned-model/abc",
        "arn:aws-us-gov:bedrock:us-gov-west-1:111122223333:imported-model/abc",
    ],
)
def test_the_arn_of_a_model_is_one_resource(arn: str) -> None:
    assert grants(f"bedrock:{arn}") == [ModelGrant((arn,))]


@pytest.mark.parametrize(
    "model",
    [
        "ollama:llama3",
        "bedrock",
        "bedrock:*",
        "bedrock:anthropic.*",
        "bedrock:arn:aws:bedrock:us-east-1::foundation-model/*",
        "bedrock:arn:aws:bedrock:us-east-1:111122223333:agent/abc",
    ],
)
def test_a_value_that_is_no_model_is_refused(model: str) -> None:
    with pytest.raises(ValueError, match=r"provider|no Bedrock model|no model"):
        model_id_of(model)


def test_a_profile_arn_without_a_geography_is_refused() -> None:
    with pytest.raises(ValueError, match="names no geography"):
        grants("bedrock:arn:aws:bedrock:us-east-1:111122223333:inference-profile/anthropic.claude-x-v1:0")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("sa.amazon.nova", "names no geography: apac, au, ca, eu, global, jp, us, us-gov"),
        ("sa.amazon.nova-lite-v1:0", "names no geography: apac, au, ca, eu, global, jp, us, us-gov"),
        ("uss.anthropic.claude-x-v1:0", "names no geography; did you mean 'us'?"),
        ("gobal.anthropic.claude-x-v1:0", "names no geography; did you mean 'global'?"),
        ("US.amazon.nova-lite-v1:0", "names no geography; did you mean 'us'?"),
        ("us-east-1.amazon.nova-lite-v1:0", "names no geography"),
        ("amazn.nova-lite-v1:0", "names no provider of models; did you mean 'amazon'?"),
        ("Amazon.nova-lite-v1:0", "names no provider of models; did you mean 'amazon'?"),
        ("eu.anthropc.claude-x-v1:0", "names no provider of models; did you mean 'anthropic'?"),
        ("global.claude-haiku-4.5", "names no provider of models"),
        ("apac.us.amazon.nova-lite-v1:0", "needs a provider and a model"),
        ("us.amazon", "needs a provider and a model"),
        ("us.nova-lite-v1:0", "needs a provider and a model"),
        ("nova-lite-v1:0", "needs a provider and a model"),
        ("amazon.", "needs a provider and a model"),
        ("eu..amazon.nova-lite-v1:0", "no Bedrock model id"),
        ("amazon..nova-lite-v1:0", "no Bedrock model id"),
        ("amazon.nova-lite-v1:", "no Bedrock model id"),
        ("amazon.nova-lite-v1:0 ", "no Bedrock model id"),
        ("amazon.nova lite", "no Bedrock model id"),
        (" amazon.nova-lite-v1:0", "no provider of models"),
        ("arn:aws:bedrock:us-east-1:111122223333:inference-profile/sa.amazon.nova-lite-v1:0", "names no geography"),
        ("arn:aws:bedrock:us-east-1::inference-profile/us.amazon.nova-lite-v1:0", "belong to no account"),
        ("arn:aws:bedrock:us-east-1:111122223333:foundation-model/amazon.nova-lite-v1:0", "belong to no account"),
        ("arn:aws:bedrok:us-east-1::foundation-model/amazon.nova-lite-v1:0", "no Bedrock model's ARN"),
    ],
)
def test_a_misspelt_model_is_refused_with_what_is_allowed(model: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        model_id_of(f"bedrock:{model}")


@pytest.mark.parametrize(
    "model",
    [
        "anthropic.claude-opus-4-7",
        "zai.glm-4.7",
        "deepseek.v3.2",
        "openai.gpt-oss-120b-1:0",
        "amazon.nova-lite-v1:0:300k",
        "us.meta.llama4-maverick-17b-instruct-v1:0",
        "us-gov.anthropic.claude-x-v1:0",
        "arn:aws:bedrock:us-east-1::foundation-model/newcomer.first-v1:0",
        "arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.newcomer.first-v1:0",
    ],
)
def test_models_with_points_in_their_names_and_newcomers_by_their_arn_are_taken(model: str) -> None:
    assert model_id_of(f"bedrock:{model}") == model
