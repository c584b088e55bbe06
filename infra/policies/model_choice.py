"""Which models can be deployed: on Bedrock, by permission, or of another provider, by its key or its address."""

from collections.abc import Collection
from typing import Final

from .bedrock_model import ALLOWED as BEDROCK_ALLOWED
from .bedrock_model import PROVIDER as BEDROCK
from .bedrock_model import model_id_of

# Each has an extra in pyproject.toml and a lock, requirements/endpoint-<provider>.txt. The names of the keys are those
# in lambda_src/models/providers.py.
_KEYS: Final = {
    "anthropic": "ANTHROPIC_API_KEY",
    "gemini": "GEMINI_API_KEY",
    "litellm": "LITELLM_API_KEY",
    "openai": "OPENAI_API_KEY",
}
# It runs where its user has put it, and asks for no key.
_OLLAMA: Final = "ollama"
_OTHERS: Final = (*_KEYS, _OLLAMA)
ALLOWED: Final = (
    BEDROCK_ALLOWED
    + "; "
    + ", ".join(f"`{provider}:<model id>` with `{key}` in `agent_secrets`" for provider, key in _KEYS.items())
    + f"; or `{_OLLAMA}:<model id>` with `agent_model_url`"
)
URL: Final = r"^https?://[^\s/@?#]+(/[^\s?#]*)?$"
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
    elif provider not in _OTHERS:
        raise ValueError(f"{provider!r} is no provider of models: {', '.join(sorted([BEDROCK, *_OTHERS]))}")
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
    return provider if provider in _OTHERS else None


def problem_with_provider(agent_model: str, *, secrets: Collection[str], url: str | None) -> str | None:
    """What the model's provider lacks, or has that it cannot use, in a sentence; ``None`` if nothing.

    Args:
        agent_model: ``provider:model``, as :func:`check_model` takes it.
        secrets: The names of the agent's secrets.
        url: Where the provider's API is, if that is said.
    """
    key = key_of(agent_model)
    if key is not None and key not in secrets:
        return (
            f"agent_model={agent_model!r}: its provider needs a key; name {key} in `agent_secrets`, such as "
            f'{{"{key}": "secretsmanager:<name>"}}'
        )
    if url is None and agent_model.partition(":")[0] == _OLLAMA:
        return (
            f"agent_model={agent_model!r}: the function has to know where Ollama is; name it in `agent_model_url`, "
            "such as https://ollama.example.com"
        )
    if url is not None and is_on_bedrock(agent_model):
        return f"agent_model_url: Bedrock has an address of its own, and `agent_model` is {agent_model!r}"
    return None


def problem_with_bedrock_options(
    agent_model: str, *, has_guardrail: bool, caches: bool, thinking_tokens: int | None, max_tokens: int | None
) -> str | None:
    """What of Bedrock's is asked for with a model that has it not, in a sentence; ``None`` if nothing."""
    thinks = thinking_tokens is not None
    if not is_on_bedrock(agent_model):
        asked = {"agent_guardrail_id": has_guardrail, "agent_prompt_caching": caches, "agent_thinking_tokens": thinks}
        for key, is_asked in asked.items():
            if is_asked:
                return f"{key}: only models on Bedrock have it, and `agent_model` is {agent_model!r}"
    elif thinks and ":arn:" not in agent_model and "anthropic." not in agent_model:
        return f"agent_thinking_tokens: only Anthropic's models have it, and `agent_model` is {agent_model!r}"
    # Anthropic: "budget_tokens must be less than max_tokens".
    if thinking_tokens is not None and max_tokens is not None and thinking_tokens >= max_tokens:
        return (
            f"agent_thinking_tokens={thinking_tokens}: thinking is a part of the answer; allowed: less than "
            f"`agent_max_tokens` ({max_tokens})"
        )
    return None
