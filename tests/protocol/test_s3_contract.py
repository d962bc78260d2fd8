"""What stands between a customer and its data answers S3 as it answers WebDAV (ACC-02, TKD-02)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from gateway.testing.s3 import S3_CONFIG, S3Access, access
from gateway.testing.server import RunningGateway, start_gateway

BUCKET = "letters"
WITHIN = 120.0


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    plugins = [{"name": "contract_state"}, {"name": "quota"}]
    with start_gateway(tmp_path_factory.mktemp("s3-contract"), gates=2, plugins=plugins, config=S3_CONFIG) as running:
        yield running


@pytest.fixture(scope="module")
def s3(gateway: RunningGateway) -> S3Access:
    one = access(gateway, gateway.tenant, gateway.login)
    one.client.create_bucket(Bucket=BUCKET)
    one.client.put_object(Bucket=BUCKET, Key="a.txt", Body=b"a letter")
    return one


def answer(call: Callable[..., Any], **arguments: Any) -> tuple[int, str, str]:
    """Status, code and message; (200, "", "") when it was served."""
    try:
        call(**arguments)
    except ClientError as error:
        told = error.response
        return told["ResponseMetadata"]["HTTPStatusCode"], told["Error"]["Code"], told["Error"].get("Message", "")
    return 200, "", ""


def until(wanted: tuple[int, str], call: Callable[..., Any], **arguments: Any) -> str:
    """Asks until the answer is that one, from both gates; returns its message."""
    latest, seen = time.monotonic() + WITHIN, 0
    while time.monotonic() < latest:
        status, code, message = answer(call, **arguments)
        seen = seen + 1 if (status, code) == wanted else 0
        if seen == 16:
            return message
        time.sleep(0.02)
    raise AssertionError(f"{status} {code} instead of {wanted}")


def test_data_that_is_taken_down_is_listed_and_not_given_out_changed_or_deleted(
    gateway: RunningGateway, s3: S3Access
) -> None:
    words = ["--item", "4", "--reason", "complaint 12"]
    gateway.cli("takedown", "set", gateway.tenant, f"/{BUCKET}/a.txt", *words)
    one = {"Bucket": BUCKET, "Key": "a.txt"}
    message = until((403, "AccessDenied"), s3.client.get_object, **one)
    assert "complaint" not in message and "9-4" not in message
    assert answer(s3.client.get_object, IfNoneMatch="*", **one)[:2] == (403, "AccessDenied"), "no 304 tells of it"
    assert answer(s3.client.put_object, Body=b"new", **one)[:2] == (403, "AccessDenied")
    assert answer(s3.client.delete_object, **one)[:2] == (403, "AccessDenied")
    assert answer(s3.client.copy_object, Bucket=BUCKET, Key="b.txt", CopySource=f"{BUCKET}/a.txt")[0] == 403
    assert [found["Key"] for found in s3.client.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["a.txt"]
    gateway.cli("takedown", "lift", "T1", "--reason", "a mistake")
    until((200, ""), s3.client.get_object, **one)
    assert s3.client.get_object(**one)["Body"].read() == b"a letter"


def test_an_interruption_is_503_and_a_suspension_403_without_a_ground(gateway: RunningGateway, s3: S3Access) -> None:
    one = {"Bucket": BUCKET, "Key": "a.txt"}
    gateway.cli("interruption", "open", "--ground", "DISORDER", "--reason", "disks")
    assert "DISORDER" not in until((503, "ServiceUnavailable"), s3.client.get_object, **one)
    gateway.cli("interruption", "close", "I1")
    until((200, ""), s3.client.get_object, **one)
    gateway.cli("tenant", "suspend", gateway.tenant)
    until((403, "AccessDenied"), s3.client.get_object, **one)
    gateway.cli("tenant", "resume", gateway.tenant)
    until((200, ""), s3.client.get_object, **one)


def test_a_full_space_is_quota_exceeded(gateway: RunningGateway, s3: S3Access) -> None:
    gateway.cli("tenant", "set", gateway.tenant, "--quota", "10")
    until((403, "QuotaExceeded"), s3.client.put_object, Bucket=BUCKET, Key="c.txt", Body=b"more than fits")
    gateway.cli("tenant", "set", gateway.tenant, "--quota", "plan")
