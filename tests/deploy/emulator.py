"""An emulated AWS: moto's server, taught what the kit's template needs and moto drops or does not know.

Everything stands for what AWS does with a template; nothing of the kit is replaced. What is left out: statements that
deny under a condition, because moto evaluates no conditions and would deny everything (the template tests check them).
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

import tests.deploy.emulated_alarms  # noqa: F401 - moto finds the class
from tests.deploy.emulated_buckets import extend_buckets
from tests.deploy.emulated_functions import Packages, extend_functions
from tests.deploy.emulated_queries import extend_logs
from tests.deploy.emulated_stacks import extend_stacks
from tests.deploy.permission_check import PermissionCheck

ACCOUNT = "123456789012"


@dataclass(frozen=True)
class Emulator:
    """An emulated AWS on this machine.

    Attributes:
        url: Its address. With the name ``localhost``: clients put the bucket's name in front of it.
        permissions: What stands between the function and S3.
    """

    url: str
    permissions: PermissionCheck


@contextmanager
def emulator(function_access_key: str) -> Iterator[Emulator]:
    """Run an emulator.

    Args:
        function_access_key: The access key id under which the deployed function will call.

    Yields:
        The emulator.
    """
    extend_buckets()
    extend_functions()
    extend_logs()
    extend_stacks()
    # Its log would stand between the transcript's lines; what goes wrong reaches the client as an error.
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    permissions = PermissionCheck(DomainDispatcherApplication(create_backend_app), function_access_key)
    server = make_server("127.0.0.1", 0, permissions, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://localhost:{server.server_port}"
    Packages.url = url
    try:
        yield Emulator(url, permissions)
    finally:
        server.shutdown()
        server.server_close()
