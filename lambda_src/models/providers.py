"""Which models an agent can be given, by the provider's name in ``AGENT_MODEL=provider:model``.

A runner may add providers of its own before the settings are read:

    MODEL_PROVIDERS["offline"] = lambda model_id, settings: OfflineModel(model_id)

Each imports its SDK when it is asked for a model, so that only the provider in use costs time.
"""

from __future__ import annotations

import os
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from lambda_src.runtime import aws
from lambda_src.secrets import secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from strands.models import Model

    from lambda_src.settings import Settings

MODEL_READ_TIMEOUT_SECONDS = 120
ANTHROPIC_MAX_TOKENS = 8192
"""The longest answer. Anthropic's API has no default; all models since Claude 3.5 take this."""


def bedrock(model_id: str, settings: Settings) -> Model:
    """A model on Amazon Bedrock, over the boto3 session that the store uses too."""
    return _bedrock(
        model_id,
        settings.agent_model_attempts,
        settings.agent_guardrail_id,
        settings.agent_guardrail_version,
        caching=settings.agent_prompt_caching,
        thinking_tokens=settings.agent_thinking_tokens,
    )


@lru_cache(maxsize=4)
def _bedrock(
    model_id: str,
    attempts: int,
    guardrail_id: str | None,
    guardrail_version: str,
    *,
    caching: bool,
    thinking_tokens: int | None,
) -> Model:
    # Kept between invocations: it holds configuration and an HTTP client, nothing of a conversation.
    from botocore.config import Config
    from strands.models import BedrockModel

    options: dict[str, Any] = {}
    if guardrail_id is not None:
        options |= {"guardrail_id": guardrail_id, "guardrail_version": guardrail_version}
    if caching:
        from strands.models import CacheConfig

        options["cache_config"] = CacheConfig(strategy="auto")
    if thinking_tokens is not None:
        thinking = {"type": "enabled", "budget_tokens": thinking_tokens}
        options["additional_request_fields"] = {"thinking": thinking}
    return BedrockModel(
        boto_session=aws.boto_session(),
        boto_client_config=Config(
            retries={"mode": "standard", "total_max_attempts": attempts}, read_timeout=MODEL_READ_TIMEOUT_SECONDS
        ),
        model_id=model_id,
        **options,
    )


def openai(model_id: str, settings: Settings) -> Model:
    """A model of OpenAI's API, or of a compatible one at OPENAI_BASE_URL."""
    from strands.models.openai import OpenAIModel

    return OpenAIModel(client_args=_client_args("openai", settings), model_id=model_id)


def anthropic(model_id: str, settings: Settings) -> Model:
    """A model of Anthropic's API, or of a compatible one at ANTHROPIC_BASE_URL."""
    from strands.models.anthropic import AnthropicModel

    return AnthropicModel(
        client_args=_client_args("anthropic", settings), model_id=model_id, max_tokens=ANTHROPIC_MAX_TOKENS
    )


def _client_args(provider: str, settings: Settings) -> dict[str, Any]:
    # The key is asked for in every turn, so that a replaced one is used within five minutes.
    return {
        "api_key": secret(PROVIDER_KEYS[provider]),
        "max_retries": settings.agent_model_attempts - 1,
        "timeout": MODEL_READ_TIMEOUT_SECONDS,
    }


def ollama(model_id: str, settings: Settings) -> Model:  # noqa: ARG001 - every provider is called alike
    """A model served by Ollama at OLLAMA_HOST, by default on this machine."""
    from strands.models.ollama import OllamaModel

    return OllamaModel(os.environ.get("OLLAMA_HOST", "http://localhost:11434"), model_id=model_id)


MODEL_PROVIDERS: dict[str, Callable[[str, Settings], Model]] = {
    "anthropic": anthropic,
    "bedrock": bedrock,
    "ollama": ollama,
    "openai": openai,
}
PROVIDER_PACKAGES = {"anthropic": "anthropic", "ollama": "ollama", "openai": "openai"}
"""The optional package each provider imports; those not listed need nothing more."""

PROVIDER_KEYS = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY"}
"""The secret that a provider asks for; those not listed need none."""


def build_model(settings: Settings) -> Model:
    """The model that ``AGENT_MODEL`` names."""
    provider, _, model_id = settings.agent_model.partition(":")
    return MODEL_PROVIDERS[provider](model_id, settings)


def prime_model(settings: Settings) -> None:
    """Do once, before a snapshot, what every process would do for its first model. A snapshot holds no key."""
    provider = settings.agent_model.partition(":")[0]
    if provider in PROVIDER_KEYS:
        import_module(f"strands.models.{provider}")
    else:
        build_model(settings)


aws.on_restore(_bedrock.cache_clear)
