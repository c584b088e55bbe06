"""Questions to the function's log, saved in CloudWatch Logs Insights. docs/OPERATIONS.md lists the same."""

from typing import Final, NamedTuple

from aws_cdk import aws_logs as logs
from constructs import Construct


class SavedQuery(NamedTuple):
    """One question.

    Attributes:
        title: What it is called.
        question: What it answers.
        text: In the language of Logs Insights, a step a line.
    """

    title: str
    question: str
    text: str

    @property
    def construct_id(self) -> str:
        """Its id in the construct tree."""
        return self.title.title().replace(" ", "")


QUERIES: Final = (
    SavedQuery(
        "Turns of a session",
        "What happened in one session? Replace `SESSION_ID`; with `turn_id` or `request_id` it finds one turn.",
        "fields @timestamp, request_id, turn_id, agent_id, stop_reason, problem, TurnDuration, ModelDuration, "
        "SessionOverhead, InputTokens, OutputTokens\n"
        '| filter message = "request measured" and session_id = "SESSION_ID"\n'
        "| sort @timestamp desc\n"
        "| limit 100",
    ),
    SavedQuery(
        "Slowest turns",
        "Which turns took longest, and where did the time go? In milliseconds.",
        "fields @timestamp, session_id, turn_id, TurnDuration, ModelDuration, ToolDuration, LeaseWait, "
        "SessionOverhead, RestoreDuration, RestoredMessages, S3Requests\n"
        '| filter message = "request measured" and ispresent(TurnDuration)\n'
        "| sort TurnDuration desc\n"
        "| limit 25",
    ),
    SavedQuery(
        "Refusals by reason",
        "Which requests got no reply, and why?",
        'filter message = "request refused"\n'
        "| stats count(*) as refusals, max(@timestamp) as last by problem, status, error, error_code\n"
        "| sort refusals desc",
    ),
    SavedQuery(
        "Tokens by day",
        "How much did the model read and write?",
        'filter message = "request measured"\n'
        "| stats sum(Turns) as turns, sum(ModelCalls) as calls, sum(InputTokens) as input, "
        "sum(OutputTokens) as output, "
        "sum(CacheReadTokens) as cache_read, sum(CacheWriteTokens) as cache_write by bin(1d)",
    ),
    SavedQuery(
        "Cold starts",
        "How many requests waited for a new process, and how long did it take to start? In milliseconds.",
        'filter message = "request measured" or @type = "REPORT"\n'
        "| stats sum(Requests) as requests, sum(ColdStarts) as cold_starts, avg(@initDuration) as start_ms by bin(1h)",
    ),
)


class SavedQueries(Construct):
    """The questions to one endpoint's log. They cost nothing until they are asked.

    Args:
        scope: Parent construct.
        construct_id: Id within it.
        service: What the function calls itself: the folder of the questions.
        log_group: The function's log.
    """

    def __init__(self, scope: Construct, construct_id: str, *, service: str, log_group: logs.ILogGroup) -> None:
        super().__init__(scope, construct_id)
        for query in QUERIES:
            logs.CfnQueryDefinition(
                self,
                query.construct_id,
                name=f"{service}/{query.title}",
                query_string=query.text,
                log_group_names=[log_group.log_group_name],
            )


def as_markdown() -> str:
    """The section's content in docs/OPERATIONS.md."""
    parts = [f"**{query.title}.** {query.question}\n\n```text\n{query.text}\n```" for query in QUERIES]
    return "\n\n".join(parts) + "\n"
