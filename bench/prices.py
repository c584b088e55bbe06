"""What S3 charges for requests."""

from collections.abc import Mapping

PRICES_AS_OF = "November 2026"
PRICES_FOR = "S3 Standard, us-east-1"

USD_PER_1000_REQUESTS: Mapping[str, float] = {
    "PUT": 0.005,
    "LIST": 0.005,
    "LIST_VERSIONS": 0.005,
    "GET": 0.0004,
    "HEAD": 0.0004,
    "DELETE": 0.0,
    "DELETE_OBJECTS": 0.0,
}
"""List prices, https://aws.amazon.com/s3/pricing/; failed requests, 404 and 412 among them, cost the same."""


def usd_per_million(requests: Mapping[str, float]) -> float:
    """Price a turn.

    Args:
        requests: Requests of one turn by verb.

    Returns:
        USD for a million such turns, requests only: no storage, no transfer.

    Raises:
        KeyError: For a verb without a price.
    """
    return sum(count * USD_PER_1000_REQUESTS[verb] for verb, count in requests.items()) * 1000
