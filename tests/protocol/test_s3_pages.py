"""What web pages do with S3: CORS, and uploads by a form that somebody else signed."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from gateway.testing.s3 import S3Access, access_with

RULES = {
    "CORSRules": [
        {
            "AllowedOrigins": ["https://*.example.com"],
            "AllowedMethods": ["GET", "PUT"],
            "AllowedHeaders": ["content-type", "x-amz-*"],
            "ExposeHeaders": ["ETag"],
            "MaxAgeSeconds": 300,
            "ID": "pages",
        },
        {"AllowedOrigins": ["*"], "AllowedMethods": ["HEAD"]},
    ]
}
TEXT = {"Content-Type": "text/x"}
PAGE = "https://www.example.com"


# -- CORS -------------------------------------------------------------------------------------------------------------


def test_cors_rules_are_kept_as_they_were_given(s3: S3Access, bucket: str) -> None:
    with pytest.raises(ClientError, match="NoSuchCORSConfiguration"):
        s3.client.get_bucket_cors(Bucket=bucket)
    s3.client.put_bucket_cors(Bucket=bucket, CORSConfiguration=RULES)
    assert s3.client.get_bucket_cors(Bucket=bucket)["CORSRules"] == RULES["CORSRules"]
    s3.client.delete_bucket_cors(Bucket=bucket)
    with pytest.raises(ClientError, match="NoSuchCORSConfiguration"):
        s3.client.get_bucket_cors(Bucket=bucket)


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ([{"AllowedOrigins": ["*"], "AllowedMethods": ["PATCH"]}], "InvalidRequest"),
        ([{"AllowedOrigins": ["*a*"], "AllowedMethods": ["GET"]}], "InvalidRequest"),
        ([{"AllowedOrigins": ["*"], "AllowedMethods": ["GET"]}] * 101, "MalformedXML"),
    ],
)
def test_rules_that_mean_nothing_are_refused(s3: S3Access, bucket: str, rules: list[Any], code: str) -> None:
    with pytest.raises(ClientError, match=code):
        s3.client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})


def test_a_page_may_read_answers_where_a_rule_says_so(s3: S3Access, bucket: str) -> None:
    s3.client.put_object(Bucket=bucket, Key="k", Body=b"x")
    url = s3.client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"})
    assert "Access-Control-Allow-Origin" not in requests.get(url, headers={"Origin": PAGE}, timeout=120).headers
    s3.client.put_bucket_cors(Bucket=bucket, CORSConfiguration=RULES)
    answer = requests.get(url, headers={"Origin": PAGE}, timeout=120)
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert answer.headers["Access-Control-Expose-Headers"] == "ETag"
    other = requests.get(url, headers={"Origin": "https://example.org"}, timeout=120)
    assert other.status_code == 200
    assert "Access-Control-Allow-Origin" not in other.headers


def test_a_preflight_of_a_presigned_url_follows_the_rules_of_its_bucket(s3: S3Access, bucket: str) -> None:
    s3.client.put_bucket_cors(Bucket=bucket, CORSConfiguration=RULES)
    url = s3.client.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "k"})

    def ask(origin: str, method: str, headers: str = "") -> requests.Response:
        asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
        return requests.options(url, headers=asked, timeout=120)

    allowed = ask(PAGE, "PUT", "Content-Type, x-amz-meta-a")
    assert allowed.status_code == 200
    assert allowed.headers["Access-Control-Allow-Origin"] == PAGE
    assert allowed.headers["Access-Control-Allow-Headers"] == "content-type, x-amz-meta-a"
    assert allowed.headers["Access-Control-Max-Age"] == "300"
    for refused in (ask(PAGE, "DELETE"), ask("https://example.org", "PUT"), ask(PAGE, "PUT", "x-other")):
        assert refused.status_code == 403
        assert b"AccessForbidden" in refused.content


def test_a_preflight_that_names_nobody_tells_nothing_of_anybody(s3: S3Access, bucket: str) -> None:
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "PUT"}
    answers = [
        requests.options(f"{s3.url}/{name}/k", headers=asked, timeout=120) for name in (bucket, "no-such-bucket")
    ]
    assert [one.status_code for one in answers] == [200, 200]
    assert answers[0].headers["Access-Control-Allow-Origin"] == answers[1].headers["Access-Control-Allow-Origin"]
    assert requests.options(f"{s3.url}/{bucket}/k", timeout=120).status_code == 400


# -- forms ------------------------------------------------------------------------------------------------------------


def post(s3: S3Access, bucket: str, key: str, body: bytes = b"by form", **arguments: Any) -> requests.Response:
    """``changed`` and ``dropped`` alter the fields after they were signed."""
    changed, dropped = arguments.pop("changed", {}), arguments.pop("dropped", ())
    form = s3.client.generate_presigned_post(bucket, key, **arguments)
    fields = {name: value for name, value in {**form["fields"], **changed}.items() if name not in dropped}
    files = {"file": ("photo.jpg", io.BytesIO(body), "image/jpeg")}
    return requests.post(form["url"], data=fields, files=files, timeout=120, allow_redirects=False)


def test_a_form_stores_a_file_with_what_its_policy_allows(s3: S3Access, bucket: str) -> None:
    fields = {"Content-Type": "image/x", "x-amz-meta-by": "a form", "success_action_status": "201"}
    conditions = [{name: value} for name, value in fields.items()]
    answer = post(s3, bucket, "up/${filename}", Fields=fields, Conditions=[*conditions])
    assert answer.status_code == 201
    assert b"<Key>up/photo.jpg</Key>" in answer.content
    got = s3.client.get_object(Bucket=bucket, Key="up/photo.jpg")
    assert (got["Body"].read(), got["ContentType"], got["Metadata"]) == (b"by form", "image/x", {"by": "a form"})
    assert answer.headers["ETag"] == got["ETag"]


def test_a_large_file_comes_in_by_a_form(s3: S3Access, bucket: str) -> None:
    body = b"\r\n--almost a boundary\r\n" * 200_000
    assert post(s3, bucket, "large", body).status_code == 204
    assert s3.client.get_object(Bucket=bucket, Key="large")["Body"].read() == body


def test_a_form_redirects_where_it_says(s3: S3Access, bucket: str) -> None:
    fields = {"success_action_redirect": "https://www.example.com/done?a=b"}
    answer = post(s3, bucket, "k", Fields=fields, Conditions=[fields])
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith(f"https://www.example.com/done?a=b&bucket={bucket}&key=k&etag=%22")


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        ({"changed": {"key": "other"}}, 403, "AccessDenied"),
        ({"changed": {"x-amz-meta-more": "1"}}, 403, "AccessDenied"),
        ({"changed": {"x-amz-signature": "0" * 64}}, 403, "SignatureDoesNotMatch"),
        ({"dropped": ("policy",)}, 403, "AccessDenied"),
        ({"dropped": ("x-amz-date",)}, 400, "InvalidArgument"),
        ({"ExpiresIn": -5}, 403, "AccessDenied"),
        ({"Conditions": [["content-length-range", 0, 6]]}, 400, "EntityTooLarge"),
        ({"Conditions": [["content-length-range", 8, 20]]}, 400, "EntityTooSmall"),
        ({"Conditions": [["starts-with", "$Content-Type", "image/"]], "Fields": TEXT}, 403, "AccessDenied"),
        ({"Conditions": [["unknown", "$key", "x"]]}, 400, "InvalidPolicyDocument"),
    ],
)  # fmt: skip
def test_a_form_outside_its_policy_stores_nothing(
    s3: S3Access, bucket: str, arguments: dict[str, Any], status: int, code: str
) -> None:
    answer = post(s3, bucket, "k", **arguments)
    assert (answer.status_code, code.encode() in answer.content) == (status, True), answer.text
    assert "Contents" not in s3.client.list_objects_v2(Bucket=bucket)


def test_a_form_without_a_file_or_a_signer_is_refused(s3: S3Access, bucket: str) -> None:
    form = s3.client.generate_presigned_post(bucket, "k")
    alone = {name: (None, value) for name, value in form["fields"].items()}
    assert b"exactly one file" in requests.post(form["url"], files=alone, timeout=120).content
    nobody = access_with(s3.url, "KUNOBODY", "secret")
    answer = post(nobody, bucket, "k")
    assert (answer.status_code, b"InvalidAccessKeyId" in answer.content) == (403, True)
    broken = {**form["fields"], "policy": base64.b64encode(json.dumps([]).encode()).decode()}
    files = {"file": ("x", io.BytesIO(b"x"))}
    assert requests.post(form["url"], data=broken, files=files, timeout=120).status_code == 403


def test_a_page_may_read_why_it_was_refused(s3: S3Access, bucket: str) -> None:
    s3.client.put_bucket_cors(Bucket=bucket, CORSConfiguration=RULES)
    url = s3.client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "nothing"})
    refused = requests.get(url, headers={"Origin": PAGE}, timeout=120)
    assert (refused.status_code, refused.headers.get("Access-Control-Allow-Origin")) == (404, PAGE)
    other = requests.get(url, headers={"Origin": "https://example.org"}, timeout=120)
    assert (other.status_code, "Access-Control-Allow-Origin" in other.headers) == (404, False)
