"""What the offline model says is what the session restored, and nothing else."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from strands import Agent, tool
from strands.types.exceptions import EventLoopException

from agent_sessions.file_session_manager import FileSessionManager
from local.offline_model import OfflineModel
from local.recollection import SIGNATURE
from local.tool_request import ToolRequest, find_tool_request


@tool
def calculator(expression: str) -> str:
    """Calculate.

    Args:
        expression: what to calculate.
    """
    left, right = expression.split("*")
    return str(int(left) * int(right))


@tool
def book_table(seats: int, terrace: bool = False, at: str | None = None) -> dict[str, Any]:
    """Book a table.

    Args:
        seats: how many.
        terrace: outside.
        at: the time.
    """
    return {"status": "success", "content": [{"json": {"seats": seats, "terrace": terrace, "at": at}}]}


@tool
def ping() -> str:
    """Answer."""
    return "pong"


TOOLS: list[Any] = [calculator, book_table, ping]
SPECS = [tool.tool_spec for tool in TOOLS]


@pytest.fixture
def agent() -> Agent:
    return Agent(model=OfflineModel(), tools=[*TOOLS], callback_handler=None)


def ask(agent: Agent, prompt: Any) -> str:
    return str(agent(prompt)).strip()


class TestRecollection:
    def test_every_answer_says_that_it_is_no_llm(self, agent: Agent) -> None:
        answers = [ask(agent, prompt) for prompt in ("Hello", "use ping", "use calculator", "again")]

        assert SIGNATURE == "[offline model, no LLM]"
        assert all(answer.startswith(SIGNATURE) for answer in answers)

    def test_the_first_message_has_nothing_before_it(self, agent: Agent) -> None:
        assert "nothing was restored" in ask(agent, "Hello")

    def test_it_tells_what_was_said_first_and_last(self, agent: Agent) -> None:
        for prompt in ("I like tea.", "I live in Oslo.", "It rains."):
            ask(agent, prompt)

        assert "first thing you said was: “I like tea.”" in ask(agent, "What did I say first?")
        assert "Before this you said: “What did I say first?”" in ask(agent, "What did I just ask you?")

    def test_it_tells_how_often(self, agent: Agent) -> None:
        ask(agent, "Hello")
        ask(agent, "How often did I speak?")
        answer = ask(agent, "How often did I speak?")

        assert "spoken 3 times" in answer
        assert "answered 2 times" in answer
        assert "exactly this 1 time before" in answer
        assert "given 4 earlier messages" in answer

    def test_it_finds_the_sentence_that_fits_a_question_best(self, agent: Agent) -> None:
        ask(agent, "My name is Ada. My favourite colour is green.")
        ask(agent, "What is my favourite colour?")

        assert "“My favourite colour is green.”" in ask(agent, "Tell me: what is my favourite colour?")
        assert "“My name is Ada.”" in ask(agent, "What is my name?")
        assert "fits best" not in ask(agent, "Where did I park?")

    def test_the_latest_of_contradicting_sentences_counts(self, agent: Agent) -> None:
        ask(agent, "My name is Ada.")
        ask(agent, "No, my name is Grace.")

        assert "all you told me: “No, my name is Grace.”" in ask(agent, "What is my name?")

    def test_what_is_no_text_is_named(self, agent: Agent) -> None:
        image = {"image": {"format": "png", "source": {"bytes": b"1234"}}}
        document = {"document": {"name": "report", "format": "pdf", "source": {"bytes": b"12345678"}}}

        answer = ask(agent, [{"text": "Look"}, image, document])

        assert "“Look [image png 4 bytes] [document report pdf 8 bytes]”" in answer

    def test_it_speaks_of_the_restored_session(self, tmp_path: Path) -> None:
        def open_agent() -> Agent:
            manager = FileSessionManager("s1", str(tmp_path))
            return Agent(model=OfflineModel(), agent_id="a", session_manager=manager, callback_handler=None)  # type: ignore[arg-type,unused-ignore] # by structure

        ask(open_agent(), "My name is Ada.")

        assert "“My name is Ada.”" in ask(open_agent(), "What is my name?")

    def test_it_streams_word_by_word(self) -> None:
        pieces: list[str] = []
        agent = Agent(model=OfflineModel(), callback_handler=lambda **event: pieces.append(event.get("data", "")))

        answer = ask(agent, "Hello there")

        assert len([piece for piece in pieces if piece]) == len(answer.split(" "))

    def test_usage_counts_words(self) -> None:
        agent = Agent(model=OfflineModel(), system_prompt="Be brief please.", callback_handler=None)

        result = agent("two words")

        usage = result.metrics.accumulated_usage
        assert usage["inputTokens"] == 5
        assert usage["outputTokens"] == len(str(result).split())


class TestTools:
    def test_a_named_tool_is_called_and_its_result_reported(self, agent: Agent) -> None:
        assert ask(agent, "Please use the calculator: 6*7") == f"{SIGNATURE} The tool calculator answered: 42"
        assert [block["toolUse"]["input"] for block in agent.messages[1]["content"] if "toolUse" in block] == [
            {"expression": "6*7"}
        ]

    def test_a_failing_tool_is_reported_as_such(self, agent: Agent) -> None:
        assert "The tool calculator failed:" in ask(agent, "use the calculator: six times seven")

    def test_a_json_result_is_shown(self, agent: Agent) -> None:
        assert '{"seats": 2, "terrace": true, "at": null}' in ask(
            agent, 'call book_table: {"seats": 2, "terrace": true}'
        )

    def test_tool_calls_of_one_session_never_share_an_id(self, agent: Agent) -> None:
        for _ in range(3):
            ask(agent, "use ping")

        blocks = [block for message in agent.messages for block in message["content"]]
        ids = [block["toolUse"]["toolUseId"] for block in blocks if "toolUse" in block]
        assert len(set(ids)) == len(ids) == 3

    def test_tool_calls_are_not_counted_as_speech(self, agent: Agent) -> None:
        ask(agent, "use ping")

        assert "spoken 2 times" in ask(agent, "How often did I speak?")

    @pytest.mark.parametrize(
        ("prompt", "expected"),
        [
            ("use ping", ToolRequest("ping", {})),
            ("Please ask the tool ping.", ToolRequest("ping", {})),
            ("run the CALCULATOR tool with 1*2.", ToolRequest("calculator", {"expression": "1*2"})),
            ("use book table: 4", ToolRequest("book_table", {"seats": 4})),
            ("use book-table seats=4 terrace=yes", ToolRequest("book_table", {"seats": 4, "terrace": True})),
            ('use book_table: seats=2, at="8 pm"', ToolRequest("book_table", {"seats": 2, "at": "8 pm"})),
            ('use book_table {"seats": 2}', ToolRequest("book_table", {"seats": 2})),
            ("What does the calculator do?", None),
            ("use the abacus: 1+1", None),
            ("pinging is useless", None),
            ("", None),
        ],
    )
    def test_a_prompt_asks_for_a_tool_by_name(self, prompt: str, expected: ToolRequest | None) -> None:
        assert find_tool_request(prompt, SPECS) == expected

    @pytest.mark.parametrize(
        ("prompt", "complaint"),
        [
            ("use the calculator", "needs expression"),
            ("use book_table: many", "seats must be of type integer"),
            ("use book_table: seats=2 terrace=perhaps", "terrace must be of type boolean"),
            ("use book_table: {seats", "cannot read the input"),
            ("use book_table: at=8", "needs seats"),
        ],
    )
    def test_input_that_cannot_be_read_is_said(self, prompt: str, complaint: str) -> None:
        answer = find_tool_request(prompt, SPECS)

        assert isinstance(answer, str)
        assert complaint in answer


class Person(BaseModel):
    """A person."""

    name: str


def test_structured_output_is_refused_rather_than_invented() -> None:
    agent = Agent(model=OfflineModel(), callback_handler=None)

    with pytest.raises(EventLoopException, match="cannot produce structured output"):
        agent("Who am I?", structured_output_model=Person)
