"""The deployment: one construct a capability, one typed configuration, and the stack of this repository's own app.

Other apps have the constructs from the wheel, where this package is called ``agent_session_kit_cdk``::

    from agent_session_kit_cdk import AgentEndpoint, KitConfig

It is one source under two names: therefore what is shipped imports its neighbours relatively. The stack and most
commands are for this repository, and are not shipped.

Importing this package imports nothing else: a name's module is imported when the name is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import ConfigError, KitConfig, load_config
    from .constructs.agent_endpoint import AgentEndpoint
    from .constructs.runtime_layer import RuntimeLayer
    from .constructs.session_bucket import SessionBucket
    from .constructs.session_layer import SessionLayer
    from .packaging.runtime_layer_build import LayerTarget
    from .packaging.shipped_files import PackageError
    from .policies.agent_policy import AgentPolicyError

_MODULES = {
    "AgentEndpoint": "constructs.agent_endpoint",
    "AgentPolicyError": "policies.agent_policy",
    "ConfigError": "config",
    "KitConfig": "config",
    "LayerTarget": "packaging.runtime_layer_build",
    "PackageError": "packaging.shipped_files",
    "RuntimeLayer": "constructs.runtime_layer",
    "SessionBucket": "constructs.session_bucket",
    "SessionLayer": "constructs.session_layer",
    "load_config": "config",
}
_OF_THE_EXTRA = ("aws_cdk", "constructs", "pydantic")

__all__ = [
    "AgentEndpoint",
    "AgentPolicyError",
    "ConfigError",
    "KitConfig",
    "LayerTarget",
    "PackageError",
    "RuntimeLayer",
    "SessionBucket",
    "SessionLayer",
    "load_config",
]


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{module}"), name)
    except ModuleNotFoundError as error:
        if error.name in _OF_THE_EXTRA:
            raise ImportError(
                f"{__name__}.{name} needs {error.name}, which is not installed: pip install 'agent-session-kit[cdk]'"
            ) from error
        raise


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
