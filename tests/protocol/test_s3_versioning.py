"""Versioning of a bucket, and what WebDAV does to it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from gateway.testing.s3 import S3Access
from gateway.testing.server import RunningGateway


def refused(call: Callable[..., Any], **arguments: Any) -> tuple[int, str]:
    """Status and code of a call that must fail."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


class Versioned:
    """A bucket with versioning."""

    def __init__(self, s3: S3Access, gateway: RunningGateway) -> None:
        self.client, self.gateway = s3.client, gateway
        self.name = f"versioned-{uuid.uuid4().hex[:12]}"
        self.client.create_bucket(Bucket=self.name)
        self.set("Enabled")

    def set(self, status: str) -> None:
        self.client.put_bucket_versioning(Bucket=self.name, VersioningConfiguration={"Status": status})

    def put(self, key: str, body: bytes) -> str:
        return str(self.client.put_object(Bucket=self.name, Key=key, Body=body).get("VersionId", "null"))

    def read(self, key: str, version: str | None = None) -> bytes:
        named = {"VersionId": version} if version else {}
        body: bytes = self.client.get_object(Bucket=self.name, Key=key, **named)["Body"].read()
        return body

    def delete(self, key: str, version: str | None = None) -> Any:
        return self.client.delete_object(Bucket=self.name, Key=key, **({"VersionId": version} if version else {}))

    def list(self, **arguments: Any) -> list[tuple[str, str, bool]]:
        """(key, version id, is the latest) of versions, delete markers as ``marker``."""
        answer = self.client.list_object_versions(Bucket=self.name, **arguments)
        found = [(one["Key"], one["VersionId"], one["IsLatest"]) for one in answer.get("Versions", [])]
        return found + [(one["Key"], "marker", one["IsLatest"]) for one in answer.get("DeleteMarkers", [])]

    def dav(self, method: str, path: str, **arguments: Any) -> int:
        login = (self.gateway.login, self.gateway.password)
        url = f"{self.gateway.dav_url}{self.name}/{path}"
        return requests.request(method, url, auth=login, **arguments).status_code


@pytest.fixture
def versioned(s3: S3Access, s3_gateway: RunningGateway) -> Versioned:
    return Versioned(s3, s3_gateway)


def used(gateway: RunningGateway) -> str:
    return next(line for line in gateway.cli("tenant", "show", gateway.tenant).stdout.splitlines() if "used" in line)


def test_what_is_overwritten_is_kept_and_read_by_its_id(versioned: Versioned) -> None:
    first, second = versioned.put("d/a", b"one"), versioned.put("d/a", b"two")
    assert (versioned.read("d/a"), versioned.read("d/a", first), versioned.read("d/a", second)) == (
        b"two",
        b"one",
        b"two",
    )
    assert versioned.list() == [("d/a", second, True), ("d/a", first, False)]
    assert versioned.client.head_object(Bucket=versioned.name, Key="d/a")["VersionId"] == second
    assert refused(versioned.client.get_object, Bucket=versioned.name, Key="d/a", VersionId="0" * 16) == (
        404,
        "NoSuchVersion",
    )


def test_a_delete_hides_and_its_marker_can_be_taken_away(versioned: Versioned) -> None:
    versioned.put("d/a", b"one")
    marker = versioned.delete("d/a")
    assert marker["DeleteMarker"]
    assert refused(versioned.client.get_object, Bucket=versioned.name, Key="d/a") == (404, "NoSuchKey")
    named = {"Bucket": versioned.name, "Key": "d/a", "VersionId": marker["VersionId"]}
    assert refused(versioned.client.get_object, **named) == (405, "MethodNotAllowed")
    assert versioned.dav("GET", "d/a") == 404
    assert refused(versioned.client.delete_bucket, Bucket=versioned.name) == (409, "BucketNotEmpty")
    assert versioned.delete("d/a", marker["VersionId"])["DeleteMarker"]
    assert versioned.read("d/a") == b"one"
    assert versioned.dav("GET", "d/a") == 200


def test_a_version_that_is_deleted_is_gone_and_the_one_before_it_returns(versioned: Versioned) -> None:
    first, second = versioned.put("a", b"one"), versioned.put("a", b"two")
    versioned.delete("a", second)
    assert versioned.read("a") == b"one" and versioned.list() == [("a", first, True)]
    versioned.delete("a", first)
    assert versioned.list() == []
    versioned.client.delete_bucket(Bucket=versioned.name)


def test_suspended_versioning_overwrites_the_null_version_only(versioned: Versioned) -> None:
    first = versioned.put("a", b"one")
    versioned.set("Suspended")
    versioned.put("a", b"null one")
    versioned.put("a", b"null two")
    assert versioned.list() == [("a", "null", True), ("a", first, False)]
    assert versioned.delete("a")["VersionId"] == "null"
    assert versioned.list() == [("a", first, False), ("a", "marker", True)]
    versioned.set("Enabled")
    third = versioned.put("a", b"three")
    assert versioned.list() == [("a", third, True), ("a", first, False), ("a", "marker", False)]


def test_saves_and_deletes_over_webdav_are_kept_too(versioned: Versioned) -> None:
    first = versioned.put("d/a", b"one")
    assert versioned.dav("PUT", "d/a", data=b"two") == 204
    assert len(versioned.list()) == 2 and versioned.read("d/a", first) == b"one"
    assert versioned.dav("DELETE", "d") == 204
    assert [latest for *_, latest in versioned.list()] == [False, False, True]
    assert versioned.read("d/a", first) == b"one"
    versioned.put("b", b"to be replaced")
    versioned.put("c", b"to be moved")
    there = {"Destination": f"{versioned.gateway.dav_url}{versioned.name}/b"}
    assert versioned.dav("MOVE", "c", headers=there) == 204
    assert [one for one in versioned.list(Prefix="b") if not one[2]] != []


def test_versions_are_listed_page_by_page(versioned: Versioned) -> None:
    for number in range(3):
        for key in ("a", "d/x", "d/y", "日本"):
            versioned.put(key, b"%d" % number)
    versioned.delete("d/x")
    whole = versioned.client.list_object_versions(Bucket=versioned.name)
    pages = versioned.client.get_paginator("list_object_versions").paginate(
        Bucket=versioned.name, PaginationConfig={"PageSize": 2}
    )
    paged = [one for page in pages for one in page.get("Versions", []) + page.get("DeleteMarkers", [])]
    assert sorted(one["VersionId"] for one in paged) == sorted(
        one["VersionId"] for one in whole["Versions"] + whole["DeleteMarkers"]
    )
    assert len(paged) == 13
    folders = versioned.client.list_object_versions(Bucket=versioned.name, Delimiter="/", Prefix="", MaxKeys=4)
    assert [one["Prefix"] for one in folders["CommonPrefixes"]] == ["d/"] and folders["IsTruncated"]


def test_an_earlier_version_is_copied_over_the_present_one(versioned: Versioned) -> None:
    first = versioned.put("a", b"one")
    versioned.put("a", b"two")
    source = {"Bucket": versioned.name, "Key": "a", "VersionId": first}
    answer = versioned.client.copy_object(Bucket=versioned.name, Key="a", CopySource=source)
    assert answer["CopySourceVersionId"] == first and versioned.read("a") == b"one"
    assert len(versioned.list()) == 3


def test_many_versions_are_deleted_in_one_request(versioned: Versioned) -> None:
    ids = [versioned.put("a", b"%d" % number) for number in range(4)]
    objects = [{"Key": "a", "VersionId": one} for one in ids[:3]] + [{"Key": "a"}]
    answer = versioned.client.delete_objects(Bucket=versioned.name, Delete={"Objects": objects})
    assert [one.get("DeleteMarker", False) for one in answer["Deleted"]] == [False, False, False, True]
    assert versioned.list() == [("a", ids[3], False), ("a", "marker", True)]


def test_kept_versions_count_as_used_until_they_are_deleted(versioned: Versioned) -> None:
    before = used(versioned.gateway)
    first = versioned.put("a", b"x" * 5_000_000)
    second = versioned.put("a", b"y")
    assert used(versioned.gateway) != before
    versioned.delete("a", first)
    versioned.delete("a", second)
    assert used(versioned.gateway) == before
    assert versioned.gateway.cli("fsck").returncode == 0
