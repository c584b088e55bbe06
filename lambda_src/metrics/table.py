"""Every metric: its name, its unit, what it means. docs/OPERATIONS.md has the same table, made from this one."""

from __future__ import annotations

from typing import Final, NamedTuple

NAMESPACE: Final = "AgentSessionKit"
DIMENSIONS: Final = ("service", "stage")
"""No owner, no id, nothing of a conversation: those are in the log lines, where a query finds them."""


class Metric(NamedTuple):
    """One metric.

    Attributes:
        name: As CloudWatch shows it.
        unit: CloudWatch's word for the unit.
        meaning: What one request adds to it.
    """

    name: str
    unit: str
    meaning: str


_MS: Final = "Milliseconds"
_COUNT: Final = "Count"

REQUESTS: Final = Metric("Requests", _COUNT, "Requests and plain events, refused ones too.")
COLD_STARTS: Final = Metric("ColdStarts", _COUNT, "First requests of a process.")
TURNS: Final = Metric("Turns", _COUNT, "Turns that were begun, whatever became of them. A replay is none.")
TURN_DURATION: Final = Metric(
    "TurnDuration",
    _MS,
    "From asking for the session's lease until it is given back, of every turn that was begun. Importing the agent in "
    "a cold start is before that.",
)
MODEL_DURATION: Final = Metric(
    "ModelDuration",
    _MS,
    "The part of a turn in which at least one call of the model was under way, or waited to be tried again.",
)
TOOL_DURATION: Final = Metric("ToolDuration", _MS, "The part in which a tool ran and the model was not asked.")
LEASE_WAIT: Final = Metric("LeaseWait", _MS, "The part spent on waiting for another caller of the same session.")
SESSION_OVERHEAD: Final = Metric(
    "SessionOverhead",
    _MS,
    "What is left of a turn: `TurnDuration` minus `LeaseWait`, `ModelDuration` and `ToolDuration`. It is opening and "
    "restoring the session, building the agent, waiting for writes, and Strands' own work.",
)
RESTORE_DURATION: Final = Metric(
    "RestoreDuration", _MS, "The part of `SessionOverhead` that opens the session and restores its agents."
)
RESTORED_MESSAGES: Final = Metric("RestoredMessages", _COUNT, "Messages that the agent remembered as a turn began.")
MODEL_CALLS: Final = Metric("ModelCalls", _COUNT, "Calls of the model, repeated ones too.")
INPUT_TOKENS: Final = Metric("InputTokens", _COUNT, "Tokens read by the model, without those of its cache.")
OUTPUT_TOKENS: Final = Metric("OutputTokens", _COUNT, "Tokens written by the model.")
CACHE_READ_TOKENS: Final = Metric("CacheReadTokens", _COUNT, "Tokens that the model read from its cache.")
CACHE_WRITE_TOKENS: Final = Metric("CacheWriteTokens", _COUNT, "Tokens that the model put into its cache.")
S3_REQUESTS: Final = Metric("S3Requests", _COUNT, "Requests sent to S3, repeated ones too.")
S3_WRITES: Final = Metric("S3WriteRequests", _COUNT, "Those of them that S3 charges as PUT or LIST. DELETE is free.")
BUSY: Final = Metric("Busy", _COUNT, "Requests refused because another one used the session (409 `session-busy`).")
CONFLICTS: Final = Metric(
    "Conflicts", _COUNT, "Requests refused because another one wrote first (409 `session-conflict`)."
)
LEASES_TAKEN_OVER: Final = Metric(
    "LeasesTakenOver",
    _COUNT,
    "Sessions whose last caller had not given the lease back: its process died, or was stopped in the middle.",
)
TURNS_CONTINUED: Final = Metric("TurnsContinued", _COUNT, "Turns that went on where a cut-off one had ended.")
TURNS_BEGUN_AGAIN: Final = Metric(
    "TurnsBegunAgain",
    _COUNT,
    "Turns that were refused before anything was done in them, as somebody had written since their restore, and began "
    "once more in the same request.",
)
REPLAYS: Final = Metric("Replays", _COUNT, "Repeated requests that got the stored reply, without the model.")
RENEWALS: Final = Metric("Renewals", _COUNT, "Objects written again unchanged, so that they do not expire in use.")
RENEWALS_FAILED: Final = Metric("RenewalsFailed", _COUNT, "Turns whose renewal of objects failed.")
MODEL_THROTTLES: Final = Metric("ModelThrottles", _COUNT, "Calls of the model that its provider throttled.")
MODEL_ERRORS: Final = Metric(
    "ModelErrors",
    _COUNT,
    "Calls of the model that failed otherwise. That a conversation is too long is no error.",
)
STORAGE_FAILURES: Final = Metric(
    "StorageFailures",
    _COUNT,
    "Requests refused because the storage failed (503 `storage-failed`, 500 `storage-refused`).",
)
INTERNAL_ERRORS: Final = Metric(
    "InternalErrors", _COUNT, "Requests answered 500 for any other reason: a bug, of the agent's tools too."
)
TURNS_CUT_OFF: Final = Metric(
    "TurnsCutOff",
    _COUNT,
    "Turns that had begun and ended without a reply, because of the time, the storage or another writer.",
)
TURNS_CANCELLED: Final = Metric("TurnsCancelled", _COUNT, "Turns that their caller cancelled.")

METRICS: Final = (
    REQUESTS,
    COLD_STARTS,
    TURNS,
    TURN_DURATION,
    MODEL_DURATION,
    TOOL_DURATION,
    LEASE_WAIT,
    SESSION_OVERHEAD,
    RESTORE_DURATION,
    RESTORED_MESSAGES,
    MODEL_CALLS,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    CACHE_READ_TOKENS,
    CACHE_WRITE_TOKENS,
    S3_REQUESTS,
    S3_WRITES,
    BUSY,
    CONFLICTS,
    LEASES_TAKEN_OVER,
    TURNS_CONTINUED,
    TURNS_BEGUN_AGAIN,
    REPLAYS,
    RENEWALS,
    RENEWALS_FAILED,
    MODEL_THROTTLES,
    MODEL_ERRORS,
    STORAGE_FAILURES,
    INTERNAL_ERRORS,
    TURNS_CUT_OFF,
    TURNS_CANCELLED,
)
"""All of them, in the order of the documentation."""


def as_markdown() -> str:
    """The table of docs/OPERATIONS.md."""
    rows = [f"| `{metric.name}` | {metric.unit} | {metric.meaning} |" for metric in METRICS]
    return "\n".join(["| metric | unit | meaning |", "|---|---|---|", *rows]) + "\n"
