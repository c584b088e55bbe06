"""What the model is shown in a turn, and how much less it is shown when it refuses.

As few tries as possible, the least loss first: what the provider's words point at, then the rest in the order of
``simplify.STEPS``. What was given up stays given up for the rest of the turn, and later turns begin with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_sessions.exceptions import SessionException
from agent_sessions.turn_request import is_prompt
from lambda_src.answers.diagnosis import diagnosis
from lambda_src.answers.logs import logger
from lambda_src.models import marks
from lambda_src.models.marks import Earlier
from lambda_src.models.simplify import (
    STEPS,
    ShownMessage,
    Step,
    described,
    has_media,
    has_more_than_text,
    leave_out,
    simplified,
    turns_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from strands import Agent
    from strands.hooks import AfterModelCallEvent, MessageAddedEvent

    from agent_sessions.repository_session_manager import RepositorySessionManager
    from lambda_src.answers.model_refusals import Refusal, Suspect
    from lambda_src.models.marks import LeftOut
    from lambda_src.models.simplify import Lost, Message

_POINTED_AT: dict[Suspect, tuple[Step, ...]] = {
    "marks": ("marks",),
    "media": ("media",),
    "tools": ("text",),
    "shape": ("shape",),
    "length": ("unanswered", "media", "older", "history"),
}
_WITHOUT_CERTAINTY: frozenset[Step] = frozenset({"shape", "marks", "media", "text"})
"""What is tried when only a provider's client failed: nothing that was said is left out for that."""


class Showing:
    """What the model is shown during one turn.

    Args:
        agent: The agent, made for this turn.
        session: Where it is stored.

    Attributes:
        refusal: The refusal that ended the turn, when there was nothing left to give up.
    """

    def __init__(self, agent: Agent, session: RepositorySessionManager) -> None:
        self.refusal: Refusal | None = None
        self._agent = agent
        self._session = session
        self._model = _name_of(agent.model)
        self._added = 0
        self._steps: tuple[Step, ...] = ()
        self._kept: int | None = None
        self._untried = False
        self._is_certain = True
        self._lost: Lost = []
        self._left_out: list[LeftOut] = []

    @property
    def left_out(self) -> LeftOut:
        """What this turn's answered model calls were not shown."""
        return marks.together(self._left_out)

    # --- what the model is shown ------------------------------------------------------------------------

    def shown(self, messages: Sequence[Any]) -> list[Any]:
        """What to show of a conversation now."""
        entries, self._lost = self._entries(messages, self._steps, self._kept)
        return [entry.message for entry in entries]

    def give_way(self, refusal: Refusal, messages: Sequence[Any]) -> bool:
        """Give up more of a conversation that the model refuses.

        Args:
            refusal: What it says.
            messages: The conversation.

        Returns:
            Whether there was anything to give up. If so, ``shown`` now shows something else than before.
        """
        before = self._without_positions(messages, self._steps, self._kept)
        if self._is_about_the_prompt_s_files(refusal, before):
            return False
        for step in _order(refusal):
            steps, kept = (*self._steps, step), self._kept_after(step, messages)
            if step not in self._steps and self._without_positions(messages, steps, kept) != before:
                self._steps, self._kept = steps, kept
                self._is_certain &= refusal.certain
                logger.warning(
                    "the model refused what it was shown",
                    extra={"code": refusal.code, "suspects": refusal.suspects, "gives_up": STEPS[step]},
                )
                return True
        return False

    def refuse(self, refusal: Refusal, *, untried: bool) -> None:
        """End the turn with this refusal.

        Args:
            refusal: What the model said last.
            untried: Whether more was given up than the model was asked with, since it had begun to answer. The next
                turn then begins with that.
        """
        self.refusal, self._untried = refusal, untried

    def _without_positions(self, messages: Sequence[Any], steps: Sequence[Step], kept: int | None) -> list[Message]:
        return [entry.message for entry in self._entries(messages, steps, kept)[0]]

    def _entries(
        self, messages: Sequence[Any], steps: Sequence[Step], kept: int | None
    ) -> tuple[list[ShownMessage], Lost]:
        """The conversation as the model is shown it, and what of it is left out."""
        lost: Lost = []
        start = self._start_of_turn(messages)
        earlier = self._earlier(messages)
        first = max(earlier.first, 0 if kept is None else start - kept)
        entries = [ShownMessage(position, message) for position, message in enumerate(messages)]
        leave_out(entries[:first], lost)
        begun = self._without_refused(entries[first:start], messages, lost)
        below = [entry for entry in begun if entry.position < earlier.below]
        above = [entry for entry in begun if entry.position >= earlier.below]
        begun = [*simplified(below, start, earlier.steps, lost), *above]
        return simplified([*begun, *entries[start:]], start, steps, lost), lost

    def _without_refused(
        self, entries: Sequence[ShownMessage], messages: Sequence[Any], lost: Lost
    ) -> list[ShownMessage]:
        """Earlier turns whose prompt this model refused: with a line in place of each file, or left out."""
        kept: list[ShownMessage] = []
        for turn in turns_of(entries):
            prompt = turn[0]
            if not marks.is_refused(self._with_metadata(messages, prompt.position), self._model):
                kept += turn
            elif has_more_than_text(prompt.message):
                kept += [described(prompt, lost), *turn[1:]]
            else:
                leave_out(turn, lost)
        return kept

    def _with_metadata(self, messages: Sequence[Any], position: int) -> Message:
        """A message as the agent holds it. Strands removes its metadata before it gives it to a model."""
        held: Any = self._agent.messages
        found: Message = held[position] if len(held) == len(messages) else messages[position]
        return found

    def _earlier(self, messages: Sequence[Any]) -> Earlier:
        held: Any = self._agent.messages
        return marks.earlier_of(held, self._model) if len(held) == len(messages) else Earlier()

    def _start_of_turn(self, messages: Sequence[Any]) -> int:
        """The position of the prompt to be answered: this turn's own, or the last one when the turn began."""
        last = min(len(messages) - 1, max(0, len(messages) - self._added))
        return next((position for position in range(last, -1, -1) if is_prompt(messages[position])), last)

    def _kept_after(self, step: Step, messages: Sequence[Any]) -> int | None:
        """How many messages before the turn are still shown after a step; ``None`` for all."""
        if step == "history":
            return 0
        if step != "older":
            return self._kept
        start = self._start_of_turn(messages)
        turns = turns_of([ShownMessage(position, message) for position, message in enumerate(messages[:start])])
        return sum(len(turn) for turn in turns[(len(turns) + 1) // 2 :])

    def _is_about_the_prompt_s_files(self, refusal: Refusal, shown: Sequence[Message]) -> bool:
        """Whether the model complains of files, and only the prompt itself still has any."""
        if refusal.suspects[:1] != ("media",):
            return False
        prompt = self._start_of_turn(shown)
        return has_media(shown[prompt : prompt + 1]) and not has_media([*shown[:prompt], *shown[prompt + 1 :]])

    # --- what becomes of it -----------------------------------------------------------------------------

    def listen(self) -> None:
        """Hear of the agent's messages and of the model's answers."""
        from strands.hooks import AfterModelCallEvent, MessageAddedEvent

        self._agent.hooks.add_callback(MessageAddedEvent, self._count_message)
        self._agent.hooks.add_callback(AfterModelCallEvent, self._mark_answer)

    def _count_message(self, event: MessageAddedEvent) -> None:  # noqa: ARG002 - a hook's signature
        self._added += 1

    def _mark_answer(self, event: AfterModelCallEvent) -> None:
        if event.stop_response is None:
            return
        self.refusal = None
        if not self._lost and not self._steps:
            return
        messages: Any = self._agent.messages
        left_out = marks.told(self._lost, self._session.message_ids(self._agent))
        self._left_out.append(left_out)
        answer: Any = event.stop_response.message
        calls_tools = any("toolUse" in block for block in answer["content"])
        # A turn in progress has no answer yet, and would be left out as unanswered.
        below = self._start_of_turn(messages) if calls_tools else len(messages)
        marks.mark_left_out(answer, left_out)
        marks.mark_gave_up(answer, len(messages), self._model, self._gave_up(messages, below=below))

    def _gave_up(self, messages: Sequence[Message], *, below: int) -> Earlier:
        """What later turns begin with: all of this turn's steps, for messages below a position."""
        earlier = self._earlier(messages)
        if not self._steps or not self._is_certain:
            return earlier  # the client may have failed on something else, and trying again costs nothing
        start = self._start_of_turn(messages)
        first = max(earlier.first, 0 if self._kept is None else start - self._kept)
        steps = {step for step in self._steps if step not in {"older", "history"}}
        return Earlier(earlier.steps | steps, below, first)

    def mark_refused_prompt(self, refusal: Refusal) -> LeftOut:
        """Have the turn's prompt say that it was refused.

        Returns:
            What later turns leave out of it for this model.
        """
        messages: Any = self._agent.messages
        start = self._start_of_turn(messages)
        prompt = messages[start]
        lost: Lost = []
        if has_more_than_text(prompt):
            described(ShownMessage(start, prompt), lost)
        else:
            leave_out([ShownMessage(start, prompt)], lost)
        marks.mark_refused(prompt, self._model, refusal.code)
        if self._untried:
            marks.mark_gave_up(prompt, start, self._model, self._gave_up(messages, below=start))
        try:
            self._session.update_message_of(prompt, self._agent)
        except SessionException as failure:
            # The next turn finds out by asking the model.
            logger.warning("a refused prompt could not be marked", extra=diagnosis(failure))
        return marks.told(lost, self._session.message_ids(self._agent))

    def prompt_has_more_than_text(self) -> bool:
        """Whether the prompt that is being answered holds anything but plain text."""
        messages: Any = self._agent.messages
        return has_more_than_text(messages[self._start_of_turn(messages)])


def _order(refusal: Refusal) -> list[Step]:
    """The steps, those that the provider's words point at first."""
    pointed = [step for suspect in refusal.suspects for step in _POINTED_AT[suspect]]
    steps = dict.fromkeys([*pointed, *STEPS])
    return [step for step in steps if refusal.certain or step in _WITHOUT_CERTAINTY]


def _name_of(model: Any) -> str:
    """The name that tells a model from others."""
    try:
        config = model.get_config()
    except Exception as error:  # noqa: BLE001 - somebody's own model; its class is name enough
        logger.warning("a model does not tell its configuration", extra=diagnosis(error))
        config = None
    name = config.get("model_id") if isinstance(config, dict) else None
    return f"{type(model).__name__}:{name}"
