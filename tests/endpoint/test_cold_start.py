"""What makes a cold start short, and that it changes nothing else."""

import gc
import json
import os
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import UnknownServiceError
from botocore.loaders import Loader

from lambda_src.runtime.service_models import ServiceModels, use_service_models
from lambda_src.turns.first_import import import_agent
from tests.doubles.s3.request_log import LogEntry
from tests.doubles.s3_server import S3Server
from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import Context, Function


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


def test_the_store_is_opened_without_the_collector_which_goes_on_afterwards(
    cold: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = cold.module.endpoint
    enabled: list[bool] = []
    frozen = gc.get_freeze_count()
    open_store = endpoint._open

    def opened() -> Any:
        enabled.append(gc.isenabled())
        return open_store()

    monkeypatch.setattr(endpoint, "_open", opened)

    assert cold.http("GET", "/sessions").status == 200

    assert enabled == [False]
    assert gc.isenabled()
    assert gc.get_freeze_count() == frozen  # a process may open many; garbage that was frozen would never go


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


# --- the first turn of a process ---


@pytest.fixture
def s3() -> Iterator[S3Server]:
    with S3Server(buckets=["sessions"]) as server:
        yield server


@pytest.fixture
def cold(s3: S3Server) -> Function:
    """A function in a new process, which has not imported its agent yet."""
    environment = {**CREDENTIALS, "SESSION_STORE": "s3://sessions/sessions", "AWS_ENDPOINT_URL_S3": s3.url}
    function = Function({**environment, "AGENT_MODEL": "scripted:script"})
    function.models["script"] = ScriptedModel(otherwise="Hello.")
    function.cold_start()
    return function


def while_importing(function: Function, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Have something happen while the first turn imports the agent."""
    builders = function.part("turns.agent_builders")
    find = builders.builder_of

    def look(agent_id: str) -> Any:
        act()
        return find(agent_id)

    monkeypatch.setattr(builders, "builder_of", look)


def is_lease(entry: LogEntry) -> bool:
    return entry.verb == "PUT" and entry.key.endswith("lease.json")


def test_the_lease_is_taken_while_the_agent_is_imported(
    cold: Function, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases: list[bool] = []
    while_importing(
        cold,
        monkeypatch,
        lambda: leases.append(s3.log.wait_for(lambda entries: any(map(is_lease, entries)), within_seconds=20)),
    )

    assert cold.say("Hi").status == 200
    assert leases == [True]


def test_the_first_turn_asks_for_the_base_behind_the_record_and_later_ones_beside_it(
    cold: Function, s3: S3Server
) -> None:
    cold.reply("Hi")
    s3.log.take()
    cold.cold_start()
    s3.set_latency({"GET": 0.2})

    def restored() -> bool:
        """Whether the base was asked for when the record had come."""
        cold.reply("Hi")
        entries = s3.log.take()
        record, base = (
            next(entry for entry in entries if entry.verb == "GET" and entry.key.endswith(name))
            for name in ("agent.json", "history.json")
        )
        return base.started >= record.finished

    assert [restored(), restored()] == [True, False]


def test_an_unknown_agent_begins_no_session_in_a_cold_start_either(
    cold: Function, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offer() -> None:
        cold.part("agent").AGENTS = {"research": print}

    while_importing(cold, monkeypatch, offer)

    answer = cold.say("Hi")

    assert (answer.status, answer.problem) == (404, "not-found")
    assert answer.json["known_agents"] == ["research"]
    assert s3.objects("sessions") == {}


def test_the_time_that_the_import_takes_is_the_turns_time(
    cold: Function, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context(remaining_seconds=60)

    def pass_time() -> None:
        s3.log.wait_for(lambda entries: any(map(is_lease, entries)))
        context.remaining_seconds = 1

    while_importing(cold, monkeypatch, pass_time)

    answer = cold.say("Hi", context=context)

    assert (answer.status, answer.problem) == (504, "out-of-time")
    assert cold.models["script"].requests == []
