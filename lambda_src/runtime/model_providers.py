"""The name under which agents written for an earlier kit import ``lambda_src.models.providers``."""

from lambda_src.models.providers import MODEL_PROVIDERS, build_model

__all__ = ["MODEL_PROVIDERS", "build_model"]
