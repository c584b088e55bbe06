"""Prints the HTTP contract, an OpenAPI document: ``python -m lambda_src.doors``."""

import sys

from lambda_src.doors.openapi import document
from lambda_src.doors.routes import build_router
from lambda_src.endpoint import Endpoint
from lambda_src.settings import load_settings

if __name__ == "__main__":
    # The contract does not depend on the settings, and the store is never opened.
    sys.stdout.write(document(build_router(Endpoint(load_settings({"SESSION_STORE": "file:///sessions"})))))
