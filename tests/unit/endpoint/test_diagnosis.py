"""What a log may say of an error: never its words."""

import json

import pytest
from botocore.exceptions import ClientError
from strands.types.exceptions import EventLoopException

from agent_sessions.exceptions import SessionStorageError
from lambda_src.answers.diagnosis import code_of, diagnosis, places, unwrapped

SECRET = "my PIN is 1234"


def raised(error: BaseException) -> BaseException:
    try:
        raise error  # noqa: TRY301 - to give it a place
    except BaseException as caught:  # noqa: BLE001 - whatever it is
        return caught


def test_of_any_error_the_type_and_the_place_are_said_and_never_the_words() -> None:
    said = diagnosis(raised(ValueError(SECRET)))

    assert said["error"] == "ValueError"
    assert "raised" in said["error_at"][-1]
    assert "1234" not in json.dumps(said)


def test_strands_wrapper_is_looked_through_however_often_it_nests() -> None:
    inner = KeyError(SECRET)

    assert unwrapped(EventLoopException(EventLoopException(inner))) is inner


def test_an_error_that_holds_itself_ends_the_search() -> None:
    error = ValueError()
    error.original_exception = error  # type: ignore[attr-defined]

    assert unwrapped(error) is error


def test_the_codes_of_aws_and_of_the_storage_are_said() -> None:
    of_aws = ClientError({"Error": {"Code": "ThrottlingException", "Message": SECRET}}, "Converse")

    assert code_of(of_aws) == "ThrottlingException"
    assert code_of(SessionStorageError(SECRET, code="SlowDown")) == "SlowDown"


@pytest.mark.parametrize("code", [SECRET, "", 17, None, {"a": SECRET}])
def test_what_is_no_code_is_not_said(code: object) -> None:
    assert code_of(ClientError({"Error": {"Code": code}}, "Converse")) is None  # type: ignore[typeddict-item]
    assert code_of(raised(SystemExit(SECRET))) is None


def test_the_parts_of_a_group_are_named() -> None:
    said = diagnosis(raised(BaseExceptionGroup(SECRET, [ValueError(SECRET), OSError(SECRET)])))

    assert said["error_parts"] == ["OSError", "ValueError"]
    assert "1234" not in json.dumps(said)


def test_only_the_last_calls_are_said() -> None:
    def fall(depth: int) -> None:
        if depth == 0:
            raise ValueError(SECRET)
        fall(depth - 1)

    with pytest.raises(ValueError, match=SECRET) as caught:
        fall(30)

    assert len(places(caught.value.__traceback__)) == 8
