"""One measurement: restore a session, run a turn, look at the clock and at S3's log."""

import gc
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bench.contenders import Contender
from bench.conversation import TURN_MESSAGES, InstantModel, question
from tests.doubles.s3.request_log import LogEntry, rounds

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from bench.stand_in import StandIn

WORK_BUCKET = "work"


@dataclass(frozen=True, slots=True)
class Sample:
    """What one turn cost. Times in seconds, sizes in bytes.

    Attributes:
        restore_seconds: Opening the session and building the agent with everything restored; ``None`` where that is
            not a step of its own.
        turn_seconds: The same and the turn, until the agent returned.
        model_seconds: Of that, in the model.
        restored_messages: How many messages the agent had when it was built.
        restore_requests: Requests by verb that had been answered when the agent was built; one under way by then is
            of the turn.
        requests: Requests by verb of the whole turn, restore included.
        bytes_written: Bodies of all PUTs.
        bytes_read: Bodies of all answers.
        rounds_before: Round trips one after the other before the model's first call.
        rounds_after: The same after the model's last token.
    """

    contender: str
    size: int
    window: int | None
    think_seconds: float
    restore_seconds: float | None
    turn_seconds: float
    model_seconds: float
    restored_messages: int
    restore_requests: dict[str, int]
    requests: dict[str, int]
    bytes_written: int
    bytes_read: int
    rounds_before: int
    rounds_after: int

    @property
    def added_seconds(self) -> float:
        """What the session adds to a turn: its time without the model's."""
        return self.turn_seconds - self.model_seconds

    def to_dict(self) -> dict[str, Any]:
        """Return a form for JSON."""
        return asdict(self)


def prepared_bucket(contender: Contender, size: int, window: int | None) -> str:
    """Name the bucket in which a contender's session of that size waits to be copied."""
    return f"{contender.name}-{size}-{window or 'all'}"


def measure_turn(
    stand_in: "StandIn",
    client: "S3Client",
    contender: Contender,
    size: int,
    *,
    window: int | None,
    think_seconds: float,
) -> Sample:
    """Run one turn on a fresh copy of a prepared session.

    Raises:
        RuntimeError: When the session was not restored or the turn is not what it should be: such times mean nothing.
    """
    stand_in.copy(prepared_bucket(contender, size, window), WORK_BUCKET)
    # The connections are warm as in a warm function, for everybody.
    client.head_bucket(Bucket=WORK_BUCKET)
    stand_in.take_log()
    model = InstantModel(think_seconds)
    gc.collect()

    taken = contender.take_turn(client, WORK_BUCKET, model, question(size // TURN_MESSAGES), window)

    counts = (taken.restored_messages, size + TURN_MESSAGES if taken.messages is None else taken.messages)
    if window is None and counts != (size, size + TURN_MESSAGES):
        raise RuntimeError(f"{contender.name}: restored {counts[0]} of {size}, then {counts[1]}")
    log = stand_in.take_log()
    before = [entry for entry in log if entry.started < model.calls[0][0]]
    after = [entry for entry in log if entry.started >= model.calls[-1][1]]
    return Sample(
        contender=contender.name,
        size=size,
        window=window,
        think_seconds=think_seconds,
        restore_seconds=None if taken.restored is None else taken.restored - taken.start,
        turn_seconds=taken.end - taken.start,
        model_seconds=model.seconds,
        restored_messages=taken.restored_messages,
        restore_requests=_by_verb([entry for entry in log if taken.restored and entry.finished <= taken.restored]),
        requests=_by_verb(log),
        bytes_written=sum(entry.bytes_in for entry in log if entry.verb == "PUT"),
        bytes_read=sum(entry.bytes_out for entry in log),
        rounds_before=rounds(before),
        rounds_after=rounds(after),
    )


def _by_verb(entries: list[LogEntry]) -> dict[str, int]:
    return dict(sorted(Counter(entry.verb for entry in entries).items()))
