"""Which models can be deployed: on Bedrock, by permission, or of another provider, by its key."""

from typing import Final

from infra.policies.bedrock_model import ALLOWED as BEDROCK_ALLOWED
from infra.policies.bedrock_model import PROVIDER as BEDROCK
from infra.policies.bedrock_model import model_id_of

# Each has an extra in pyproject.toml and a lock, requirements/endpoint-<provider>.txt. The names of the keys are those
# in lambda_src/models/providers.py.
_KEYS: Final = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY"}
ALLOWED: Final = (
    BEDROCK_ALLOWED
    + "; "
    + " or ".join(f"`{provider}:<model id>` with `{key}` in `agent_secrets`" for provider, key in _KEYS.items())
)


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
