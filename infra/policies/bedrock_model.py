"""Which Bedrock resources a model id stands for: what a policy must name so that this model, and no other, answers.

Three kinds of id reach Bedrock's ``modelId``: a model of the calling region, a cross-region *inference profile*
(``us.``, ``eu.``, ``global.`` ...) that routes to foundation models in other regions, and an ARN. A profile alone is
not enough: IAM is asked about the profile *and* about the foundation model in every region it may route to.
Source: Amazon Bedrock user guide, "Prerequisites for inference profiles" and "Global cross-Region inference".
"""

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

PROVIDER: Final = "bedrock"

# Where a geographic profile may send a request. Patterns, because AWS adds destination regions to a geography over
# time; each statement is tied to the one profile by a condition, so the pattern opens no other way to the model.
_GEOGRAPHIES: Final[dict[str, tuple[str, ...]]] = {
    "us": ("us-*",),
    "us-gov": ("us-gov-*",),
    "eu": ("eu-*",),
    "apac": ("ap-*",),
    "jp": ("ap-northeast-*",),
    "au": ("ap-southeast-*",),
    "ca": ("ca-*",),
}
_GLOBAL: Final = "global"
_PREFIXES: Final = (*_GEOGRAPHIES, _GLOBAL)
# Who trains the models: the first part of a model's id (Bedrock user guide, "Supported foundation models"). What is
# not listed here, perhaps because it is newer, can be named by its ARN.
_MODEL_PROVIDERS: Final = frozenset(
    [
        "ai21",
        "amazon",
        "anthropic",
        "cohere",
        "deepseek",
        "google",
        "luma",
        "meta",
        "minimax",
        "mistral",
        "moonshot",
        "moonshotai",
        "nvidia",
        "openai",
        "qwen",
        "stability",
        "twelvelabs",
        "writer",
        "xai",
        "zai",
    ]
)
ALLOWED: Final = (
    "`bedrock:` and a model id (`amazon.nova-lite-v1:0`), an inference profile id (one of "
    + ", ".join(f"`{prefix}.`" for prefix in _PREFIXES)
    + " before a model id) or the ARN of a model or profile"
)
_MODEL_NAME: Final = re.compile(r"[A-Za-z0-9]+(?:[.:_-][A-Za-z0-9]+)*")
_ARN: Final = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):bedrock:(?P<region>[a-z0-9-]+):(?P<account>\d{12})?:(?P<kind>[a-z-]+)/(?P<id>[A-Za-z0-9._:/-]+)"
)
_STANDALONE_KINDS: Final = ("foundation-model", "provisioned-model", "imported-model", "custom-model-deployment")


@dataclass(frozen=True)
class ModelGrant:
    """One statement's worth of access: these resources, under these conditions.

    Attributes:
        resources: ARNs, or ARN patterns where a region is not known in advance.
        string_equals: Condition keys with the one value each must have.
    """

    resources: tuple[str, ...]
    string_equals: dict[str, str] = field(default_factory=dict)


def model_id_of(agent_model: str) -> str:
    """The part of ``agent_model`` that goes to Bedrock as ``modelId``.

    Args:
        agent_model: ``bedrock:<model id, profile id or ARN>``.

    Returns:
        The id or ARN.

    Raises:
        ValueError: When the provider is another one or the rest cannot be a model id.
    """
    provider, _, model = agent_model.partition(":")
    if provider != PROVIDER:
        raise ValueError(f"the deployed function is granted one Bedrock model, not provider {provider!r}")
    arn = _ARN.fullmatch(model)
    if arn is not None:
        _check_arn(arn)
    elif model.startswith("arn:"):
        raise ValueError(f"{model!r} is no Bedrock model's ARN")
    else:
        _check_model_id(model)
    return model


def _check_arn(arn: re.Match[str]) -> None:
    if arn["kind"] not in (*_STANDALONE_KINDS, "inference-profile", "application-inference-profile"):
        raise ValueError(f"an ARN of kind {arn['kind']!r} is no model that can be conversed with")
    if (arn["account"] is None) != (arn["kind"] == "foundation-model"):
        raise ValueError(f"{arn[0]!r} is no Bedrock model: only foundation models belong to no account")
    if arn["kind"] == "inference-profile" and _split_profile(arn["id"]) is None:
        raise ValueError(f"{arn['id']!r} names no geography: one of {', '.join(_PREFIXES)} comes first")


def _check_model_id(model: str) -> None:
    """Find the part of a model id or inference profile id that Bedrock would not know.

    Only the names of models are taken at their word: Bedrock gets new ones every month.
    """
    profile = _split_profile(model)
    provider, _, name = (profile[1] if profile else model).partition(".")
    behind, separator, _ = name.partition(".")
    if profile is None and provider not in _MODEL_PROVIDERS and separator and behind in _MODEL_PROVIDERS:
        raise ValueError(f"{model!r} names no geography{_meant(provider, _PREFIXES)}")
    if provider in _PREFIXES or not name:
        raise ValueError(f"{model!r} is no Bedrock model id: it needs a provider and a model")
    if provider not in _MODEL_PROVIDERS:
        raise ValueError(
            f"{model!r} is no Bedrock model id: it names no provider of models{_meant(provider, _MODEL_PROVIDERS)}; "
            "name a model of a newer provider by its ARN"
        )
    if not _MODEL_NAME.fullmatch(name):
        raise ValueError(f"{model!r} is no Bedrock model id")


def _meant(word: str, words: Collection[str]) -> str:
    near = difflib.get_close_matches(word.lower(), words, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else f": {', '.join(sorted(words))}"


def model_grants(agent_model: str, *, partition: str, region: str, account: str) -> list[ModelGrant]:
    """Everything a role must be allowed to invoke so that this model answers.

    Args:
        agent_model: As in the configuration: ``bedrock:<model id, profile id or ARN>``.
        partition: AWS partition of the function (``aws``, or a CDK token).
        region: Region of the function (or a CDK token).
        account: Account of the function (or a CDK token).

    Returns:
        One grant per distinct condition.

    Raises:
        ValueError: As :func:`model_id_of`.
    """
    model = model_id_of(agent_model)
    arn = _ARN.fullmatch(model)
    if arn is None:
        if _split_profile(model) is None:
            return [ModelGrant((f"arn:{partition}:bedrock:{region}::foundation-model/{model}",))]
        return _profile_grants(
            f"arn:{partition}:bedrock:{region}:{account}:inference-profile/{model}", partition, region
        )
    if arn["kind"] == "inference-profile":
        return _profile_grants(model, arn["partition"], arn["region"])
    if arn["kind"] == "application-inference-profile":
        # Its ARN does not tell which model it wraps; the condition is what keeps other models out.
        behind = f"arn:{arn['partition']}:bedrock:*::foundation-model/*"
        return [ModelGrant((model,)), ModelGrant((behind,), {"bedrock:InferenceProfileArn": model})]
    return [ModelGrant((model,))]


def _profile_grants(profile_arn: str, partition: str, region: str) -> list[ModelGrant]:
    split = _split_profile(profile_arn.rpartition("inference-profile/")[2])
    if split is None:
        raise ValueError(f"{profile_arn!r} names no geography")
    geography, model = split
    through_profile = {"bedrock:InferenceProfileArn": profile_arn}
    here = f"arn:{partition}:bedrock:{region}::foundation-model/{model}"
    if geography == _GLOBAL:
        # The hop to wherever there is capacity is authorised without a region.
        anywhere = f"arn:{partition}:bedrock:::foundation-model/{model}"
        return [
            ModelGrant((profile_arn,)),
            ModelGrant((here,), through_profile),
            ModelGrant((anywhere,), {**through_profile, "aws:RequestedRegion": "unspecified"}),
        ]
    routed = tuple(f"arn:{partition}:bedrock:{r}::foundation-model/{model}" for r in _GEOGRAPHIES[geography])
    return [ModelGrant((profile_arn,)), ModelGrant((here, *routed), through_profile)]


def _split_profile(model: str) -> tuple[str, str] | None:
    geography, _, rest = model.partition(".")
    if "." in rest and geography in _PREFIXES:
        return geography, rest
    return None
