"""Moto's CloudFormation, taught what the kit's template needs and moto drops or does not know.

Everything here stands for what AWS does with a template; nothing of the kit is replaced. What is left out: statements
that deny under a condition, because moto evaluates no conditions and would deny everything (the template tests check
them), and CloudWatch alarms.
"""

import contextlib
import copy
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import boto3
from moto.awslambda import models as lambda_models
from moto.awslambda.exceptions import UnknownFunctionException
from moto.awslambda.models import LambdaFunction, LambdaVersion, LayerVersion, lambda_backends
from moto.cloudformation import parsing
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import CloudFormationBackend
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.common_models import CloudFormationModel
from moto.core.responses import BaseResponse
from moto.s3.exceptions import MissingBucket
from moto.s3.models import FakeBucket, s3_backends
from moto.server import ThreadedMotoServer

ACCOUNT = "123456789012"
Properties = dict[str, Any]
_stacks = threading.RLock()


@contextmanager
def emulator() -> Iterator[str]:
    """An emulated AWS on this machine.

    Yields:
        Its URL. With the name ``localhost``: clients put the bucket's name in front of it.
    """
    _extend()
    # Its log would stand between the transcript's lines; what goes wrong reaches the client as an error.
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    url = f"http://localhost:{port}"
    _Packages.url = url
    try:
        yield url
    finally:
        server.stop()


def _extend() -> None:
    _extend_buckets()
    _extend_functions()
    _extend_versions_and_layers()
    parsing.ResourceMap.update = _update_stack  # type: ignore[method-assign,assignment]
    CloudFormationResponse._validate_different_update = (  # type: ignore[method-assign]
        _refuse_an_update_of_nothing  # type: ignore[assignment]
    )
    CloudFormationResponse._dispatch = _one_at_a_time  # type: ignore[method-assign,assignment]
    CloudFormationBackend._resolve_update_parameters = _update_parameters  # type: ignore[method-assign,assignment]
    for cache in (parsing.get_model_list, parsing.get_model_map, parsing.get_name_type_map):
        cache.cache_clear()  # the classes below are among the models from now on


# --- buckets --------------------------------------------------------------------------------------------


def _extend_buckets() -> None:
    create, update = FakeBucket.create_from_cloudformation_json, FakeBucket.update_from_cloudformation_json

    def create_bucket(_cls: Any, name: str, resource: Any, account: str, region: str, **more: Any) -> FakeBucket:
        bucket = create(name, resource, account, region, **more)
        _apply_bucket_properties(bucket, resource["Properties"])
        return bucket

    def update_bucket(_cls: Any, **arguments: Any) -> FakeBucket:
        bucket = update(**arguments)
        _apply_bucket_properties(bucket, arguments["cloudformation_json"]["Properties"])
        return bucket

    FakeBucket.create_from_cloudformation_json = MethodType(create_bucket, FakeBucket)  # type: ignore[method-assign]
    FakeBucket.update_from_cloudformation_json = MethodType(update_bucket, FakeBucket)  # type: ignore[method-assign]


def _apply_bucket_properties(bucket: FakeBucket, properties: Properties) -> None:
    backend = s3_backends[bucket.account_id]["aws"]
    if "LifecycleConfiguration" in properties:
        rules = [_lifecycle_rule(rule) for rule in properties["LifecycleConfiguration"]["Rules"]]
        backend.put_bucket_lifecycle_configuration(bucket.name, rules)
    if "PublicAccessBlockConfiguration" in properties:
        block = {name: str(value).lower() for name, value in properties["PublicAccessBlockConfiguration"].items()}
        backend.put_public_access_block(bucket.name, block)
    if "OwnershipControls" in properties:
        backend.put_bucket_ownership_controls(bucket.name, {"Rule": properties["OwnershipControls"]["Rules"][0]})
    if "VersioningConfiguration" in properties:
        backend.put_bucket_versioning(bucket.name, properties["VersioningConfiguration"]["Status"])


def _lifecycle_rule(rule: Properties) -> Properties:
    # From CloudFormation's spelling to the API's.
    expiration: Properties = {}
    if "ExpirationInDays" in rule:
        expiration["Days"] = rule["ExpirationInDays"]
    if "ExpiredObjectDeleteMarker" in rule:
        expiration["ExpiredObjectDeleteMarker"] = rule["ExpiredObjectDeleteMarker"]
    answer: Properties = {"ID": rule.get("Id", "rule"), "Status": rule["Status"]}
    answer["Filter"] = {"Prefix": rule.get("Prefix", "")}
    if expiration:
        answer["Expiration"] = expiration
    for name in ("AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration"):
        if name in rule:
            answer[name] = rule[name]
    return answer


class BucketPolicy(CloudFormationModel):
    """``AWS::S3::BucketPolicy``, without its conditional denials."""

    def __init__(self, bucket: str) -> None:
        self.physical_resource_id = bucket

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::S3::BucketPolicy"

    @classmethod
    def create_from_cloudformation_json(  # type: ignore[override]
        cls, _name: str, resource: Any, account: str, _region: str, **_more: Any
    ) -> "BucketPolicy":
        properties = resource["Properties"]
        document = copy.deepcopy(properties["PolicyDocument"])
        statements = document["Statement"]
        document["Statement"] = [s for s in statements if not (s["Effect"] == "Deny" and "Condition" in s)]
        if document["Statement"]:
            s3_backends[account]["aws"].put_bucket_policy(properties["Bucket"], json.dumps(document).encode())
        return cls(properties["Bucket"])

    def delete(self, account: str, _region: str) -> None:
        """Moto deletes in no order: the bucket may have gone first."""
        with contextlib.suppress(MissingBucket):
            s3_backends[account]["aws"].delete_bucket_policy(self.physical_resource_id)


# --- functions ------------------------------------------------------------------------------------------


class _Packages:
    """Hands out packages as Lambda does: with presigned URLs."""

    url = ""

    @classmethod
    def location(cls, code: Properties) -> str:
        s3 = boto3.client(
            "s3",
            endpoint_url=cls.url,
            region_name="us-east-1",
            aws_access_key_id="lambda",
            aws_secret_access_key="lambda",
        )
        return s3.generate_presigned_url("get_object", {"Bucket": code["S3Bucket"], "Key": code["S3Key"]}, 600)


def _extend_functions() -> None:
    create, update = LambdaFunction.create_from_cloudformation_json, LambdaFunction.update_from_cloudformation_json
    configuration, code = LambdaFunction.get_configuration, LambdaFunction.get_code

    def create_function(_cls: Any, name: str, resource: Any, *place: str, **more: Any) -> LambdaFunction:
        function = create(name, resource, *place, **more)
        _apply_function_properties(function, resource["Properties"])
        return function

    def update_function(_cls: Any, **arguments: Any) -> LambdaFunction:
        function = update(**arguments)
        _apply_function_properties(function, arguments["cloudformation_json"]["Properties"])
        return function

    def get_configuration(function: LambdaFunction, *arguments: Any, **more: Any) -> Properties:
        answer = configuration(function, *arguments, **more)
        properties: Properties = getattr(function, "declared", {})
        if "LoggingConfig" in properties:
            answer["LoggingConfig"] = {"LogFormat": "Text", **properties["LoggingConfig"]}
        if "SnapStart" in properties:
            answer["SnapStart"] = {**properties["SnapStart"], "OptimizationStatus": "On"}
        return answer

    def get_code(function: LambdaFunction) -> Properties:
        answer = code(function)
        answer["Code"]["Location"] = _Packages.location(function.code)
        return answer

    LambdaFunction.create_from_cloudformation_json = MethodType(  # type: ignore[method-assign]
        create_function, LambdaFunction
    )
    LambdaFunction.update_from_cloudformation_json = MethodType(  # type: ignore[method-assign]
        update_function, LambdaFunction
    )
    LambdaFunction.get_configuration = get_configuration  # type: ignore[method-assign,assignment]
    LambdaFunction.get_code = get_code  # type: ignore[method-assign,assignment]


def _apply_function_properties(function: LambdaFunction, properties: Properties) -> None:
    function.layers = function._get_layers_data(properties.get("Layers", []))
    function.architectures = properties.get("Architectures", ["x86_64"])
    function.reserved_concurrency = properties.get("ReservedConcurrentExecutions")
    function.declared = properties  # type: ignore[attr-defined]


def _extend_versions_and_layers() -> None:
    layer_version = LayerVersion.get_layer_version

    def get_layer_version(layer: LayerVersion) -> Properties:
        answer = layer_version(layer)
        answer["Content"]["Location"] = _Packages.location(layer.content)
        return answer

    def create_layer(_cls: Any, name: str, resource: Any, account: str, region: str, **_more: Any) -> LayerVersion:
        spec = {**resource["Properties"], "LayerName": resource["Properties"].get("LayerName", name)}
        return lambda_backends[account][region].publish_layer_version(spec)

    def replace_layer(_cls: Any, **arguments: Any) -> LayerVersion:
        # Any change is a new version; the old one stays (UpdateReplacePolicy: Retain).
        place = (arguments["account_id"], arguments["region_name"])
        spec = {**arguments["cloudformation_json"]["Properties"], "LayerName": arguments["original_resource"].name}
        return lambda_backends[place[0]][place[1]].publish_layer_version(spec)

    def version_attribute(version: LambdaVersion, attribute: str) -> str:
        if attribute != "Version":
            raise NotImplementedError(attribute)
        return str(version.version)

    LayerVersion.get_layer_version = get_layer_version  # type: ignore[method-assign,assignment]
    LayerVersion.create_from_cloudformation_json = MethodType(  # type: ignore[method-assign]
        create_layer, LayerVersion
    )
    LayerVersion.update_from_cloudformation_json = MethodType(  # type: ignore[method-assign]
        replace_layer, LayerVersion
    )
    LayerVersion.physical_resource_id = LayerVersion.arn  # type: ignore[attr-defined]
    LambdaVersion.get_cfn_attribute = version_attribute  # type: ignore[attr-defined]
    LambdaVersion.physical_resource_id = property(  # type: ignore[attr-defined]
        lambda version: f"version-{version.version}"
    )
    LambdaVersion.delete = lambda *_place: None  # type: ignore[attr-defined]  # published versions stay


class FunctionAlias(CloudFormationModel):
    """``AWS::Lambda::Alias``."""

    def __init__(self, alias: lambda_models.LambdaAlias, function: str) -> None:
        self._alias = alias
        self._function = function

    @property
    def physical_resource_id(self) -> str:
        return self._alias.arn

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::Lambda::Alias"

    @classmethod
    def create_from_cloudformation_json(  # type: ignore[override]
        cls, _name: str, resource: Any, account: str, region: str, **_more: Any
    ) -> "FunctionAlias":
        properties = resource["Properties"]
        backend = lambda_backends[account][region]
        function = properties["FunctionName"]
        alias = backend.create_alias(properties["Name"], function, str(properties["FunctionVersion"]), "", "")
        return cls(alias, function)

    @classmethod
    def update_from_cloudformation_json(cls, **arguments: Any) -> "FunctionAlias":  # type: ignore[override]
        properties = arguments["cloudformation_json"]["Properties"]
        original: FunctionAlias = arguments["original_resource"]
        version = str(properties["FunctionVersion"])
        original._alias.update(None, version, None)
        return original

    def delete(self, account: str, region: str) -> None:
        """Moto deletes in no order: the function may have gone first."""
        with contextlib.suppress(UnknownFunctionException):
            lambda_backends[account][region].delete_alias(self._alias.name, self._function)


class FunctionUrl(CloudFormationModel):
    """``AWS::Lambda::Url``. It has an address; nothing listens there."""

    def __init__(self, url: str, arn: str) -> None:
        self._url = url
        self.physical_resource_id = arn

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::Lambda::Url"

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return attr in {"FunctionUrl", "FunctionArn"}

    def get_cfn_attribute(self, attribute: str) -> str:
        return f"{self._url}/" if attribute == "FunctionUrl" else self.physical_resource_id

    @classmethod
    def create_from_cloudformation_json(  # type: ignore[override]
        cls, _name: str, resource: Any, account: str, region: str, **_more: Any
    ) -> "FunctionUrl":
        properties = resource["Properties"]
        backend = lambda_backends[account][region]
        url = backend.create_function_url_config(properties["TargetFunctionArn"], properties).url
        return cls(url, f"{properties['TargetFunctionArn']}:{properties['Qualifier']}")

    def delete(self, _account: str, _region: str) -> None:
        """It goes with its function."""


# --- stacks ---------------------------------------------------------------------------------------------


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
    update_one: Callable[..., Any] = parsing.parse_and_update_resource
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
