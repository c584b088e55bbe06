"""Which record a message object of a running agent stands for: the object decides, and an id only where it may."""

from typing import Any

from agent_sessions._conversation.held_messages import Extension, HeldMessages


def user(*texts: str, tracking_id: str | None = None) -> Any:
    message: Any = {"role": "user", "content": [{"text": text} for text in texts]}
    return message if tracking_id is None else {**message, "tracking_id": tracking_id}


def held(*messages: Any) -> HeldMessages:
    found = HeldMessages()
    for number, message in enumerate(messages):
        found.add(number, message)
    return found


def test_a_callers_dictionary_that_was_stored_twice_stands_for_both_and_the_later_is_found_first() -> None:
    message = user("again")
    records = held(message, message)

    assert records.redacted_by(message) == 1
    assert records.standing_for(1) == [0, 1]


def test_equal_messages_are_not_the_same_message() -> None:
    first, second = user("hello"), user("hello")
    records = held(first, second)

    assert records.ids_of([second, first, user("hello")]) == [1, 0, None]


def test_a_copy_with_the_same_id_and_more_blocks_extends_the_latest_record() -> None:
    before = user("first", tracking_id="t")
    longer: Any = {**before, "content": [*before["content"], {"text": "second"}]}

    assert held(before).extended_by(longer, [longer]) == Extension(0, [{"text": "second"}])


def test_a_dictionary_used_again_while_the_first_is_still_there_is_a_new_message() -> None:
    before = user("first", tracking_id="t")
    longer: Any = {**before, "content": [*before["content"], {"text": "second"}]}

    assert held(before).extended_by(longer, [before, longer]) is None


def test_a_copy_whose_blocks_are_others_is_a_new_message() -> None:
    before = user("first", tracking_id="t")

    assert held(before).extended_by(user("first", "second", tracking_id="t"), []) is None


def test_strands_names_the_replaced_message_by_the_last_record_with_its_id() -> None:
    records = held(user("a", tracking_id="t"), user("b"), user("c", tracking_id="t"))

    assert records.updated_by(user("new", tracking_id="t")) == 2
    assert records.updated_by(user("new", tracking_id="other")) is None
    assert records.updated_by(user("new")) is None


def test_a_message_follows_what_is_gone_when_its_neighbour_of_the_same_role_has_left() -> None:
    before, after = user("a"), user("b")
    records = held(before)

    assert records.follows_what_is_gone(after, [after])
    assert not records.follows_what_is_gone(after, [before, after])
    assert not records.follows_what_is_gone({"role": "assistant", "content": []}, [])


def test_records_of_removed_messages_are_let_go_except_the_latest_and_the_pinned() -> None:
    pinned: Any = {**user("pinned"), "metadata": {"custom": {"pinned": True}}}
    messages = [user("a"), pinned, user("c"), user("d")]
    records = held(*messages)

    records.forget_removed([messages[2]])

    assert records.ids_of(messages) == [None, 1, 2, 3]


def test_a_pin_that_was_set_or_taken_back_is_noticed_once() -> None:
    message = user("a")
    records = held(message)

    message["metadata"] = {"custom": {"pinned": True}}
    assert records.changed_pins() == [0]
    records.record_pin(0)
    assert records.changed_pins() == []
    del message["metadata"]
    assert records.changed_pins() == [0]


def test_what_is_forgotten_from_an_id_on_is_returned_and_the_one_before_is_the_latest() -> None:
    messages = [user("a"), user("b"), user("c")]
    records = held(*messages)

    assert records.forget_from(1) == messages[1:]
    assert records.latest_id == 0
