"""Goes through the keys of a session in order, from any key on, one page of a listing at a time."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_sessions.object_store import ListedObject, ObjectStore

PAGE = 1_000
"""Keys in one listing request."""


class KeyListing:
    """Goes through the keys below a folder, and asks the store only for keys it has not shown yet.

    Args:
        objects: The store.
        folder: The folder, with its trailing slash. A name is the rest of a key after the folder.
    """

    def __init__(self, objects: ObjectStore, folder: str) -> None:
        self._objects = objects
        self._folder = folder
        self._after: str | None = None
        self._shown: list[tuple[str, ListedObject]] = []  # the keys after ``_after`` that the store has listed so far
        self._rest: Iterator[ListedObject] = iter(())

    def behind(self, after: str) -> Iterator[tuple[str, ListedObject]]:
        """The names behind one, in order, and their objects."""
        is_near = self._after is not None and self._after <= after <= (
            self._shown[-1][0] if self._shown else self._after
        )
        if is_near:
            self._shown = [shown for shown in self._shown if shown[0] > after]
        else:
            self._shown = []
            self._rest = self._objects.list(self._folder, start_after=f"{self._folder}{after}" if after else "")
        self._after = after
        number = 0
        while True:
            if number == len(self._shown):
                self._shown += [(entry.key[len(self._folder) :], entry) for entry in islice(self._rest, PAGE)]
            if number == len(self._shown):
                return
            yield self._shown[number]
            number += 1
