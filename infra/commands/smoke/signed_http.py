"""HTTP requests signed for a Lambda Function URL (Signature Version 4, service ``lambda``)."""

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session

_HOST = re.compile(r"[a-z0-9]+\.lambda-url\.(?P<region>[a-z0-9-]+)\.on\.aws")


@dataclass(frozen=True)
class Answer:
    """Status and JSON body of a response; ``None`` for an empty body."""

    status: int
    body: Any


class SignedClient:
    """Calls one endpoint as the session's principal.

    Args:
        url: The endpoint's URL.
        session: Where credentials come from.
        timeout_seconds: How long a turn may take.
    """

    def __init__(self, url: str, session: boto3.Session, timeout_seconds: int = 130) -> None:
        self._url = url.rstrip("/")
        self._credentials = session.get_credentials()
        named = _HOST.fullmatch(urlsplit(url).hostname or "")
        self._region = named["region"] if named else session.region_name or "us-east-1"
        self._http = URLLib3Session(timeout=timeout_seconds)

    def call(self, method: str, path: str, body: Any = None, *, signed: bool = True) -> Answer:
        """Send one request.

        Args:
            method: HTTP method.
            path: With its leading slash.
            body: Sent as JSON.
            signed: ``False`` to see what happens to strangers.

        Returns:
            The answer.
        """
        data = None if body is None else json.dumps(body)
        request = AWSRequest(method, self._url + path, headers={"Content-Type": "application/json"}, data=data)
        if signed and self._credentials is not None:
            SigV4Auth(self._credentials, "lambda", self._region).add_auth(request)
        response = self._http.send(request.prepare())
        return Answer(response.status_code, _json(response.content))


def _json(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return content.decode(errors="replace")
