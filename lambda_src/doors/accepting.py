"""``Prefer: respond-async``: a turn is promised to its caller, and taken without it."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from agent_sessions.accepted_turns import AcceptedTurn
from lambda_src import contract
from lambda_src.answers.diagnosis import diagnosis
from lambda_src.answers.logs import logger
from lambda_src.doors.prefer import RESPOND_ASYNC
from lambda_src.turn_resource import without_caller
from lambda_src.turn_resource.accepted import is_over
from lambda_src.turn_resource.turn_ids import accepted_id
from lambda_src.turns.repeats import Asked, key_reused

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_sessions.accepted_turns import AcceptedTurns
    from lambda_src.doors.current_request import CurrentRequest
    from lambda_src.endpoint import Endpoint

PENDING = "running"


class Accepting:
    """Accepts one turn.

    Args:
        endpoint: What takes turns.
        request: The request being served.
        session_id: In which session.
        body: What is asked.
        idempotency_key: The caller's name for it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        request: CurrentRequest,
        session_id: str,
        body: contract.TurnBody,
        idempotency_key: str | None,
    ) -> None:
        self._endpoint = endpoint
        self._request = request
        self._owner = request.owner()
        self._session_id = session_id
        self._body = body
        self._key = idempotency_key
        self._turn_id = accepted_id(self._owner, session_id, idempotency_key)
        self._has_begun = False
        self._agent_id = body.agent_id or endpoint.settings.agent_id

    @staticmethod
    def is_possible(endpoint: Endpoint) -> bool:
        """Whether this process can leave a turn to others."""
        # A function is frozen when it has answered. This machine is not.
        settings = endpoint.settings
        return settings.async_function is not None or settings.turns_in_process or settings.endpoint_auth == "local"

    def accept(self) -> tuple[contract.RunningTurn, dict[str, str], Callable[[], object] | None]:
        """Have the turn taken without this caller; once, however often the request is sent.

        Returns:
            What to answer, the answer's headers, and what waits for a turn that is taken on this machine.

        Raises:
            NotFoundError: There is no such agent.
            IdempotencyKeyReusedError: The key has been used for something else.
            SessionException: The turn could not be promised.
        """
        if self._body.agent_id is not None:
            self._endpoint.require_agent(self._body.agent_id)
        status = self._status_of_known()
        over = None
        if status is None:
            status, over = PENDING, self._begin()
        answer = contract.RunningTurn.model_validate(
            {
                "session_id": self._session_id,
                "agent_id": self._agent_id,
                "turn_id": self._turn_id,
                "status": status,
            }
        )
        headers = {
            "Location": f"/sessions/{quote(self._session_id, safe='')}/turns/{self._turn_id}",
            "Preference-Applied": RESPOND_ASYNC,
        }
        return answer, headers, over

    def _status_of_known(self) -> str | None:
        """What became of the same request's turn; ``None`` if it is to be taken, or gone on with."""
        key = self._key
        if key is None:
            return None

        def look() -> tuple[str, str] | None:
            known = self._endpoint.turn_of_request(self._owner, self._session_id, self._body, key)
            return None if known is None else (known.turn_id, known.state().status)

        known = self._request.in_time(look)
        if known is None:
            return None
        self._has_begun, (self._turn_id, status) = True, known
        return status if status in {"running", "answered", "cancelled"} else None

    def _begin(self) -> Callable[[], object] | None:
        take = self._elsewhere() if self._endpoint.settings.async_function is not None else self._on_this_machine()
        # Of a turn that has begun, its messages tell: it needs no record, and goes on where it was.
        is_new = not self._has_begun and self._request.in_time(self._promise)
        try:
            return take()
        except BaseException:
            if is_new:
                self._withdraw()
            raise

    def _promise(self) -> bool:
        """Store that the turn was accepted. Returns whether this request was the first to do so."""
        asked = Asked.of(self._key, self._body, default_agent_id=self._endpoint.settings.agent_id)
        promised, is_new = self._turns().accept(
            AcceptedTurn(self._turn_id, self._agent_id, asked.body, time.time()),
            # If there is no session, answers to its interrupts must not make one.
            begins_session=self._body.prompt is not None,
            replaces=is_over,
        )
        if promised.body != asked.body:
            raise key_reused()
        return is_new

    def _withdraw(self) -> None:
        try:
            self._request.in_time(lambda: self._turns().remove(self._turn_id))
        except Exception as failure:  # noqa: BLE001 - the caller is told why the turn was not accepted
            logger.warning("an accepted turn could not be withdrawn", extra=diagnosis(failure))

    def _turns(self) -> AcceptedTurns:
        return self._endpoint.store(self._owner).accepted_turns(self._session_id)

    def _elsewhere(self) -> Callable[[], None]:
        """Prepare the turn for another invocation of this function."""
        asked = {name: value for name, value in self._request.json().items() if value is not None}
        named = {
            "owner": self._owner,
            "session_id": self._session_id,
            "request_id": self._key or self._turn_id,
            "turn_id": self._turn_id,
            "accepted_by": self._request.request_id,
        }
        payload = without_caller.checked(json.dumps({**asked, **named}).encode())
        return partial(without_caller.invoke, str(self._endpoint.settings.async_function), payload)

    def _on_this_machine(self) -> Callable[[], Callable[[], None]]:
        take = partial(
            self._endpoint.take_accepted_turn,
            *(self._owner, self._session_id, self._body, self._request.remaining_seconds()),
            request_id=self._request.request_id,
            idempotency_key=self._key or self._turn_id,
            turn_id=self._turn_id,
        )
        return partial(without_caller.take_on_thread, take, self._endpoint.metric_lines.write)
