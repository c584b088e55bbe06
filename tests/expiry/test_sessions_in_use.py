"""A session in use never loses a byte, whatever its rhythm; one that was not used is gone whole."""

from collections.abc import Callable
from typing import Any

import pytest
from strands.agent.conversation_manager import SummarizingConversationManager

from agent_sessions.exceptions import SessionNotFoundError, SessionStorageError
from agent_sessions.expiry import lifecycle_days, renewal_days, slack_days
from tests.contract.orchestra import build_graph
from tests.doubles.s3_server import Fault
from tests.doubles.scripted_model import ScriptedModel
from tests.expiry.world import DAY, HOUR, PREFIX, WINDOW, Bucket, exchange, texts


def test_daily_use_keeps_everything_for_ever(bucket: Bucket) -> None:
    prompts = [f"Day {day}" for day in range(16)]
    for number, prompt in enumerate(prompts):
        agent = bucket.agent()
        assert texts(agent) == exchange(*prompts[:number])
        agent(prompt)
        bucket.wait(DAY)

    assert bucket.said() == exchange(*prompts)


@pytest.mark.parametrize("ttl", [0.5, 1, 2.5, 4, 7, 30])
def test_use_just_in_time_keeps_everything(bucket: Bucket, ttl: float) -> None:
    bucket.deploy(ttl)
    prompts = [f"Turn {number}" for number in range(8)]
    for number, prompt in enumerate(prompts):
        bucket.turn(prompt)
        assert max(bucket.ages().values()) < renewal_days(ttl)
        bucket.wait(ttl * DAY, rule_runs=number % 3 != 1)

    assert texts(bucket.agent()) == bucket.said() == exchange(*prompts)


def test_uneven_use_of_several_agents_keeps_the_one_that_is_silent(bucket: Bucket) -> None:
    bucket.turn("Remember me", agent_id="silent")
    for hours in (1, 100, 30, 160, 5, 90, 167, 2, 120):
        bucket.wait(hours * HOUR)
        bucket.turn("Still here", agent_id="busy")

    assert texts(bucket.agent(agent_id="silent")) == exchange("Remember me", agent_id="silent")
    assert len(bucket.said(agent_id="busy")) == 18


def test_a_sliding_window_slides_over_what_was_said_and_all_of_it_stays(bucket: Bucket) -> None:
    prompts = [f"Turn {number}" for number in range(12)]
    for number, prompt in enumerate(prompts):
        agent = bucket.agent(agent_id="windowed")
        assert texts(agent) == exchange(*prompts[:number], agent_id="windowed")[-WINDOW:]
        agent(prompt)
        bucket.wait(2 * DAY)

    assert bucket.said(agent_id="windowed") == exchange(*prompts, agent_id="windowed")


def test_a_summary_lasts_as_long_as_its_session(bucket: Bucket) -> None:
    manager: Any = SummarizingConversationManager(
        summary_ratio=0.5,
        preserve_recent_messages=2,
        summarization_agent=bucket.agent(session_manager=bucket.manager("other"), agent_id="summariser"),
    )
    agent = bucket.agent(conversation_manager=manager)
    for number in range(4):
        agent(f"Turn {number}")
    manager.reduce_context(agent)
    agent("After the summary")
    before = texts(agent)

    for _ in range(6):
        bucket.wait(5 * DAY)
        bucket.turn("Elsewhere", agent_id="busy")
    restored = bucket.agent(conversation_manager=SummarizingConversationManager(preserve_recent_messages=2))

    assert texts(restored) == before
    assert len(before) < 10
    assert len(bucket.said()) == 10


def test_a_resident_agent_takes_part_in_the_life_of_its_session(bucket: Bucket) -> None:
    resident = bucket.agent()
    prompts = [f"Turn {number}" for number in range(8)]
    for prompt in prompts:
        resident(prompt)
        bucket.wait(6 * DAY)

    assert texts(bucket.agent()) == exchange(*prompts)


def test_a_resident_agent_that_was_idle_for_too_long_does_not_bring_its_session_back(bucket: Bucket) -> None:
    resident = bucket.turn("Once")
    bucket.wait(7 * DAY + 1, rule_runs=False)

    with pytest.raises(SessionNotFoundError, match="expired"):
        resident("Again")

    with pytest.raises(SessionNotFoundError):
        bucket.said()
    assert texts(bucket.agent()) == []


def test_a_resident_agent_does_not_disturb_the_life_that_followed(bucket: Bucket) -> None:
    resident = bucket.turn("Once")
    bucket.wait(7 * DAY + 1, rule_runs=False)
    bucket.turn("Anew")

    with pytest.raises(SessionNotFoundError):
        resident("Again")

    bucket.turn("And on")
    assert bucket.said() == exchange("Anew", "And on")


def test_a_resident_agent_learns_that_another_agent_kept_the_session_alive(bucket: Bucket) -> None:
    resident = bucket.turn("Once")
    for _ in range(3):
        bucket.wait(6 * DAY)
        bucket.turn("Meanwhile", agent_id="busy")
    bucket.wait(6 * DAY)

    resident("Again")

    assert bucket.said() == exchange("Once", "Again")


def test_an_orchestrator_lasts_while_it_is_used_and_ends_with_its_session(bucket: Bucket) -> None:
    for day in range(6):
        graph = build_graph(bucket.manager("graph"), [])
        graph(f"Day {day}")
        assert max(bucket.ages("graph").values()) < renewal_days(7)
        bucket.wait(6 * DAY)
    assert bucket.store.describe("graph").expires_at is not None

    bucket.wait(2 * DAY)
    with pytest.raises(SessionNotFoundError):
        bucket.store.describe("graph")


def test_a_session_unused_for_the_ttl_is_gone_to_the_second_and_whole(bucket: Bucket) -> None:
    bucket.turn("Hello")
    bucket.wait(7 * DAY, rule_runs=False)
    assert bucket.said() == exchange("Hello")

    bucket.wait(1, rule_runs=False)

    for read in (lambda: bucket.store.describe("chat"), lambda: bucket.store.messages("chat")):
        with pytest.raises(SessionNotFoundError):
            read()
    assert bucket.store.sessions().session_ids == ()
    assert bucket.manager("other").read_session("chat") is None


def test_the_next_use_of_an_expired_id_begins_anew_and_removes_what_is_left(bucket: Bucket) -> None:
    for number in range(3):
        bucket.turn(f"Turn {number}", agent_id="old")
    bucket.wait(8 * DAY, rule_runs=False)

    fresh = bucket.turn("Fresh")

    assert texts(fresh) == exchange("Fresh")
    assert set(bucket.ages()) == {
        "session.json",
        "agents/agent_default/agent.json",
        "agents/agent_default/messages/message_0.json",
        "agents/agent_default/messages/message_1.json",
    }
    assert bucket.store.sessions().session_ids == ("chat",)


def test_reading_is_no_use(bucket: Bucket) -> None:
    bucket.turn("Hello")
    for _ in range(7):
        bucket.wait(DAY - HOUR)
        bucket.said()
        bucket.store.describe("chat")
        bucket.store.sessions()
        bucket.agent()
    described = bucket.store.describe("chat")

    assert described.expires_at == "2026-03-08T15:30:00+00:00"
    assert described.last_used_at == "2026-03-01T15:30:00+00:00"
    bucket.wait(8 * HOUR)
    with pytest.raises(SessionNotFoundError):
        bucket.said()


def test_a_session_is_created_directly_where_one_has_expired(bucket: Bucket) -> None:
    from agent_sessions.exceptions import SessionExistsError
    from agent_sessions.types import Session, SessionType

    bucket.turn("Hello")
    repository = bucket.manager("other")
    with pytest.raises(SessionExistsError):
        repository.create_session(Session("chat", SessionType.AGENT))
    bucket.wait(8 * DAY, rule_runs=False)

    repository.create_session(Session("chat", SessionType.AGENT))

    assert set(bucket.ages()) == {"session.json"}


# --- renewal: its price, its failures ---


def test_a_renewal_costs_a_read_and_a_write_per_object_once_per_half_slack(bucket: Bucket) -> None:
    for number in range(20):
        bucket.turn(f"Turn {number}")
    bucket.wait(DAY)  # after which objects are due, of a session that lives for seven days
    _requests(bucket, "The first one confirms what the last turn wrote last", renewing=False)
    usual = _requests(bucket, "Usual", renewing=False)
    names = len(bucket.ages())

    renewing = _requests(bucket, "Renewing", renewing=True)
    after = _requests(bucket, "Usual again", renewing=False)

    assert usual == after
    assert renewing["LIST"] == usual["LIST"] + 1
    # Every object there was, the session's own record last. The agent's record is written at the end of the turn
    # anyway: which of the two comes first differs, and the turn's write is repeated when the renewal was faster.
    assert names - 1 <= renewing["PUT"] - usual["PUT"] <= names + 1
    assert names - 1 <= renewing["GET"] - usual["GET"] <= names + 1


def _requests(bucket: Bucket, prompt: str, *, renewing: bool) -> dict[str, int]:
    if not renewing:
        bucket.s3.clock.advance(-DAY)
    bucket.s3.log.take()
    bucket.turn(prompt, session_manager=bucket.manager(durability="message"))
    counts = bucket.s3.log.counts()
    if not renewing:
        bucket.s3.clock.advance(DAY)
    return {verb: counts.get(verb, 0) for verb in ("GET", "PUT", "LIST", "DELETE")}


@pytest.mark.parametrize("verb", ["GET", "PUT"])
def test_a_renewal_that_fails_is_made_up_for_by_the_next_turn(bucket: Bucket, verb: str) -> None:
    bucket.turn("One")
    bucket.wait(1.5 * DAY)
    bucket.s3.faults.add(Fault("error", verb=verb, key="*message_0.json", code="AccessDenied"))

    bucket.turn("Two")  # the objects are young enough for a warning
    assert max(bucket.ages().values()) == 1.5
    bucket.turn("Three")

    assert max(bucket.ages().values()) == 0
    assert bucket.said() == exchange("One", "Two", "Three")


@pytest.mark.parametrize("key", ["*message_0.json", "*session.json", f"{PREFIX}/session_chat/"])
def test_when_the_objects_have_the_age_of_the_slack_a_turn_does_not_succeed_without_renewal(
    bucket: Bucket, key: str
) -> None:
    verb = "LIST" if key.endswith("/") else "PUT"
    bucket.turn("One")
    bucket.wait(5 * DAY)
    fault = Fault("error", verb=verb, key=key, code="AccessDenied", times=None)
    bucket.s3.faults.add(fault)
    bucket.turn("Two")  # the objects are young enough for a warning
    bucket.wait((slack_days(7) - 5) * DAY)

    with pytest.raises(SessionStorageError):
        bucket.turn("Three")
    bucket.s3.faults.clear()
    bucket.turn("Four")

    assert max(bucket.ages().values()) == 0
    assert bucket.said()[:4] == exchange("One", "Two")
    assert bucket.said()[-2:] == exchange("Four")


@pytest.mark.parametrize("nth", range(1, 9))
def test_a_crash_in_the_middle_of_a_renewal_leaves_it_to_be_repeated(bucket: Bucket, nth: int) -> None:
    for number in range(3):
        bucket.turn(f"Turn {number}")
    bucket.wait(1.9 * DAY)
    bucket.s3.faults.add(Fault("drop", verb="PUT", nth=nth, times=None, applied=nth % 2 == 0))
    try:
        bucket.turn("Crash")
        crashed = []
    except Exception as error:  # noqa: BLE001 - whatever the crash shows itself as
        crashed = [error]
    bucket.s3.faults.clear()
    bucket.wait(5 * DAY)

    bucket.turn("After")

    said = bucket.said()
    assert said[:6] == exchange("Turn 0", "Turn 1", "Turn 2")
    assert said[-2:] == exchange("After")
    assert said[6:-2] in ([], ["Crash"], exchange("Crash"))
    assert crashed or said[6:-2] == exchange("Crash")
    assert max(bucket.ages().values()) == 0


def test_what_somebody_else_writes_meanwhile_is_not_overwritten(bucket: Bucket) -> None:
    bucket.turn("One", agent_id="other")
    bucket.wait(1.5 * DAY)
    other = bucket.agent(agent_id="other")
    held = bucket.s3.faults.add(Fault("hold", verb="PUT", key="*agent_other/agent.json"))

    def while_the_model_works() -> None:
        assert held.arrived.wait(20)
        other("Two")  # the renewal of its record is on its way
        held.release()

    bucket.turn("Busy", model=_calling(while_the_model_works))

    assert bucket.said(agent_id="other") == exchange("One", "Two", agent_id="other")
    assert texts(bucket.agent(agent_id="other")) == exchange("One", "Two", agent_id="other")


def _calling(before: Callable[[], None]) -> ScriptedModel:
    """A model that does something before it answers."""

    def play(_: Any) -> str:
        before()
        return "Hello from default."

    return ScriptedModel(play)


def test_a_writer_of_an_unchanged_record_does_not_conflict_with_its_renewal(bucket: Bucket) -> None:
    bucket.turn("One", agent_id="other")
    bucket.wait(1.5 * DAY)
    other = bucket.agent(agent_id="other")
    bucket.turn("Busy")  # renews the other's record: another ETag where they are no digests

    other("Two")

    assert bucket.said(agent_id="other") == exchange("One", "Two", agent_id="other")


def test_an_erased_session_is_not_brought_back_by_a_renewal(bucket: Bucket) -> None:
    bucket.turn("One")
    bucket.wait(1.5 * DAY)
    held = bucket.s3.faults.add(Fault("hold", verb="PUT", key="*message_0.json"))

    def erase() -> None:
        assert held.arrived.wait(20)
        bucket.store.delete_session("chat")
        held.release()

    with pytest.raises(Exception, match="session"):
        bucket.turn("Two", model=_calling(erase))

    assert bucket.store.sessions().session_ids == ()
    assert texts(bucket.agent()) == []
    assert not [key for key in bucket.ages() if "message_" in key]


def test_a_bucket_without_expiry_is_left_alone(bucket: Bucket) -> None:
    bucket.deploy(0)
    bucket.turn("One")
    bucket.wait(400 * DAY)
    bucket.turn("Two")

    assert bucket.rule_days is None
    assert max(bucket.ages().values()) == 400
    assert bucket.store.describe("chat").expires_at is None


def test_the_rule_in_these_tests_is_the_one_that_is_deployed(bucket: Bucket) -> None:
    assert bucket.rule_days == lifecycle_days(bucket.ttl_days)
    bucket.turn("One")
    bucket.wait((bucket.rule_days or 0) * DAY)
    assert bucket.ages() != {}  # it acts at midnight
    bucket.wait(9 * HOUR)
    assert bucket.ages() == {}
