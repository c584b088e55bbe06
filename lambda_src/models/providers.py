"""Which models an agent can be given, by the provider's name in ``AGENT_MODEL=provider:model``.

A runner may add providers of its own before the settings are read:

    MODEL_PROVIDERS["offline"] = lambda model_id, settings: OfflineModel(model_id)

Each imports its SDK when it is asked for a model, so that only the provider in use costs time.
"""

from __future__ import annotations

import os
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from lambda_src.runtime import aws
from lambda_src.secrets import has_secret, secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from strands.models import Model
    from strands.models.litellm import LiteLLMModel

    from lambda_src.settings import Settings

MODEL_READ_TIMEOUT_SECONDS = 120
ANTHROPIC_MAX_TOKENS = 8192
"""The longest answer unless ``AGENT_MAX_TOKENS`` says another. Anthropic's API wants a number; all its models since
Claude 3.5 take this one. The other providers have a limit of their own for each model."""


def bedrock(model_id: str, settings: Settings) -> Model:
    """A model on Amazon Bedrock, over the boto3 session that the store uses too."""
    return _bedrock(
        model_id,
        settings.agent_model_attempts,
        settings.agent_guardrail_id,
        settings.agent_guardrail_version,
        caching=settings.agent_prompt_caching,
        thinking_tokens=settings.agent_thinking_tokens,
        max_tokens=settings.agent_max_tokens,
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
    max_tokens: int | None,
) -> Model:
    # Kept between invocations: it holds configuration and an HTTP client, nothing of a conversation.
    from botocore.config import Config
    from strands.models import BedrockModel

    options: dict[str, Any] = _if_set("max_tokens", max_tokens)
    if guardrail_id is not None:
        options |= {"guardrail_id": guardrail_id, "guardrail_version": guardrail_version}
    if caching:
        from strands.models import CacheConfig

        options["cache_config"] = CacheConfig(strategy="auto")
    if thinking_tokens is not None:
        thinking = {"type": "enabled", "budget_tokens": thinking_tokens}
        options["additional_request_fields"] = {"thinking": thinking}
    model = BedrockModel(
        boto_session=aws.boto_session(),
        boto_client_config=Config(
            retries={"mode": "standard", "total_max_attempts": attempts}, read_timeout=MODEL_READ_TIMEOUT_SECONDS
        ),
        model_id=model_id,
        **options,
    )
    aws.share_authorities(model.client)
    return model


def openai(model_id: str, settings: Settings) -> Model:
    """A model of OpenAI's API, or of a compatible one at AGENT_MODEL_URL (or OPENAI_BASE_URL)."""
    from strands.models.openai import OpenAIModel

    return OpenAIModel(
        client_args=_client_args("openai", settings),
        model_id=model_id,
        # The older name, max_tokens, is refused by models that reason.
        params=_if_set("max_completion_tokens", settings.agent_max_tokens),
    )


def anthropic(model_id: str, settings: Settings) -> Model:
    """A model of Anthropic's API, or of a compatible one at AGENT_MODEL_URL (or ANTHROPIC_BASE_URL)."""
    from strands.models.anthropic import AnthropicModel

    return AnthropicModel(
        client_args=_client_args("anthropic", settings),
        model_id=model_id,
        max_tokens=settings.agent_max_tokens or ANTHROPIC_MAX_TOKENS,
    )


def gemini(model_id: str, settings: Settings) -> Model:
    """A model of Google's Gemini API, or of a compatible one at AGENT_MODEL_URL (or GOOGLE_GEMINI_BASE_URL)."""
    from lambda_src.models.gemini_model import GeminiModel

    options = {
        "timeout": MODEL_READ_TIMEOUT_SECONDS * 1000,
        "retry_options": {"attempts": settings.agent_model_attempts},
        **_if_set("base_url", settings.agent_model_url),
    }
    return GeminiModel(
        client_args={"api_key": secret(PROVIDER_KEYS["gemini"]), "http_options": options},
        model_id=model_id,
        params=_if_set("max_output_tokens", settings.agent_max_tokens),
    )


def litellm(model_id: str, settings: Settings) -> Model:
    """A model of any API that LiteLLM knows (``litellm:mistral/mistral-small-latest``), at AGENT_MODEL_URL if set."""
    return _litellm_model()(
        client_args=_client_args("litellm", settings),
        model_id=model_id,
        params=_if_set("max_tokens", settings.agent_max_tokens),
    )


def _litellm_model() -> type[LiteLLMModel]:
    # Otherwise LiteLLM fetches a list of prices from the internet when it is imported.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm as sdk
    from strands.models.litellm import LiteLLMModel

    sdk.suppress_debug_info = True  # it would print advice beside every error
    return LiteLLMModel


def ollama(model_id: str, settings: Settings) -> Model:
    """A model served by Ollama at AGENT_MODEL_URL (or OLLAMA_HOST), by default on this machine.

    Its client asks once, whatever AGENT_MODEL_ATTEMPTS says.
    """
    from strands.models.ollama import OllamaModel

    key = {"headers": {"authorization": f"Bearer {secret(OLLAMA_KEY)}"}} if has_secret(OLLAMA_KEY) else {}
    return OllamaModel(
        settings.agent_model_url or os.environ.get("OLLAMA_HOST") or "http://localhost:11434",
        ollama_client_args={"timeout": MODEL_READ_TIMEOUT_SECONDS, **key},
        model_id=model_id,
        **_if_set("max_tokens", settings.agent_max_tokens),
    )


def _client_args(provider: str, settings: Settings) -> dict[str, Any]:
    # The key is asked for in every turn, so that a replaced one is used within five minutes.
    return {
        "api_key": secret(PROVIDER_KEYS[provider]),
        "max_retries": settings.agent_model_attempts - 1,
        "timeout": MODEL_READ_TIMEOUT_SECONDS,
        **_if_set("base_url", settings.agent_model_url),
    }


def _if_set(name: str, value: Any) -> dict[str, Any]:
    return {} if value is None else {name: value}


MODEL_PROVIDERS: dict[str, Callable[[str, Settings], Model]] = {
    "anthropic": anthropic,
    "bedrock": bedrock,
    "gemini": gemini,
    "litellm": litellm,
    "ollama": ollama,
    "openai": openai,
}
PROVIDER_PACKAGES = {
    "anthropic": "anthropic",
    "gemini": "google.genai",
    "litellm": "litellm",
    "ollama": "ollama",
    "openai": "openai",
}
"""The optional package each provider imports; those not listed need nothing more."""

PROVIDER_KEYS = {
    "anthropic": "ANTHROPIC_API_KEY",
    "gemini": "GEMINI_API_KEY",
    "litellm": "LITELLM_API_KEY",
    "openai": "OPENAI_API_KEY",
}
"""The secret that a provider asks for; those not listed need none."""

OLLAMA_KEY = "OLLAMA_API_KEY"
"""A secret that Ollama, or what stands in front of it, is shown if there is one."""


def is_installed(provider: str) -> bool:
    """Whether the optional package that a provider imports is there."""
    package = PROVIDER_PACKAGES.get(provider)
    try:
        return package is None or find_spec(package) is not None
    except ModuleNotFoundError:  # what it is a part of is missing
        return False


def build_model(settings: Settings) -> Model:
    """The model that ``AGENT_MODEL`` names."""
    provider, _, model_id = settings.agent_model.partition(":")
    return MODEL_PROVIDERS[provider](model_id, settings)


def prime_model(settings: Settings) -> None:
    """Do once, before a snapshot, what every process would do for its first model. A snapshot holds no key."""
    provider = settings.agent_model.partition(":")[0]
    if provider == "litellm":
        _litellm_model()
    elif provider in PROVIDER_PACKAGES:
        import_module(f"strands.models.{provider}")
    else:
        build_model(settings)


aws.on_restore(_bedrock.cache_clear)
