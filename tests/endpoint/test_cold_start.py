"""What makes a cold start short, and that it changes nothing else."""

import gc
import json
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from botocore.exceptions import UnknownServiceError
from botocore.loaders import Loader

from lambda_src.runtime.service_models import ServiceModels, use_service_models
from lambda_src.turns.first_import import import_agent


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> botocore.session.Session:
    monkeypatch.setenv("HOME", str(tmp_path))
    session = botocore.session.get_session()
    session.set_config_variable("region", "eu-west-1")
    session.set_credentials("key", "secret")
    return session


@pytest.fixture
def fresh_import() -> Iterator[None]:
    def forget() -> None:
        import_agent.cache_clear()
        gc.unfreeze()

    forget()
    kept = sys.modules.pop("lambda_src.agent", None)
    yield
    forget()
    if kept is not None:
        sys.modules["lambda_src.agent"] = kept


@pytest.mark.parametrize("kind", ["service-2", "endpoint-rule-set-1", "resources-1"])
def test_the_services_found_are_those_that_botocore_finds(kind: str) -> None:
    assert ServiceModels().list_available_services(kind) == Loader().list_available_services(kind)


def test_a_client_is_made_without_looking_into_every_services_folder(
    session: botocore.session.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_service_models(session)
    looked_into: list[str] = []
    listdir = os.listdir

    def watched(path: str) -> list[str]:
        looked_into.append(path)
        return listdir(path)

    monkeypatch.setattr(os, "listdir", watched)

    clients = [session.create_client("s3"), session.create_client("bedrock-runtime")]

    assert [client.meta.service_model.service_name for client in clients] == ["s3", "bedrock-runtime"]
    assert {Path(path).name for path in looked_into} <= {"s3", "bedrock-runtime"}


def test_an_unknown_service_is_refused_with_the_names_of_those_that_exist(session: botocore.session.Session) -> None:
    use_service_models(session)

    with pytest.raises(UnknownServiceError, match="bedrock-runtime"):
        session.create_client("s33")


def test_service_descriptions_of_ones_own_are_found_where_botocore_looks(
    session: botocore.session.Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Given a private service in AWS_DATA_PATH, described as S3 is.
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path / "models"))
    described = Loader().load_service_model("s3", "service-2")
    version = tmp_path / "models" / "parrots" / "2026-01-01"
    version.mkdir(parents=True)
    (version / "service-2.json").write_text(json.dumps(described), encoding="utf-8")

    use_service_models(session)

    assert "parrots" in session.get_available_services()
    assert "ListObjectsV2" in session.get_service_model("parrots").operation_names


@pytest.mark.usefixtures("fresh_import")
def test_the_agent_is_imported_once_and_the_collector_goes_on_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a collector that is watched while the agent is imported.
    enabled_while_importing: list[bool] = []

    class Finder:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == "lambda_src.agent":
                enabled_while_importing.append(gc.isenabled())

    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])

    import_agent()
    import_agent()

    assert enabled_while_importing == [False]
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    assert isinstance(sys.modules["lambda_src.agent"], types.ModuleType)


@pytest.mark.usefixtures("fresh_import")
def test_an_agent_that_cannot_be_imported_says_so_each_time_and_the_collector_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Finder:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == "lambda_src.agent":
                raise ImportError("no such tool")

    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])

    for _ in range(2):
        with pytest.raises(ImportError, match="no such tool"):
            import_agent()

    assert gc.isenabled()
