"""What is held to the contract: this kit's repositories and managers, a custom repository, and Strands' own."""

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
from mypy_boto3_s3 import S3Client

from tests.contract.places import BucketPlace, FolderPlace, Place

#: Every subject; the contract they share.
ALL: Final = ("file", "s3", "s3-kms", "custom", "strands-file", "strands-s3")
#: This kit's; what Strands' managers do not promise.
OURS: Final = ("file", "s3", "s3-kms", "custom")
#: This kit's with records that can be seen from outside.
OURS_STORED: Final = ("file", "s3", "s3-kms")
#: Every manager an agent can have; this kit's in both durability modes.
MANAGERS: Final = (*ALL, "file-turn", "s3-turn")
#: This kit's managers.
OUR_MANAGERS: Final = (*OURS, "file-turn", "s3-turn")
#: This kit's managers with records that can be seen from outside.
OUR_STORED_MANAGERS: Final = (*OURS_STORED, "file-turn", "s3-turn")
#: This kit's on S3.
OURS_S3: Final = ("s3", "s3-kms")


class OneClientSession:
    """Stands where a ``boto3.Session`` is asked for and hands out one client: making one takes 50 ms."""

    def __init__(self, client: S3Client) -> None:
        self._client = client

    def client(self, *args: Any, **kwargs: Any) -> S3Client:
        return self._client


@dataclass
class Subject:
    """One implementation under test, over one empty place.

    Attributes:
        name: One of :data:`ALL`.
        place: The records from outside; ``None`` for the custom repository, which has no keys.
        options: Keyword arguments for every manager, such as a folder or a client.
    """

    name: str
    place: Place | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        """Whether it is this kit's."""
        return not self.name.startswith("strands-")

    @property
    def types(self) -> ModuleType:
        """The module with ``Session``, ``SessionAgent`` and ``SessionMessage``."""
        return import_module("agent_sessions.types" if self.is_ours else "strands.types.session")

    @property
    def session_exception(self) -> type[Exception]:
        """The base of what it raises."""
        module = import_module("agent_sessions.exceptions" if self.is_ours else "strands.types.exceptions")
        found: type[Exception] = module.SessionException
        return found

    @property
    def stored(self) -> Place:
        """The records from outside, for subjects that have keys."""
        assert self.place is not None
        return self.place

    def manager(self, session_id: str = "conversation", **options: Any) -> Any:
        """A new manager over the same place, as another process would make it."""
        return self._manager_class()(session_id, **self.options | options)

    def repository(self) -> Any:
        """The repository behind the managers."""
        return self.options["session_repository"] if self.name == "custom" else self.manager("the-repository-itself")

    def _manager_class(self) -> Any:
        package = "agent_sessions" if self.is_ours else "strands.session"
        kind = self.name.removeprefix("strands-")
        if kind == "custom":
            return import_module(f"{package}.repository_session_manager").RepositorySessionManager
        module, name = {
            "file": ("file_session_manager", "FileSessionManager"),
            "s3": ("s3_session_manager", "S3SessionManager"),
        }[kind.partition("-")[0]]
        return getattr(import_module(f"{package}.{module}"), name)


def file_subject(name: str, folder: Path) -> Subject:
    """A subject over a folder."""
    return Subject(name, FolderPlace(folder), {"storage_dir": str(folder)} | _durability(name))


def s3_subject(name: str, client: S3Client, bucket: str, prefix: str = "") -> Subject:
    """A subject over a bucket."""
    session = {"boto_session": OneClientSession(client)} if name.startswith("strands-") else {"client": client}
    place = BucketPlace(client, bucket, f"{prefix.strip('/')}/".lstrip("/"))
    return Subject(name, place, {"bucket": bucket, "prefix": prefix} | session | _durability(name))


def _durability(name: str) -> dict[str, str]:
    return {"durability": "turn"} if name.endswith("-turn") else {}


def custom_subject() -> Subject:
    """A subject over a dictionary."""
    from tests.contract.dict_repository import DictRepository

    return Subject("custom", None, {"session_repository": DictRepository()})


class OfEachSubject:
    """Holds each implementation to a capability of ``agent_sessions.conformance``, Strands' own included."""

    @pytest.fixture
    def repository(self, subject: Subject) -> Any:
        return subject.repository()

    @pytest.fixture
    def types(self, subject: Subject) -> ModuleType:
        return subject.types

    @pytest.fixture
    def session_exception(self, subject: Subject) -> type[Exception]:
        return subject.session_exception


class OfEachOfOurs:
    """Holds each repository of this kit to a capability that Strands' own do not promise."""

    @pytest.fixture
    def repository(self, ours: Subject) -> Any:
        return ours.repository()
