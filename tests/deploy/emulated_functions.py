"""What moto's CloudFormation drops of functions and layers, and the alias and URL that it does not know."""

import contextlib
from types import MethodType
from typing import Any

import boto3
from moto.awslambda import models as lambda_models
from moto.awslambda.exceptions import UnknownFunctionException
from moto.awslambda.models import LambdaFunction, LambdaVersion, LayerVersion, lambda_backends
from moto.core.common_models import CloudFormationModel

Properties = dict[str, Any]


class Packages:
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


def extend_functions() -> None:
    """Have functions, versions and layers made and changed with all that their template says."""
    _extend_versions_and_layers()
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
        answer["Code"]["Location"] = Packages.location(function.code)
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
        answer["Content"]["Location"] = Packages.location(layer.content)
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


class AsynchronousInvocation(CloudFormationModel):
    """``AWS::Lambda::EventInvokeConfig``; moto keeps one for a function, whatever its qualifier."""

    def __init__(self, function: str, qualifier: str) -> None:
        self._function = function
        self.physical_resource_id = f"{function}|{qualifier}"

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::Lambda::EventInvokeConfig"

    @classmethod
    def create_from_cloudformation_json(  # type: ignore[override]
        cls, _name: str, resource: Any, account: str, region: str, **_more: Any
    ) -> "AsynchronousInvocation":
        properties = dict(resource["Properties"])
        function, qualifier = properties.pop("FunctionName"), properties.pop("Qualifier")
        # CloudFormation's numbers are text by now.
        config = {name: int(value) for name, value in properties.items()}
        lambda_backends[account][region].put_function_event_invoke_config(function, config)
        return cls(function, qualifier)

    def delete(self, _account: str, _region: str) -> None:
        """It goes with its function."""
