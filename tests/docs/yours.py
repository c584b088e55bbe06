"""docs/YOURS.md as instructions: what it says to write is written, what it says to run is listed."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import boto3

from tests.docs.documents import ROOT, blocks, files, transcript
from tests.infra.wheels import wheel

PAGE = (ROOT / "docs" / "YOURS.md").read_text(encoding="utf-8")
TOKEN = "xyzzy-17"


def commands() -> list[str]:
    """What the page says to run."""
    return [command for command, _ in transcript(PAGE)]


def create_secret() -> tuple[str, str]:
    """Name and value of the secret that the page says to create; the value is :data:`TOKEN` instead of the page's."""
    (create,) = [command for command in commands() if "create-secret" in command]
    name, value = re.findall(r"--name (\S+) --secret-string (\S+)", create)[0]
    return name, value.replace("the-key", TOKEN)


def write(clone: Path) -> None:
    """Write all that the page says to write, its commands aside."""
    for name, content in files(PAGE).items():
        (clone / name).write_text(content, encoding="utf-8")
    agent = clone / "lambda_src" / "agent" / "__init__.py"
    text = agent.read_text(encoding="utf-8")
    for change in blocks(PAGE, "diff"):
        before, after = (
            "".join(line[1:] for line in change.splitlines(keepends=True) if line[0] in kept) for kept in (" -", " +")
        )
        assert text.count(before) == 1
        text = text.replace(before, after)
    agent.write_text(text, encoding="utf-8")
    policy, context = blocks(PAGE, "json")
    agent.with_name("policy.json").write_text(policy, encoding="utf-8")
    cdk = clone / "cdk.json"
    settings = json.loads(cdk.read_text(encoding="utf-8"))
    settings["context"] |= json.loads(context)
    cdk.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def write_index(folder: Path) -> Path:
    """A folder with the package that the page says to require, so that no registry is asked."""
    module = "def naturaltime(seen):\n    return '2 hours ago' if seen.year == 2026 else 'never'\n"
    wheel(folder, "humanize", "4.13", module=module)
    return folder


def create_orders(tables: Any) -> None:
    """The table that the page names, with one order.

    Args:
        tables: A client for DynamoDB.
    """
    tables.create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    tables.put_item(TableName="orders", Item={"id": {"S": "A-17"}, "parcel": {"S": "P-1"}})


@contextmanager
def carrier() -> Iterator[str]:
    """The carrier's API, which knows one parcel and one key."""

    class Carrier(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = (self.path, self.headers["authorization"]) == ("/parcels/P-1", f"Bearer {TOKEN}")
            content = json.dumps({"place": "Oslo", "seen_at": "2026-11-28T12:00:00+00:00"}).encode()
            self.send_response(200 if known else 403)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Carrier)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def administrator(url: str, region: str) -> Any:
    """Makes clients of an emulated AWS: ``administrator(url, region)("dynamodb")``."""
    session = boto3.Session("administrator", "testing", region_name=region)
    return lambda service: session.client(service, endpoint_url=url)
