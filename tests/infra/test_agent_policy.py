"""lambda_src/agent/policy.json: what is let through to the role, and what is refused before anything is deployed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.packaging.kit_files import AGENT_FOLDER
from infra.policies.agent_policy import AgentPolicyError, read_agent_policy, table
from tests.infra.synthesis import ACCOUNT, REGION, synthesize
from tests.infra.test_permissions import Role

ROOT = Path(__file__).parents[2]
ORDERS = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/orders"
READ = {"Sid": "ReadOrders", "Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": ORDERS}


def policy(*statements: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def read(tmp_path: Path, document: Any, *, wildcards: bool = False) -> Any:
    path = tmp_path / "policy.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return read_agent_policy(path, wildcards=wildcards)


def test_the_role_may_do_what_the_policy_says_and_nothing_beside_it() -> None:
    role = Role(agent_policy=policy(READ))

    assert role.may("dynamodb:GetItem", ORDERS)
    assert not role.may("dynamodb:PutItem", ORDERS)
    assert not role.may("dynamodb:GetItem", f"{ORDERS}2")
    assert not Role().may("dynamodb:GetItem", ORDERS)


def test_account_and_region_of_the_deployment_can_be_left_open() -> None:
    here = "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/orders"
    role = Role(agent_policy=policy({**READ, "Resource": [here, f"{here}/index/*"]}))

    assert role.may("dynamodb:GetItem", ORDERS)
    assert role.may("dynamodb:GetItem", f"{ORDERS}/index/by-date")
    assert not role.may("dynamodb:GetItem", ORDERS.replace(ACCOUNT, "999988887777"))


def test_a_condition_and_a_denial_count() -> None:
    leading = {"Condition": {"StringEquals": {"dynamodb:LeadingKeys": "ada"}}}
    deny = {"Effect": "Deny", "Action": "s3:Put*", "Resource": "*"}
    role = Role(agent_policy=policy({**READ, **leading}, deny))

    assert role.may("dynamodb:GetItem", ORDERS, dynamodb__LeadingKeys="ada")
    assert not role.may("dynamodb:GetItem", ORDERS)
    assert not role.may_do("s3:PutObject", "sessions/o_x/session_1/session.json")


def test_every_resource_is_let_through_when_the_configuration_says_so() -> None:
    everywhere = policy({"Effect": "Allow", "Action": "cloudwatch:PutMetricData", "Resource": "*"})

    role = Role(agent_policy=everywhere, agent_policy_wildcards=True)

    assert role.may("cloudwatch:PutMetricData", "*")
    with pytest.raises(AgentPolicyError, match="agent_policy_wildcards=true"):
        synthesize(agent_policy=everywhere)


def test_without_a_policy_the_role_is_the_kits_own(tmp_path: Path) -> None:
    assert read_agent_policy(tmp_path / "policy.json", wildcards=False) == []
    assert read_agent_policy(AGENT_FOLDER / "policy.json", wildcards=False) == []


def test_one_statement_needs_no_list(tmp_path: Path) -> None:
    (statement,) = read(tmp_path, {"Version": "2012-10-17", "Statement": READ})

    assert statement.actions == ["dynamodb:GetItem"]


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ("", "it cannot be read as JSON .*; allowed: a JSON object with"),
        ("{'Version'}", "it cannot be read as JSON"),
        ("[]", "it is a list; allowed: a JSON object with"),
        ({"Version": "2012-10-17"}, "it has no Statement; allowed"),
        ({**policy(), "Resources": {}}, "it has Resources; allowed"),
        ({"Statement": []}, 'its Version is null; allowed: a JSON object with "Version": "2012-10-17"'),
        ({"Version": "2008-10-17", "Statement": []}, 'its Version is "2008-10-17"; allowed'),
        (policy("Allow"), "statement 1: it is no object"),
        (policy(READ, {**READ, "Sid": "", "Effect": "Permit"}), "statement 2: Effect is Allow or Deny"),
        (policy({**READ, "Sid": "read orders"}), "statement read orders: Sid has letters and digits only"),
        (policy({**READ, "Principal": "*"}), "statement ReadOrders: it names a Principal"),
        (policy({**READ, "Resources": ORDERS}), "statement ReadOrders: Resources is no element of a statement"),
        (policy({"Effect": "Allow", "Action": "s3:GetObject"}), "statement 1: it needs Resource or NotResource"),
        (policy({"Effect": "Allow", "Resource": ORDERS}), "statement 1: it needs Action or NotAction"),
        (policy({**READ, "Action": []}), "statement ReadOrders: it needs Action or NotAction"),
        (policy({**READ, "NotAction": "s3:GetObject"}), "statement ReadOrders: it needs Action or NotAction"),
        (policy({**READ, "Action": "GetItem"}), "statement ReadOrders: 'GetItem' is no action"),
        (policy({**READ, "Resource": "orders"}), "statement ReadOrders: 'orders' is no ARN"),
        (policy({**READ, "Condition": "always"}), "statement ReadOrders: Condition is an object"),
        (policy({**READ, "Action": "*"}), r"statement ReadOrders: \* is a wildcard"),
        (policy({**READ, "Action": ["dynamodb:GetItem", "dynamodb:*"]}), r"dynamodb:\* is a wildcard"),
        (policy({**READ, "Action": "s3:Get?bject"}), r"s3:Get\?bject is a wildcard"),
        (
            policy({"Effect": "Allow", "NotAction": "iam:PassRole", "Resource": ORDERS}),
            "statement 1: NotAction with Allow",
        ),
        (policy({**READ, "Resource": "*"}), r"statement ReadOrders: Resource \* is everything"),
        (policy({**READ, "Resource": "arn:aws:dynamodb:*:*:*"}), "is everything there is"),
        (policy({**READ, "Resource": "arn:aws:*:::orders"}), "is everything there is"),
        (
            policy({"Effect": "Allow", "Action": "s3:GetObject", "NotResource": "arn:aws:s3:::b"}),
            "statement 1: NotResource with Allow",
        ),
    ],
)
def test_what_is_no_policy_or_allows_too_much_is_refused_with_its_statement(
    document: Any, complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(AgentPolicyError, match=complaint) as refusal:
        read(tmp_path, document)

    assert "policy.json" in str(refusal.value)


def test_wildcard_actions_stay_refused_whatever_the_configuration_says(tmp_path: Path) -> None:
    with pytest.raises(AgentPolicyError, match=r"dynamodb:\* is a wildcard"):
        read(tmp_path, policy({**READ, "Action": "dynamodb:*"}), wildcards=True)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(AgentPolicyError) as refusal:
        read(tmp_path, policy({**READ, "Action": "*"}, {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}))

    assert [line.split(":")[0].strip() for line in str(refusal.value).splitlines()[1:]] == [
        "policy.json, statement ReadOrders",
        "policy.json, statement 2",
    ]


def test_the_table_says_what_is_wide_and_why(tmp_path: Path) -> None:
    statements = read(
        tmp_path,
        policy(
            READ,
            {"Effect": "Allow", "Action": "dynamodb:Query", "Resource": f"{ORDERS}/index/*"},
            {"Effect": "Allow", "Action": "sns:Publish", "Resource": "arn:aws:sns:*:111122223333:orders"},
            {"Effect": "Allow", "Action": "cloudwatch:PutMetricData", "Resource": "*"},
            {"Effect": "Deny", "NotAction": "s3:*", "Resource": "*"},
        ),
        wildcards=True,
    )

    rows = [line.split("  ") for line in table(statements).splitlines()]

    assert [[cell.strip() for cell in row if cell] for row in rows] == [
        ["effect", "action", "resource", "why it is wide"],
        ["Allow", "dynamodb:GetItem", ORDERS],
        ["Allow", "dynamodb:Query", f"{ORDERS}/index/*", "every resource whose name fits"],
        ["Allow", "sns:Publish", "arn:aws:sns:*:111122223333:orders", "in every region or account"],
        ["Allow", "cloudwatch:PutMetricData", "*", "every resource of every service"],
        ["Deny", "not s3:*", "*"],
    ]


def test_the_app_refuses_in_lines_that_can_be_read(tmp_path: Path) -> None:
    start = (
        "import sys; from pathlib import Path; import infra.stack; "
        f"infra.stack.KitStack.__init__.__defaults__ = (Path({str(tmp_path)!r}),); "
        "import runpy; runpy.run_path('app.py')"
    )
    (tmp_path / "policy.json").write_text(json.dumps(policy({**READ, "Action": "*"})), encoding="utf-8")

    run = subprocess.run([sys.executable, "-c", start], cwd=ROOT, capture_output=True, text=True, check=False)

    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert "policy.json, statement ReadOrders: * is a wildcard" in run.stderr
