"""Which models can be deployed: on Bedrock, by permission, or of another provider, by its key."""

from typing import Final

from .bedrock_model import ALLOWED as BEDROCK_ALLOWED
from .bedrock_model import PROVIDER as BEDROCK
from .bedrock_model import model_id_of

# Each has an extra in pyproject.toml and a lock, requirements/endpoint-<provider>.txt. The names of the keys are those
# in lambda_src/models/providers.py.
_KEYS: Final = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY"}
ALLOWED: Final = (
    BEDROCK_ALLOWED
    + "; "
    + " or ".join(f"`{provider}:<model id>` with `{key}` in `agent_secrets`" for provider, key in _KEYS.items())
)
# Amazon Bedrock API reference, ApplyGuardrail: guardrailIdentifier.
GUARDRAIL: Final = r"^([a-z0-9]+|arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:[0-9]{12}:guardrail/[a-z0-9]+)$"


def check_model(agent_model: str) -> None:
    """Check that a model can be deployed.

    Args:
        agent_model: ``provider:model``.

    Raises:
        ValueError: The provider is unknown, or the rest cannot be a model's id.
    """
    provider, _, model = agent_model.partition(":")
    if provider == BEDROCK:
        model_id_of(agent_model)
    elif provider not in _KEYS:
        raise ValueError(f"{provider!r} is no provider of models: {', '.join(sorted([BEDROCK, *_KEYS]))}")
    elif not model or model != model.strip():
        raise ValueError("it names no model")


def is_on_bedrock(agent_model: str) -> bool:
    """Whether Bedrock answers, so that the function's role needs leave."""
    return agent_model.partition(":")[0] == BEDROCK


def key_of(agent_model: str) -> str | None:
    """The secret that the model's provider asks for, if it asks for one."""
    return _KEYS.get(agent_model.partition(":")[0])


def package_of(agent_model: str) -> str | None:
    """The extra, and the part of a lock's name, of the model's provider; ``None`` for what is there anyway."""
    provider = agent_model.partition(":")[0]
    return provider if provider in _KEYS else None


def problem_with_bedrock_options(agent_model: str, *, has_guardrail: bool, caches: bool, thinks: bool) -> str | None:
    """What of Bedrock's is asked for with a model that has it not, in a sentence; ``None`` if nothing."""
    if not is_on_bedrock(agent_model):
        asked = {"agent_guardrail_id": has_guardrail, "agent_prompt_caching": caches, "agent_thinking_tokens": thinks}
        for key, is_asked in asked.items():
            if is_asked:
                return f"{key}: only models on Bedrock have it, and `agent_model` is {agent_model!r}"
    elif thinks and ":arn:" not in agent_model and "anthropic." not in agent_model:
        return f"agent_thinking_tokens: only Anthropic's models have it, and `agent_model` is {agent_model!r}"
    return None
