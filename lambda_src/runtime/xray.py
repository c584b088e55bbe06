"""Sends what a turn was to AWS X-Ray: a part of the function's trace that is found by session and turn.

Lambda traces the invocation itself. This adds one subsegment with annotations, as a datagram to the daemon that Lambda
runs beside the function. AWS' SDK for that ends in February 2027, and would be a package of its own in the layer.

Sources: https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html (the daemon's format) and
https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html (the document).
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEADER = b'{"format": "json", "version": 1}\n'
_DEFAULT_DAEMON = "127.0.0.1:2000"


def send(name: str, started: float, ended: float, annotations: Mapping[str, str | None]) -> None:
    """Send a subsegment of the present invocation's trace, if the invocation is sampled.

    Args:
        name: What is called so in the trace.
        started: Seconds since the epoch.
        ended: Likewise.
        annotations: What the trace is found by. What is ``None`` is left out.
    """
    trace = _fields(os.environ.get("_X_AMZN_TRACE_ID", ""))
    if trace.get("Sampled") != "1" or not {"Root", "Parent"} <= trace.keys():
        return
    document: dict[str, Any] = {
        "type": "subsegment",
        "id": secrets.token_hex(8),
        "trace_id": trace["Root"],
        "parent_id": trace["Parent"],
        "name": name,
        "start_time": started,
        "end_time": ended,
        "annotations": {key: value for key, value in annotations.items() if value is not None},
    }
    host, _, port = _daemon().rpartition(":")
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:  # a turn fails for no trace
        daemon.sendto(_HEADER + json.dumps(document).encode(), (host, int(port)))


def _daemon() -> str:
    address = os.environ.get("AWS_XRAY_DAEMON_ADDRESS", _DEFAULT_DAEMON)
    # It may name the address of each protocol: "tcp:127.0.0.1:2000 udp:127.0.0.2:2001".
    of_udp = [part for part in address.split() if part.startswith("udp:")]
    return (of_udp or [address])[0].removeprefix("udp:")


def _fields(header: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in header.split(";"))
    return {name: value for name, _, value in pairs if value}
