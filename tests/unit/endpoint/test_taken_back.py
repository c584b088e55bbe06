"""What a guardrail takes back in a node, taken out of states and messages."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lambda_src.turns.orchestrators.taken_back import TakenBack, sources_in

GONE = "[gone]"


def taken(*texts: str, sources: Any = ()) -> TakenBack:
    back = TakenBack()
    back.add([{"text": text} for text in texts], GONE, sources)
    return back


def test_without_a_redaction_everything_stays() -> None:
    state = {"current_task": "Zanzibar", "n": 1}

    assert TakenBack().without(state) is state


def test_what_the_input_was_made_of_goes_wherever_it_stands() -> None:
    sources = [{"current_task": [{"text": "Go to Zanzibar\n"}], "shared": {"a": {"note": "it's 'Zanzibar'\n"}}}]
    back = taken("Original Task: Go to Zanzibar", "• a: {'note': \"it's 'Zanzibar'\\n\"}", sources=sources)

    assert back.without(sources) == [{"current_task": [{"text": GONE}], "shared": {"a": {"note": GONE}}}]
    assert back.without("You said: Go to Zanzibar!") == GONE
    assert back.without("Go to Sansibar") == "Go to Sansibar"


def test_short_texts_go_only_where_they_stand_alone() -> None:
    back = taken("Original Task: Go", sources=["Go"])

    assert back.without(["Go ", "They forgot. Go on!"]) == [GONE, "They forgot. Go on!"]


def test_names_stay_so_that_the_state_can_be_restored() -> None:
    state = {"id": "completed", "status": "completed", "completed_nodes": ["completed"], "said": "completed"}

    assert taken("completed").without(state) == {**state, "said": GONE}


def test_an_image_that_was_in_the_input_goes_too() -> None:
    image = {"image": {"format": "png", "source": {"bytes": b"Zanzibar"}}}
    back = TakenBack()
    back.add([{"text": "What is this picture?"}, image], GONE, ())

    assert back.without({"task": [{"text": "What is this picture?"}, image]}) == {"task": [{"text": GONE}]}
    assert back.without({"task": [{"image": {"format": "gif"}}]}) == {"task": [{"image": {"format": "gif"}}]}


def test_of_a_tools_result_its_words_go() -> None:
    back = TakenBack()
    result = {"toolUseId": "t1", "status": "success", "content": [{"json": {"found": "Zanzibar City"}}]}
    back.add([{"toolResult": result}], GONE, ())

    assert back.without({"messages": [{"role": "user", "content": [{"toolResult": result}]}]}) == {
        "messages": [{"role": "user", "content": [{"toolResult": {**result, "content": [{"json": {"found": GONE}}]}}]}]
    }


def test_questions_and_answers_are_no_source_of_an_input() -> None:
    state = {"current_task": "Go", "_internal_state": {"interrupt_state": {"interrupts": {"a": {"response": "yes"}}}}}

    assert sources_in(state) == {"current_task": "Go"}


@given(st.text(min_size=8), st.text(), st.text())
def test_no_value_of_any_state_holds_a_longer_text_that_was_taken_back(secret: str, before: str, after: str) -> None:
    if not secret.strip():
        return
    back = taken(f"{before} {secret} {after}", sources=[secret])

    left = back.without({"a": [f"{after}{secret}{before}", {"b": secret}], "c": repr(secret)})

    assert len(secret.strip()) < 8 or left == {"a": [GONE, {"b": GONE}], "c": GONE}
