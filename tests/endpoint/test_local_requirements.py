"""What `make run` installs: what is deployed, in the same versions, and the HTTP server that is not."""

import re
from pathlib import Path

import pytest

from lambda_src.models.providers import PROVIDER_PACKAGES

REQUIREMENTS = Path(__file__).parents[2] / "requirements"
SERVER = {"h11", "python-dotenv", "starlette", "uvicorn"}


def pins(name: str) -> dict[str, str]:
    """Package names and versions of a lock, without the markers of other systems."""
    return dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", (REQUIREMENTS / name).read_text(), re.MULTILINE))


def test_the_local_server_runs_on_what_is_deployed() -> None:
    deployed, local, tested = pins("endpoint.txt"), pins("local.txt"), pins("dev.txt")

    assert deployed.items() <= local.items() <= tested.items()
    assert set(local) >= SERVER


@pytest.mark.parametrize("provider", sorted(PROVIDER_PACKAGES))
def test_a_providers_lock_is_the_endpoints_and_its_sdk(provider: str) -> None:
    deployed, with_sdk, tested = pins("endpoint.txt"), pins(f"endpoint-{provider}.txt"), pins("dev.txt")

    assert deployed.items() <= with_sdk.items() <= tested.items()
    package = PROVIDER_PACKAGES[provider].replace(".", "-")
    assert package in with_sdk
    assert package not in deployed


def test_make_run_installs_the_local_lock_and_make_deploy_ships_the_endpoints() -> None:
    root = REQUIREMENTS.parent
    makefile = (root / "Makefile").read_text()
    shipped = (root / "infra" / "packaging" / "kit_files.py").read_text()

    assert re.search(r"^run: \$\(VENV\)/\.local ", makefile, re.MULTILINE)
    needed = r"^\$\(VENV\)/\.local: requirements/local\.txt lambda_src/agent/requirements\.txt "
    assert re.search(needed, makefile, re.MULTILINE)
    assert '"endpoint.txt"' in shipped
