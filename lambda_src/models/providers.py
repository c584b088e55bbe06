"""Which models an agent can be given, by the provider's name in ``AGENT_MODEL=provider:model``.

A runner may add providers of its own before the settings are read:

    MODEL_PROVIDERS["offline"] = lambda model_id, settings: OfflineModel(model_id)

Each imports its SDK when it is asked for a model, so that only the provider in use costs time.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING

from lambda_src.runtime import aws

if TYPE_CHECKING:
    from collections.abc import Callable

    from strands.models import Model

    from lambda_src.settings import Settings

BEDROCK_READ_TIMEOUT_SECONDS = 120


def bedrock(model_id: str, settings: Settings) -> Model:
    """A model on Amazon Bedrock, over the boto3 session that the store uses too."""
    return _bedrock(model_id, settings.agent_model_attempts)


@lru_cache(maxsize=4)
def _bedrock(model_id: str, attempts: int) -> Model:
    # Kept between invocations: it holds configuration and an HTTP client, nothing of a conversation.
    from botocore.config import Config
    from strands.models import BedrockModel

    return BedrockModel(
        boto_session=aws.boto_session(),
        boto_client_config=Config(
            retries={"mode": "standard", "total_max_attempts": attempts}, read_timeout=BEDROCK_READ_TIMEOUT_SECONDS
        ),
        model_id=model_id,
    )


def openai(model_id: str, settings: Settings) -> Model:  # noqa: ARG001 - every provider is called alike
    """A model of OpenAI's API, or of a compatible one; the SDK reads OPENAI_API_KEY and OPENAI_BASE_URL."""
    from strands.models.openai import OpenAIModel

    return OpenAIModel(model_id=model_id)


def ollama(model_id: str, settings: Settings) -> Model:  # noqa: ARG001 - every provider is called alike
    """A model served by Ollama at OLLAMA_HOST, by default on this machine."""
    from strands.models.ollama import OllamaModel

    return OllamaModel(os.environ.get("OLLAMA_HOST", "http://localhost:11434"), model_id=model_id)


MODEL_PROVIDERS: dict[str, Callable[[str, Settings], Model]] = {"bedrock": bedrock, "openai": openai, "ollama": ollama}
PROVIDER_PACKAGES = {"openai": "openai", "ollama": "ollama"}
"""The optional package each provider imports; those not listed need nothing more."""


def build_model(settings: Settings) -> Model:
    """The model that ``AGENT_MODEL`` names."""
    provider, _, model_id = settings.agent_model.partition(":")
    return MODEL_PROVIDERS[provider](model_id, settings)


aws.on_restore(_bedrock.cache_clear)
