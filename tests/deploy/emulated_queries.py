"""Saved questions to logs, which moto does not know at all."""

import json
import uuid
from typing import Any

from moto.core.common_models import CloudFormationModel
from moto.logs.responses import LogsResponse

_saved: dict[str, dict[str, Any]] = {}
"""By id: what ``DescribeQueryDefinitions`` says of each."""


class QueryDefinition(CloudFormationModel):
    """A saved question of a stack. The class is all it takes: moto looks for subclasses by their type."""

    def __init__(self, query_id: str) -> None:
        self.query_id = query_id

    @property
    def physical_resource_id(self) -> str:
        return self.query_id

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::Logs::QueryDefinition"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **_more: Any
    ) -> "QueryDefinition":
        return cls._save(str(uuid.uuid4()), cloudformation_json["Properties"])

    @classmethod
    def update_from_cloudformation_json(cls, **arguments: Any) -> "QueryDefinition":  # type: ignore[override]
        return cls._save(arguments["original_resource"].query_id, arguments["cloudformation_json"]["Properties"])

    @classmethod
    def _save(cls, query_id: str, declared: dict[str, Any]) -> "QueryDefinition":
        _saved[query_id] = {
            "queryDefinitionId": query_id,
            "name": declared["Name"],
            "queryString": declared["QueryString"],
            "logGroupNames": declared["LogGroupNames"],
        }
        return cls(query_id)

    def delete(self, _account: str, _region: str) -> None:
        _saved.pop(self.query_id, None)


def _describe_query_definitions(_response: LogsResponse) -> str:
    return json.dumps({"queryDefinitions": list(_saved.values())})


def extend_logs() -> None:
    """Let the saved questions be read back."""
    LogsResponse.describe_query_definitions = _describe_query_definitions  # type: ignore[attr-defined]
