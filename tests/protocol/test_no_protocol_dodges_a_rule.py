"""A rule cannot be dodged by changing protocol: every verb that writes, of WebDAV and of S3, against every rule.

The verbs are taken from the tables of the protocols themselves: whoever adds one must say here what it does.
"""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from gateway.config import load
from gateway.daemon import Deployment, open_deployment
from gateway.dav.app import _ALL, _READS
from gateway.domain.units import parse_size
from gateway.s3.operations import POST_OBJECT, TABLE
from gateway.testing.clamd import EICAR, Clamd
from gateway.testing.needs import need
from gateway.testing.s3 import S3_CONFIG, S3Access, access_with
from gateway.testing.server import RunningGateway, start_gateway
from gateway.testing.waiting import until

BUCKET = "rules"
LOGIN, PASSWORD = "ed", "a good password for ed"
NO_PROGRAMS = """
version: 1
rules:
  - id: no-programs
    clause: PRO-01 9-5
    when: ext == "exe"
    then: refuse
    text: {en: Programs are not kept here., ja: プログラムは登録できません。}
"""


@dataclass
class World:
    """A gateway with every rule's plugin, as one user of it sees it. ``quiet`` bytes are what verbs send."""

    gateway: RunningGateway
    s3: S3Access
    login: tuple[str, str]
    tenant: str
    bytes: bytes = b"harmless"
    upload: str = ""
    """The id of an upload by parts of ``folder/file.txt`` that was begun before the rule acted."""
    etag: str = ""
    """Of its part 1."""

    def url(self, key: str, bucket: str = BUCKET) -> str:
        return f"{self.gateway.base_url}/dav/{self.tenant}/{bucket}/{key}"

    def dav(self, method: str, key: str, bucket: str = BUCKET, **arguments: Any) -> int:
        return requests.request(method, self.url(key, bucket), auth=self.login, timeout=120, **arguments).status_code

    def call(self, name: str, **arguments: Any) -> int:
        """The status of a call by boto3, or of the first key that it could not do."""
        try:
            answer = getattr(self.s3.client, name)(**arguments)
        except ClientError as error:
            return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        errors = answer.get("Errors", [])
        return {"AccessDenied": 403, "OperationAborted": 409}[errors[0]["Code"]] if errors else 200

    def part(self, name: str, key: str, **arguments: Any) -> int:
        return self.call(name, Bucket=BUCKET, Key=key, UploadId=self.upload, **arguments)

    def post(self, key: str) -> int:
        form = self.s3.client.generate_presigned_post(BUCKET, key)
        files = {"file": ("name", io.BytesIO(self.bytes))}
        return requests.post(form["url"], data=form["fields"], files=files, timeout=120).status_code


Verb = Callable[[World, str], int]
TAGS = {"TagSet": [{"Key": "a", "Value": "b"}]}
CORS = {"CORSRules": [{"AllowedOrigins": ["*"], "AllowedMethods": ["GET"]}]}
PROPS = '<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x xmlns="u:x">1</x></D:prop></D:set></D:propertyupdate>'
LOCK = (
    '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    "<D:locktype><D:write/></D:locktype></D:lockinfo>"
)
SOURCE = {"Bucket": BUCKET, "Key": "source.txt"}

DAV_VERBS: Mapping[str, Verb] = {
    "PUT": lambda world, key: world.dav("PUT", key, data=world.bytes),
    "DELETE": lambda world, key: world.dav("DELETE", key),
    "MKCOL": lambda world, key: world.dav("MKCOL", f"{key.rpartition('/')[0]}/new-folder"),
    "COPY": lambda world, key: world.dav("COPY", "source.txt", headers={"Destination": world.url(key)}),
    "MOVE": lambda world, key: world.dav("MOVE", key, headers={"Destination": world.url(f"{key}-moved")}),
    "PROPPATCH": lambda world, key: world.dav("PROPPATCH", key, data=PROPS),
    "LOCK": lambda world, key: world.dav("LOCK", key, data=LOCK),
    "UNLOCK": lambda world, key: world.dav("UNLOCK", key, headers={"Lock-Token": "<opaquelocktoken:none>"}),
}

S3_VERBS: Mapping[str, Verb] = {
    "CreateBucket": lambda world, _: world.call("create_bucket", Bucket="rules-new"),
    "DeleteBucket": lambda world, _: world.call("delete_bucket", Bucket="rules-empty"),
    "PutObject": lambda world, key: world.call("put_object", Bucket=BUCKET, Key=key, Body=world.bytes),
    "DeleteObject": lambda world, key: world.call("delete_object", Bucket=BUCKET, Key=key),
    "CopyObject": lambda world, key: world.call("copy_object", Bucket=BUCKET, Key=key, CopySource=SOURCE),
    "DeleteObjects": lambda world, key: world.call("delete_objects", Bucket=BUCKET, Delete={"Objects": [{"Key": key}]}),
    "PutObjectTagging": lambda world, key: world.call("put_object_tagging", Bucket=BUCKET, Key=key, Tagging=TAGS),
    "DeleteObjectTagging": lambda world, key: world.call("delete_object_tagging", Bucket=BUCKET, Key=key),
    "PutBucketTagging": lambda world, _: world.call("put_bucket_tagging", Bucket=BUCKET, Tagging=TAGS),
    "DeleteBucketTagging": lambda world, _: world.call("delete_bucket_tagging", Bucket=BUCKET),
    "PutBucketCors": lambda world, _: world.call("put_bucket_cors", Bucket=BUCKET, CORSConfiguration=CORS),
    "DeleteBucketCors": lambda world, _: world.call("delete_bucket_cors", Bucket=BUCKET),
    "PutBucketVersioning": lambda world, _: world.call(
        "put_bucket_versioning", Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"}
    ),
    "CreateMultipartUpload": lambda world, key: world.call("create_multipart_upload", Bucket=BUCKET, Key=key),
    "UploadPart": lambda world, key: world.part("upload_part", key, PartNumber=2, Body=world.bytes),
    "UploadPartCopy": lambda world, key: world.part("upload_part_copy", key, PartNumber=3, CopySource=SOURCE),
    "CompleteMultipartUpload": lambda world, key: world.part(
        "complete_multipart_upload", key, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": world.etag}]}
    ),
    "AbortMultipartUpload": lambda world, key: world.part("abort_multipart_upload", key),
    "PostObject": lambda world, key: world.post(key),
}

BRING_BYTES = ("PUT", "COPY", "PutObject", "CopyObject", "PostObject")
"""Verbs by which the space grows."""
NEW_CONTENT = ("PUT", "PutObject", "PostObject")
GIVE_NAMES = ("PUT", "COPY", "PutObject", "CopyObject", "PostObject")
NOT_IN_BUCKET = ("CreateBucket", "DeleteBucket")
OUTSIDE = ("CreateMultipartUpload", "UploadPart", "UploadPartCopy", "AbortMultipartUpload")
"""Parts are in no bucket yet: what forbids a change of the bucket is asked when they are to become an object."""
NO_WRITE = ("UNLOCK",)
"""Gives back what the caller has; nothing of the space changes."""

ALL: Mapping[str, Verb] = {**DAV_VERBS, **S3_VERBS}


def test_every_verb_that_writes_is_in_this_test() -> None:
    assert set(DAV_VERBS) == set(_ALL) - set(_READS)
    assert set(S3_VERBS) == {one.name for one in TABLE.values() if one.writes} | {POST_OBJECT}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    need("clamd")
    with Clamd(tmp_path_factory.mktemp("clamd")) as clamd:
        scan = {"name": "virus_scan", "address": clamd.tcp}
        plugins = ["contract_state", "quota", "content_policy", scan, "metering"]
        folder = tmp_path_factory.mktemp("rules")
        with start_gateway(folder, plugins=plugins, config=S3_CONFIG) as running:
            (folder / "no-programs.yaml").write_text(NO_PROGRAMS)
            running.cli("policy", "apply", "content", str(folder / "no-programs.yaml"))
            with open_deployment(load(folder / "gateway.yaml", {})) as OPERATORS[folder]:
                yield running


OPERATORS: dict[Path, Deployment] = {}
"""What the command line works with, opened once: a command for each tenant, user and key takes a second."""


def key_of(gateway: RunningGateway, tenant: str, login: str) -> S3Access:
    key, secret = OPERATORS[gateway.folder].services.accesskeys.create(tenant, login, "operator")
    return access_with(gateway.s3_url, key.id, secret)


def world_of(gateway: RunningGateway, tenant: str, quota: str | None = None) -> World:
    """A tenant of its own with the objects that the verbs work on, and its editor."""
    services = OPERATORS[gateway.folder].services
    services.accounts.add_tenant(tenant, "standard", parse_size(quota) if quota else None)
    services.accounts.add_user(tenant, LOGIN, PASSWORD)
    world = World(gateway, key_of(gateway, tenant, LOGIN), (LOGIN, PASSWORD), tenant)
    for bucket in (BUCKET, "rules-empty"):
        world.s3.client.create_bucket(Bucket=bucket)
    for key in ("source.txt", "folder/file.txt"):
        world.s3.client.put_object(Bucket=BUCKET, Key=key, Body=b"x" * 1000)
    key = {"Bucket": BUCKET, "Key": "folder/file.txt"}
    world.upload = world.s3.client.create_multipart_upload(**key)["UploadId"]
    part = world.s3.client.upload_part(**key, UploadId=world.upload, PartNumber=1, Body=b"p" * 10)
    world.etag = part["ETag"]
    return world


def refusals(world: World) -> list[dict[str, Any]]:
    return list(json.loads(world.gateway.cli("refusals", "list", "--tenant", world.tenant, "--json").stdout))


def statuses(world: World, verbs: Mapping[str, Verb], key: str = "folder/file.txt") -> dict[str, int]:
    return {name: verb(world, key) for name, verb in verbs.items()}


def without(*names: str) -> dict[str, Verb]:
    return {name: verb for name, verb in ALL.items() if name not in names}


def only(names: tuple[str, ...]) -> dict[str, Verb]:
    return {name: ALL[name] for name in names}


def test_a_viewer_writes_by_no_verb(gateway: RunningGateway) -> None:
    world = world_of(gateway, "viewers")
    gateway.cli("user", "role", "viewers", LOGIN, "viewer")
    until(lambda: world.dav("PUT", "x", data=b"") == 403)
    assert set(statuses(world, without(*NO_WRITE)).values()) == {403}


def test_a_suspended_tenant_is_served_by_no_verb(gateway: RunningGateway) -> None:
    world = world_of(gateway, "suspended")
    gateway.cli("tenant", "suspend", "suspended")
    until(lambda: world.dav("PUT", "x", data=b"") == 403)
    assert set(statuses(world, ALL).values()) == {403}
    answer = world.s3.signed("GET", f"/{BUCKET}/source.txt")
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert b"suspend" not in answer.body.lower()
    assert {one["verb"] for one in refusals(world)} >= {"PutObject", "GetObject", "PUT"}


def test_an_interruption_stops_every_verb_with_503(gateway: RunningGateway) -> None:
    world = world_of(gateway, "interrupted")
    gateway.cli("interruption", "open", "--tenant", "interrupted", "--ground", "DISORDER", "--reason", "disks")
    until(lambda: world.dav("PUT", "x", data=b"") == 503)
    assert set(statuses(world, ALL).values()) == {503}
    assert world.s3.signed("GET", f"/{BUCKET}/source.txt").code == "ServiceUnavailable"


def test_what_is_taken_down_is_touched_by_no_verb(gateway: RunningGateway) -> None:
    world = world_of(gateway, "taken")
    gateway.cli("takedown", "set", "taken", f"/{BUCKET}", "--item", "4", "--reason", "a complaint")
    until(lambda: world.dav("PUT", "x", data=b"") == 403)
    assert set(statuses(world, without(*NO_WRITE, *NOT_IN_BUCKET, *OUTSIDE, "LOCK")).values()) == {403}
    assert world.s3.signed("GET", f"/{BUCKET}/source.txt").code == "AccessDenied"
    out = {"Bucket": "rules-empty", "Key": "out", "CopySource": SOURCE}
    assert world.call("copy_object", **out) == 403
    assert [one["Key"] for one in world.s3.client.list_objects_v2(Bucket=BUCKET)["Contents"]] == [
        "folder/file.txt",
        "source.txt",
    ]


def test_a_lock_taken_over_webdav_stops_every_verb_of_others(gateway: RunningGateway) -> None:
    world = world_of(gateway, "locked")
    gateway.add_user("locked", "lou", "a password for lou")
    lou = World(gateway, key_of(gateway, "locked", "lou"), ("lou", "a password for lou"), "locked")
    assert lou.dav("LOCK", "", data=LOCK) == 200
    inside = without(*NO_WRITE, *NOT_IN_BUCKET, *OUTSIDE)
    answers = statuses(world, inside)
    assert {answers[name] for name in DAV_VERBS if name in inside} == {423}
    assert {answers[name] for name in S3_VERBS if name in inside} == {409}
    own = {name: verb for name, verb in S3_VERBS.items() if name in inside}
    lou.upload, lou.etag = world.upload, world.etag
    assert set(statuses(lou, own).values()) == {409}  # S3 has no way to show a token


def test_the_quota_is_exact_for_every_verb_that_brings_bytes(gateway: RunningGateway) -> None:
    world = world_of(gateway, "full", quota="3000B")
    world.part("abort_multipart_upload", "folder/file.txt")  # its part is reserved
    world.bytes = b"y" * 1001
    answers = {name: ALL[name](world, f"new-{name}") for name in BRING_BYTES}
    assert answers == {"PUT": 507, "COPY": 201, "PutObject": 403, "CopyObject": 403, "PostObject": 403}
    gateway.cli("tenant", "set", "full", "--quota", "2000B")
    world.dav("DELETE", "new-COPY")
    answers = {name: ALL[name](world, f"newer-{name}") for name in BRING_BYTES}
    assert answers == {"PUT": 507, "COPY": 507, "PutObject": 403, "CopyObject": 403, "PostObject": 403}
    gateway.cli("tenant", "set", "full", "--quota", "3001B")
    assert ALL["PutObject"](world, "last") == 200  # 2000 + 1001
    assert world.s3.signed("PUT", f"/{BUCKET}/more", body=b"z").code == "QuotaExceeded"


def test_a_forbidden_name_is_given_by_no_verb(gateway: RunningGateway) -> None:
    world = world_of(gateway, "names")
    assert set(statuses(world, only(GIVE_NAMES), "folder/program.exe").values()) == {403}
    assert world.dav("MOVE", "source.txt", headers={"Destination": world.url("program.exe")}) == 403
    assert {(one["policy"], one["clause"]) for one in refusals(world)} == {("no-programs", "PRO-01 9-5")}


def test_eicar_comes_in_by_no_verb_and_no_framing(gateway: RunningGateway) -> None:
    world = world_of(gateway, "infected")
    world.bytes = EICAR
    assert set(statuses(world, only(NEW_CONTENT), "virus.com").values()) == {403}
    checksum = base64.b64encode(zlib.crc32(EICAR).to_bytes(4, "big")).decode()
    chunked = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\nx-amz-checksum-crc32:%b\r\n\r\n" % (
        30, EICAR[:30], len(EICAR) - 30, EICAR[30:], checksum.encode(),
    )  # fmt: skip
    streamed = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-trailer": "x-amz-checksum-crc32",
        "x-amz-decoded-content-length": str(len(EICAR)),
        "Content-Encoding": "aws-chunked",
    }
    answer = world.s3.signed("PUT", f"/{BUCKET}/virus.com", headers=streamed, sent=chunked)
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert b"<Policy>virus_scan</Policy>" in answer.body
    listed = [one["Key"] for one in world.s3.client.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert listed == ["folder/file.txt", "source.txt"]
    kept = [one for one in refusals(world) if one["code"] == "infected"]
    assert len(kept) == len(NEW_CONTENT) + 1
    assert all(one["digest"] for one in kept)


def test_held_content_is_listed_and_read_by_nobody(gateway: RunningGateway) -> None:
    world = world_of(gateway, "holding")
    held = NO_PROGRAMS.replace('ext == "exe"', 'ext == "held"').replace("refuse", "hold")
    (gateway.folder / "hold.yaml").write_text(held)
    gateway.cli("policy", "apply", "content", str(gateway.folder / "hold.yaml"), "--tenant", "holding")
    until(lambda: world.dav("PUT", "x.held", data=b"1") in (201, 204) and world.dav("GET", "x.held") == 403)
    put = world.s3.client.put_object(Bucket=BUCKET, Key="y.held", Body=b"held")
    assert put["ETag"] in str(world.s3.client.list_objects_v2(Bucket=BUCKET)["Contents"])
    answer = world.s3.signed("GET", f"/{BUCKET}/y.held")
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert b"<Reason>held</Reason>" in answer.body
    for key in ("x.held", "y.held"):
        source = {"Bucket": BUCKET, "Key": key}
        assert world.call("copy_object", Bucket=BUCKET, Key="copy.txt", CopySource=source) == 403
        assert world.dav("COPY", key, headers={"Destination": world.url("copy.txt")}) == 403
