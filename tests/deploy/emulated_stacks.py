"""How CloudFormation updates a stack, where moto does it otherwise."""

import json
import threading
from typing import Any

from moto.cloudformation import parsing
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import CloudFormationBackend
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.responses import BaseResponse

_stacks = threading.RLock()


def extend_stacks() -> None:
    """Have stacks updated in CloudFormation's order, and not at all when nothing changes."""
    parsing.ResourceMap.update = _update_stack  # type: ignore[method-assign,assignment]
    CloudFormationResponse._validate_different_update = (  # type: ignore[method-assign]
        _refuse_an_update_of_nothing  # type: ignore[assignment]
    )
    CloudFormationResponse._dispatch = _one_at_a_time  # type: ignore[method-assign,assignment]
    CloudFormationBackend._resolve_update_parameters = _update_parameters  # type: ignore[method-assign,assignment]
    for cache in (parsing.get_model_list, parsing.get_model_map, parsing.get_name_type_map):
        cache.cache_clear()  # our own classes are among the models from now on


def _refuse_an_update_of_nothing(_response: Any, incoming_params: Any, stack_body: str, stack: Any) -> None:
    """As CloudFormation does; moto lets it pass as soon as the template has a parameter."""
    changed = [parameter for parameter in incoming_params if "ParameterValue" in parameter]
    if not changed and json.loads(stack_body) == json.loads(stack.template):
        raise ValidationError(message="No updates are to be performed.")


def _one_at_a_time(response: Any, *arguments: Any) -> Any:
    """Answer one request about stacks after the other: the CLI asks for events while a stack is being deleted."""
    with _stacks:
        return BaseResponse._dispatch(response, *arguments)


def _update_parameters(_backend: Any, instance: Any, incoming_params: list[dict[str, str]]) -> dict[str, str]:
    """Parameters of an update: moto forgets that one that was never given has its default as previous value."""
    previous = instance.parameters
    return {
        parameter["ParameterKey"]: parameter.get("ParameterValue") or previous[parameter["ParameterKey"]]
        for parameter in incoming_params
        if "ParameterValue" in parameter or parameter["ParameterKey"] in previous
    }


def _update_stack(resources: Any, template: Any, parameters: Any = None) -> None:
    """Update in CloudFormation's order: change and add first, remove last, and keep what is to be retained.

    Moto removes first, and adds before it changes: a new version of a function would be published of the old code.
    """
    difference = resources.build_resource_diff(template, parameters)
    removed = {name: (resources._parsed_resources.get(name), resources._resource_json_map[name])
               for name in difference["Remove"]}  # fmt: skip
    resources._template = template
    if parameters:
        resources.input_parameters = parameters
    resources.load_mapping()
    resources.load_parameters()
    resources.load_conditions()
    resources._resource_json_map = template["Resources"]
    update_one: Any = parsing.parse_and_update_resource
    for name in template["Resources"]:
        if name in difference["Modify"]:
            resource = template["Resources"][name]
            changed = update_one(name, resource, resources, resources._account_id, resources._region_name)
            if changed is None:
                raise NotImplementedError(f"the emulator cannot update {name} ({resource['Type']})")
            resources._parsed_resources[name] = changed
        else:
            _ = resources[name]
    for name, (resource, declaration) in removed.items():
        resources._parsed_resources.pop(name, None)
        if resource is not None and declaration.get("DeletionPolicy") != "Retain":
            resources._delete_resource(resource, declaration)
