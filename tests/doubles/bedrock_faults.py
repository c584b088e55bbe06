"""What Bedrock answers when it does not answer, worded as it words it.

Each is an exception and so a part of a script: as the first part it becomes the HTTP error, after other parts the
exception event inside the stream. What refuses access, a use case or a length is quoted from reports of the live
service; the other texts are ours.
"""

from typing import Any

# https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html#API_runtime_ConverseStream_Errors
STATUS = {
    "AccessDeniedException": 403,
    "InternalServerException": 500,
    "MissingAuthenticationTokenException": 403,
    "ModelErrorException": 424,
    "ModelNotReadyException": 429,
    "ModelStreamErrorException": 424,
    "ModelTimeoutException": 408,
    "ResourceNotFoundException": 404,
    "ServiceUnavailableException": 503,
    "ThrottlingException": 429,
    "ValidationException": 400,
}

# The only exceptions that ConverseStream declares as events of its stream.
IN_STREAM = {
    "InternalServerException",
    "ModelStreamErrorException",
    "ServiceUnavailableException",
    "ThrottlingException",
    "ValidationException",
}


class BedrockFault(Exception):  # noqa: N818 - a fault is what AWS calls it, and no test catches it
    """An error of the Bedrock service.

    Args:
        code: its name, such as ``ThrottlingException``.
        message: its text.
        **details: further members, such as ``originalStatusCode``.
    """

    def __init__(self, code: str, message: str, **details: Any) -> None:
        if code not in STATUS:
            raise ValueError(f"{code} is no error of ConverseStream; these are: {', '.join(sorted(STATUS))}")
        super().__init__(f"{code}: {message}")
        self.code = code
        self.body = {"message": message, **details}

    @property
    def status(self) -> int:
        """The HTTP status it comes with."""
        return STATUS[self.code]


def throttled(message: str = "Too many requests, please wait before trying again.") -> BedrockFault:
    """Too many requests or tokens a minute."""
    return BedrockFault("ThrottlingException", message)


def model_access_denied() -> BedrockFault:
    """The account has no access to the model."""
    return BedrockFault("AccessDeniedException", "You don't have access to the model with the specified model ID.")


def marketplace_denied() -> BedrockFault:
    """The role may not make the model's first-use subscription."""
    return BedrockFault(
        "AccessDeniedException",
        "Model access is denied due to IAM user or service role is not authorized to perform the required AWS "
        "Marketplace actions (aws-marketplace:ViewSubscriptions, aws-marketplace:Subscribe) to enable access to this "
        "model. Refer to the Amazon Bedrock documentation for further details. Your AWS Marketplace subscription for "
        "this model cannot be completed at this time. If you recently fixed this issue, try again after 2 minutes.",
    )


def use_case_not_submitted() -> BedrockFault:
    """The account never filled in Anthropic's form; note that this is a 404, not a 403."""
    return BedrockFault(
        "ResourceNotFoundException",
        "Model use case details have not been submitted for this account. Fill out the Anthropic use case details "
        "form before using the model. If you have already filled out the form, try again in 15 minutes.",
    )


def not_authorized(
    principal: str = "arn:aws:sts::123456789012:assumed-role/agent/session",
    action: str = "bedrock:InvokeModelWithResponseStream",
    resource: str = "arn:aws:bedrock:eu-west-1::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0",
) -> BedrockFault:
    """The role's policy does not allow the call."""
    return BedrockFault(
        "AccessDeniedException",
        f"User: {principal} is not authorized to perform: {action} on resource: {resource} because no "
        "identity-based policy allows the action",
    )


def too_long() -> BedrockFault:
    """The conversation does not fit the model's window."""
    return BedrockFault("ValidationException", "Input is too long for requested model.")


def model_stream_error(message: str = "The model stopped answering.", original_status: int = 500) -> BedrockFault:
    """The model failed while it was streaming."""
    return BedrockFault(
        "ModelStreamErrorException", message, originalStatusCode=original_status, originalMessage=message
    )


def internal_error(
    message: str = "The system encountered an unexpected error during processing. Try your request again.",
) -> BedrockFault:
    """Bedrock itself failed."""
    return BedrockFault("InternalServerException", message)


def unavailable(message: str = "Bedrock is unable to process your request.") -> BedrockFault:
    """Bedrock is out of capacity."""
    return BedrockFault("ServiceUnavailableException", message)
