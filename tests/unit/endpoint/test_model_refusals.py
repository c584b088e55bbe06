"""How providers say that a request is not valid, and what is no such word."""

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ParamValidationError, ReadTimeoutError

from lambda_src.answers.model_refusals import refusal_of
from tests.doubles.scripted_model import overflow, throttled


def aws(code: str, words: str = "", **response: Any) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": words}, **response}
    return ClientError(answer, "ConverseStream")


def api(name: str, words: str = "no", **attributes: Any) -> Exception:
    """An error of a provider's SDK, which is not installed here: what counts is its shape."""
    error: Exception = type(name, (Exception,), attributes)(words)
    return error


def response(status: int) -> Any:
    return type("Response", (), {"status_code": status})()


def botocores_own() -> Exception:
    client = boto3.client("bedrock-runtime", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with pytest.raises(ParamValidationError) as found:
        client.converse(modelId="m", messages=[{"role": "user", "content": [{"hologram": {}}]}])
    return found.value


REFUSALS = {
    "Bedrock": aws("ValidationException", "Could not process image"),
    "Bedrock, in the stream": aws("validationException", "The model returned the following errors: ..."),
    "Bedrock, a model that it hosts": aws("ModelErrorException", "no", originalStatusCode=400),
    "Strands, a context that is too long": overflow(),
    "Anthropic": api("BadRequestError", "messages.0.content.1.image.source.base64: invalid", status_code=400),
    "Anthropic, too large": api("APIStatusError", status_code=413),
    "OpenAI": api("BadRequestError", status_code=400, code="invalid_request_error"),
    "OpenAI, not processable": api("UnprocessableEntityError", status_code=422),
    "Gemini": api("ClientError", code=400, status="INVALID_ARGUMENT"),
    "Ollama": api("ResponseError", "this model does not support images", status_code=400),
    "Mistral": api("SDKError", http_status=400),
    "httpx": api("HTTPStatusError", response=response(415)),
}


@pytest.mark.parametrize("provider", REFUSALS)
def test_each_provider_s_word_for_an_invalid_request_is_a_refusal(provider: str) -> None:
    refusal = refusal_of(REFUSALS[provider])

    assert refusal is not None
    assert refusal.certain


@pytest.mark.parametrize(
    "words", ["Invalid schema for function 'get_api_key': ...", "tools.0.billing_address: Field required"]
)
def test_a_tool_that_is_named_after_keys_or_bills_does_not_blame_the_account(words: str) -> None:
    refusal = refusal_of(api("BadRequestError", words, status_code=400))

    assert refusal is not None
    assert refusal.certain


def test_what_botocore_does_not_send_is_refused() -> None:
    refusal = refusal_of(botocores_own())

    assert refusal is not None
    assert refusal.certain


def test_an_error_of_the_models_client_is_an_uncertain_refusal() -> None:
    for error in (
        TypeError("content_type=<document> | unsupported type"),
        KeyError("source"),
        UnicodeEncodeError("utf-8", "\ud83d", 0, 1, "surrogates not allowed"),
        NotImplementedError("tools"),
    ):
        refusal = refusal_of(error)

        assert refusal is not None
        assert not refusal.certain


@pytest.mark.parametrize(
    "error",
    [
        throttled(),
        aws("ThrottlingException", "Too many tokens"),
        aws("ServiceQuotaExceededException", "no", ResponseMetadata={"HTTPStatusCode": 400}),
        aws("AccessDeniedException", "You don't have access to the model"),
        aws("ResourceNotFoundException", "Model use case details have not been submitted"),
        aws("ExpiredTokenException", "no", ResponseMetadata={"HTTPStatusCode": 400}),
        aws("ModelErrorException", "no", originalStatusCode=500),
        aws("InternalServerException", "no"),
        aws("ValidationException", "The provided model identifier is invalid."),
        aws("ValidationException", "Invocation of model ID x with on-demand throughput isn\u2019t supported."),
        api("AuthenticationError", status_code=401),
        api("PermissionDeniedError", status_code=403),
        api("NotFoundError", status_code=404),
        api("RateLimitError", status_code=429),
        api("InternalServerError", status_code=500),
        api("OverloadedError", status_code=529),
        api("BadRequestError", "Your credit balance is too low to access the Anthropic API", status_code=400),
        api("BadRequestError", "API key not valid", status_code=400),
        api("ClientError", "API_KEY_INVALID", code=400),
        api("ClientError", "User location is not supported for the API use.", code=400),
        EndpointConnectionError(endpoint_url="https://x"),
        ReadTimeoutError(endpoint_url="https://x"),
        ConnectionError("no route"),
        TimeoutError(),
        RuntimeError("?"),
    ],
    ids=lambda error: f"{type(error).__name__}: {error}"[:60],
)
def test_an_error_that_is_not_about_the_request_is_no_refusal(error: Exception) -> None:
    assert refusal_of(error) is None


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("messages.0.content.1.image: could not be processed", "media"),
        ("image exceeds 5 MB maximum: 6291456 bytes > 5242880 bytes", "media"),
        ("You invoked an unsupported model or your request did not allow prompt caching.", "marks"),
        ("messages.1.content.0.thinking: Invalid `signature` in `thinking` block", "marks"),
        ("A conversation must alternate between user and assistant roles.", "shape"),
        ("The text field in the ContentBlock object at messages.0.content.0 is blank.", "shape"),
        ("This model doesn't support tool use.", "tools"),
        ("prompt is too long: 216853 tokens > 200000 maximum", "length"),
    ],
)
def test_a_provider_s_words_point_at_what_is_wrong(words: str, first: str) -> None:
    refusal = refusal_of(aws("ValidationException", words))

    assert refusal is not None
    assert refusal.suspects[0] == first


def test_words_that_point_at_nothing_suspect_nothing() -> None:
    refusal = refusal_of(aws("ValidationException", "Could not process the request"))

    assert refusal is not None
    assert refusal.suspects == ()


def test_an_aws_code_that_is_none_is_not_repeated() -> None:
    refusal = refusal_of(api("BadRequestError", status_code=400, code="some words of a conversation"))

    assert refusal is not None
    assert refusal.code == "BadRequestError"
