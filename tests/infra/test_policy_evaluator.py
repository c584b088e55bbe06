"""The evaluator that the permission tests rely on, against what the IAM user guide says."""

import pytest

from tests.infra.policy_evaluator import Decision, decide

READ = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/p/*"}
NO_HTTP = {
    "Effect": "Deny",
    "Action": "s3:*",
    "Resource": ["arn:aws:s3:::b", "arn:aws:s3:::b/*"],
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}


def test_a_request_that_no_statement_names_is_not_allowed() -> None:
    assert decide([READ], "s3:PutObject", "arn:aws:s3:::b/p/x", {}) is Decision.NOT_ALLOWED
    assert decide([READ], "s3:GetObject", "arn:aws:s3:::b/q/x", {}) is Decision.NOT_ALLOWED
    assert decide([], "s3:GetObject", "arn:aws:s3:::b/p/x", {}) is Decision.NOT_ALLOWED


def test_actions_are_compared_without_regard_to_case_and_resources_with_it() -> None:
    assert decide([READ], "S3:getobject", "arn:aws:s3:::b/p/x", {}) is Decision.ALLOWED
    assert decide([READ], "s3:GetObject", "arn:aws:s3:::b/P/x", {}) is Decision.NOT_ALLOWED


def test_an_explicit_deny_wins_over_any_allow() -> None:
    request = ("s3:GetObject", "arn:aws:s3:::b/p/x")
    assert decide([READ, NO_HTTP], *request, {"aws:SecureTransport": "true"}) is Decision.ALLOWED
    assert decide([READ, NO_HTTP], *request, {"aws:SecureTransport": "false"}) is Decision.DENIED


def test_brackets_in_a_pattern_are_literal() -> None:
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/[p]/*"}
    assert decide([statement], "s3:GetObject", "arn:aws:s3:::b/[p]/x", {}) is Decision.ALLOWED
    assert decide([statement], "s3:GetObject", "arn:aws:s3:::b/p/x", {}) is Decision.NOT_ALLOWED


@pytest.mark.parametrize(
    ("condition", "context", "matches"),
    [
        ({"StringEquals": {"k": "v"}}, {"k": "v"}, True),
        ({"StringEquals": {"k": ["u", "v"]}}, {"K": "v"}, True),
        ({"StringEquals": {"k": "v*"}}, {"k": "vw"}, False),
        ({"StringEquals": {"k": "v"}}, {}, False),
        ({"StringEqualsIfExists": {"k": "v"}}, {}, True),
        ({"StringEqualsIfExists": {"k": "v"}}, {"k": "w"}, False),
        ({"StringLike": {"k": "v/*"}}, {"k": "v/"}, True),
        ({"StringLike": {"k": "v/*"}}, {"k": ""}, False),
        ({"StringNotEquals": {"k": "v"}}, {"k": "v"}, False),
        ({"StringNotEquals": {"k": "v"}}, {}, True),
        ({"Bool": {"k": "true"}}, {"k": "false"}, False),
        ({"Bool": {"k": "true"}}, {}, False),
        ({"Null": {"k": "true"}}, {}, True),
        ({"Null": {"k": "false"}}, {}, False),
        ({"NumericLessThan": {"k": 1.2}}, {"k": "1.1"}, True),
        ({"NumericLessThan": {"k": 1.2}}, {"k": "1.2"}, False),
        ({"StringEquals": {"k": "v"}, "Bool": {"b": "true"}}, {"k": "v", "b": "false"}, False),
    ],
)
def test_conditions(condition: dict[str, dict[str, object]], context: dict[str, str], matches: bool) -> None:
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition}
    assert (decide([statement], "a:B", "arn", context) is Decision.ALLOWED) is matches


def test_an_unknown_operator_is_an_error_and_not_a_guess() -> None:
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"DateLessThan": {"k": "2030"}}}
    with pytest.raises(NotImplementedError, match="DateLessThan"):
        decide([statement], "a:B", "arn", {"k": "2029"})
