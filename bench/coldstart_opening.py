"""Run as a script by a fresh interpreter that has the session layer and boto3 on its path, and nothing else of ours.

``python -S -P coldstart_opening.py kit|boto3 URL BUCKET REQUESTS`` opens session ``REQUESTS["session_id"]``, or sends
the requests of ``REQUESTS["sent"]``, and prints as one line of JSON how long that took from before the first import.
"""

import time

_START, _START_CPU = time.perf_counter(), time.process_time()

import json  # noqa: E402  # the clock first
import sys  # noqa: E402


def open_with_kit(url: str, bucket: str, session_id: str) -> None:
    """Open the session as a function does. The stand-in is Amazon's S3, which is not tested for conditions."""
    from agent_sessions._storage.s3_conditions import trust
    from agent_sessions.s3_session_manager import S3SessionManager

    trust(url)
    S3SessionManager(session_id, bucket, endpoint_url=url)


def send_with_boto3(url: str, bucket: str, sent: list[list[str]]) -> None:
    """Send requests one after the other: no thread pool, no second connection to pay for."""
    import boto3
    from botocore.exceptions import ClientError

    client = boto3.Session().client("s3", endpoint_url=url)
    for verb, key in sent:
        if verb == "GET":
            try:
                client.get_object(Bucket=bucket, Key=key)["Body"].read()
            except ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchKey":
                    raise
        elif verb == "LIST":
            client.list_objects_v2(Bucket=bucket, Prefix=key)
        elif verb == "PUT":
            client.put_object(Bucket=bucket, Key=key, Body=b"{}", IfNoneMatch="*")
        else:
            raise ValueError(f"verb={verb} | cannot be sent again")


def main(arguments: list[str]) -> None:
    """Measure and print."""
    who, url, bucket, given = arguments
    requests = json.loads(given)
    if who == "kit":
        open_with_kit(url, bucket, requests["session_id"])
    else:
        send_with_boto3(url, bucket, requests["sent"])
    seconds, cpu_seconds = time.perf_counter() - _START, time.process_time() - _START_CPU
    sys.stdout.write(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
