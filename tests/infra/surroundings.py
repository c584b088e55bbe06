"""The same stack in two regions of one account, and two profiles: what the operator's commands are tried on."""

import json

import boto3

STACK = "agent-session-kit-dev"
REGIONS = ("us-east-1", "eu-west-1")
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
CONFIG = "[profile work]\nregion = eu-west-1\n[profile nowhere]\noutput = json\n"
CREDENTIALS = "".join(f"[{name}]\naws_access_key_id = x\naws_secret_access_key = x\n" for name in ("work", "nowhere"))


def template(region: str) -> str:
    return json.dumps(
        {
            "Resources": {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": f"sessions-{region}"}}},
            "Outputs": {
                "BucketName": {"Value": {"Ref": "Bucket"}},
                "EndpointUrl": {"Value": f"https://abc.lambda-url.{region}.on.aws/"},
            },
        }
    )


def held() -> dict[str, int]:
    s3 = boto3.Session("x", "x", region_name="us-east-1").client("s3")
    return {region: s3.list_objects_v2(Bucket=f"sessions-{region}")["KeyCount"] for region in REGIONS}
