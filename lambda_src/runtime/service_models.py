"""botocore's service descriptions, found without looking into all of them.

Before botocore loads a description, it lists all services to make sure that there is this one, for an S3 client twice.
That opens some 900 folders and looks for 2,800 files, of which a turn needs two.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING

from botocore.loaders import Loader

if TYPE_CHECKING:
    import botocore.session

# boto3's resources: few services have them, and botocore asks which.
_OF_FEW_SERVICES = "resources-1"


class ServiceModels(Loader):
    """Takes a service's folder as proof of the service.

    Loading a kind of description that the folder lacks fails as it does without this class, one step later.
    """

    def list_available_services(self, type_name: str) -> list[str]:
        """Names of the services, in order."""
        if type_name == _OF_FEW_SERVICES:
            return list(super().list_available_services(type_name))
        return sorted({name for path in self.search_paths for name in _folders(path)})


def use_service_models(session: botocore.session.Session) -> None:
    """Have a session find its service descriptions this way, in the places where it looks for them.

    Args:
        session: A session that has made no client yet.
    """
    places = session.get_component("data_loader").search_paths
    found = ServiceModels(extra_search_paths=places, include_default_search_paths=False)
    session.register_component("data_loader", found)


@lru_cache(maxsize=8)
def _folders(path: str) -> tuple[str, ...]:
    try:
        with os.scandir(path) as entries:
            return tuple(entry.name for entry in entries if entry.is_dir())
    except FileNotFoundError:  # ~/.aws/models is one of the places
        return ()
