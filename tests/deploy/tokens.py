"""A deployed function that takes tokens: who comes in through its open URL, and who does not."""

import dataclasses
import time

from agent_sessions_client import BearerAuth, Client, EndpointProblemError
from infra.commands.smoke.__main__ import forged
from infra.commands.smoke.conversation import check_forged_token
from infra.commands.smoke.report import Report, expect
from tests.deploy.function_url import FunctionUrl
from tests.deploy.lambda_process import DeployedFunction
from tests.doubles.bedrock_server import BedrockServer
from tests.doubles.issuer import Issuer
from tests.doubles.script import ScriptItem

_PERSON = "ada-of-the-rehearsal"
_UNAUTHORIZED = 401

# What the model says, in the order of the story.
SCRIPT: list[ScriptItem] = ["Hello.", "It is 4711.", "I say it to nobody but you."]


class Tokens:
    """Talks to a deployed function through its URL of type ``NONE``, as people with tokens of an issuer do.

    Args:
        function: Takes the issuer's tokens.
        issuer: The issuer.
        report: Where the results go.
    """

    def __init__(self, function: DeployedFunction, issuer: Issuer, report: Report) -> None:
        self._function = function
        self._issuer = issuer
        self._report = report

    def hold(self) -> None:
        """The whole story; a process of the function's for each request."""
        check = self._report.check
        token = self._issuer.token(_PERSON)
        with BedrockServer(*SCRIPT) as bedrock:
            environment = {**self._function.environment, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock.url}
            function = dataclasses.replace(self._function, environment=environment)
            with FunctionUrl(function, signed=False) as url:
                with Client(url.url, BearerAuth(token)) as person:
                    session = check("a token of the issuer opens it: a session begins", lambda: _begin(person)) or ""
                    check("the next turn, in another process, remembers it", lambda: _goes_on(person, session))
                with Client(url.url) as stranger:
                    check("without a token a turn is refused", lambda: _refused(stranger, session, _UNAUTHORIZED))
                with Client(url.url, BearerAuth(forged(token))) as forger:
                    check_forged_token(self._report, forger)
                old = self._issuer.token(_PERSON, exp=int(time.time()) - 600)
                with Client(url.url, BearerAuth(old)) as late:
                    check("with an expired token it is refused", lambda: _refused(late, session, _UNAUTHORIZED))
            check("an event that names this person goes on with the session", lambda: self._event(function, session))
        told = [len(request.body["messages"]) for request in bedrock.requests]
        check("the model heard this person's three prompts, and nobody else's", lambda: expect(told == [1, 3, 5], told))
        fetched = self._issuer.fetches()
        check("the function fetched the issuer's keys", lambda: expect(fetched > 0, fetched))

    def _event(self, function: DeployedFunction, session: str) -> None:
        event = {
            "owner": {"issuer": self._issuer.url, "subject": _PERSON},
            "session_id": session,
            "prompt": "Whom do you tell?",
            "request_id": "an-execution-of-the-rehearsal",
        }
        outcome = function.invoke(event)
        expect(outcome.error is None, outcome)
        expect(outcome.value["restored_messages"] == 4, outcome.value)


def _begin(person: Client) -> str:
    reply = person.send(None, "My favourite number is 4711.")
    expect(reply.data["restored_messages"] == 0, reply.data)
    return reply.session_id


def _goes_on(person: Client, session: str) -> None:
    reply = person.send(session, "Which number is my favourite?")
    expect(reply.text == "It is 4711.", reply)
    expect(reply.data["restored_messages"] == 2, reply.data)


def _refused(caller: Client, session: str, status: int) -> None:
    try:
        reply = caller.send(session, "What was said here?")
    except EndpointProblemError as refusal:
        expect(refusal.status == status, refusal)
    else:
        expect(holds=False, found=reply)
