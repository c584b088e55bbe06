"""An object that takes another one's place and does one thing differently."""

from typing import Any


class StandIn:
    """Behaves as the object it stands for, except for what a subclass does differently.

    The object itself is not touched: a model or a tool may serve several turns at once.

    Args:
        original: The object it stands for.
    """

    def __init__(self, original: Any) -> None:
        object.__setattr__(self, "_original", original)

    @property  # type: ignore[misc] # only ever read
    def __class__(self) -> Any:
        """The original's class, which is what ``isinstance`` asks for."""
        return type(object.__getattribute__(self, "_original"))

    def __getattr__(self, name: str) -> Any:
        """The original answers for every attribute that the subclass does not define."""
        return getattr(object.__getattribute__(self, "_original"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set the attribute on the original."""
        setattr(object.__getattribute__(self, "_original"), name, value)
