"""awscli, s3cmd and rclone over S3, with quota and virus scan on: copy, sync, move, remove, check."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.testing.needs import need
from gateway.testing.outside import Done, make_tree, run, tree_of
from gateway.testing.s3 import REGION
from gateway.testing.scanned import Scanned

Program = Callable[..., Done]
FILES = 40
MIB = 1024 * 1024


@pytest.fixture
def bucket(scanned: Scanned) -> str:
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    scanned.s3.client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files as people have them, and one that goes by parts."""
    make_tree(tmp_path / "tree", FILES)
    for folder in sorted((tmp_path / "tree").rglob("*"), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()  # S3 knows no empty folders
    (tmp_path / "tree" / "large").write_bytes(os.urandom(17 * MIB))
    return tmp_path / "tree"


def keys(scanned: Scanned, bucket: str) -> list[str]:
    pages = scanned.s3.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [one["Key"] for page in pages for one in page.get("Contents", [])]


# -- awscli -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def aws(scanned: Scanned, tmp_path: Path) -> Program:
    need("aws")
    env = {
        "AWS_ACCESS_KEY_ID": scanned.s3.access_key,
        "AWS_SECRET_ACCESS_KEY": scanned.s3.secret_key,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": scanned.s3.url,
        "AWS_CONFIG_FILE": str(tmp_path / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no-credentials"),
        "AWS_MAX_ATTEMPTS": "1",
    }
    return lambda *words: run("aws", *words, env=env)


def test_aws_s3_copies_syncs_moves_and_removes(
    aws: Program, scanned: Scanned, bucket: str, tree: Path, tmp_path: Path
) -> None:
    aws("s3", "sync", tree, f"s3://{bucket}/tree", "--only-show-errors")
    assert len(keys(scanned, bucket)) == len([path for path in tree.rglob("*") if path.is_file()])
    aws("s3", "sync", f"s3://{bucket}/tree", tmp_path / "back", "--only-show-errors")
    assert tree_of(tmp_path / "back") == tree_of(tree)
    (tree / "large").unlink()
    assert "delete:" in aws("s3", "sync", tree, f"s3://{bucket}/tree", "--delete").output
    aws("s3", "cp", f"s3://{bucket}/tree", f"s3://{bucket}/copy", "--recursive", "--only-show-errors")
    aws("s3", "mv", f"s3://{bucket}/copy", f"s3://{bucket}/moved", "--recursive", "--only-show-errors")
    assert {key.partition("/")[0] for key in keys(scanned, bucket)} == {"tree", "moved"}
    aws("s3", "rm", f"s3://{bucket}", "--recursive", "--only-show-errors")
    aws("s3", "rb", f"s3://{bucket}")


def test_an_empty_body_that_waited_for_100_continue_ends_its_connection(scanned: Scanned, bucket: str) -> None:
    """awscli would wait for the next answer on that connection until it is closed."""
    answer = scanned.s3.signed("PUT", f"/{bucket}/empty", unsigned={"Expect": "100-continue"})
    assert (answer.status, answer.headers.get("Connection")) == (200, "close")


def test_aws_s3api_speaks_the_operations(aws: Program, bucket: str, tmp_path: Path) -> None:
    def ask(*words: str | Path) -> dict[str, object]:
        answer: dict[str, object] = json.loads(aws("s3api", *words, "--bucket", bucket).output or "{}")
        return answer

    body = tmp_path / "body"
    body.write_bytes(b"bytes")
    ask("put-object", "--key", "a", "--body", body, "--metadata", "k=v", "--checksum-algorithm", "SHA256")
    assert ask("head-object", "--key", "a", "--checksum-mode", "ENABLED")["ChecksumSHA256"]
    ask("put-bucket-versioning", "--versioning-configuration", "Status=Enabled")
    ask("put-object", "--key", "a", "--body", body)
    versions = ask("list-object-versions")["Versions"]
    assert isinstance(versions, list) and [one["IsLatest"] for one in versions] == [True, False]
    ask("put-object-tagging", "--key", "a", "--tagging", "TagSet=[{Key=t,Value=1}]")
    assert ask("get-object-tagging", "--key", "a")["TagSet"] == [{"Key": "t", "Value": "1"}]
    upload = str(ask("create-multipart-upload", "--key", "b")["UploadId"])
    ask("upload-part", "--key", "b", "--upload-id", upload, "--part-number", "1", "--body", body)
    assert len(ask("list-parts", "--key", "b", "--upload-id", upload)["Parts"]) == 1  # type: ignore[arg-type]
    ask("abort-multipart-upload", "--key", "b", "--upload-id", upload)


# -- s3cmd ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def s3cmd(scanned: Scanned, tmp_path: Path) -> Program:
    need("s3cmd")
    host = urlsplit(scanned.s3.url).netloc
    config = tmp_path / "s3cfg"
    config.write_text(
        f"[default]\naccess_key = {scanned.s3.access_key}\nsecret_key = {scanned.s3.secret_key}\n"
        f"host_base = {host}\nhost_bucket = {host}\nuse_https = False\nbucket_location = {REGION}\n"
    )
    return lambda *words: run("s3cmd", "--config", config, "--no-progress", *words)


def test_s3cmd_puts_gets_syncs_and_removes(
    s3cmd: Program, scanned: Scanned, bucket: str, tree: Path, tmp_path: Path
) -> None:
    assert f"s3://{bucket}" in s3cmd("ls").output
    s3cmd("sync", "--multipart-chunk-size-mb=5", f"{tree}/", f"s3://{bucket}/tree/")
    back = tmp_path / "back"
    back.mkdir()
    s3cmd("sync", f"s3://{bucket}/tree/", f"{back}/")
    assert tree_of(back) == tree_of(tree)
    assert "upload:" not in s3cmd("sync", "--multipart-chunk-size-mb=5", f"{tree}/", f"s3://{bucket}/tree/").output
    s3cmd("put", tree / "large", f"s3://{bucket}/large", "--multipart-chunk-size-mb=5", "--add-header=x-amz-meta-k:v")
    assert scanned.s3.client.head_object(Bucket=bucket, Key="large")["ETag"].endswith('-4"')
    s3cmd("mv", f"s3://{bucket}/large", f"s3://{bucket}/moved")
    assert "moved" in keys(scanned, bucket) and "large" not in keys(scanned, bucket)
    s3cmd("del", "--recursive", "--force", f"s3://{bucket}/")
    s3cmd("rb", f"s3://{bucket}")


# -- rclone -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def rclone(scanned: Scanned, tmp_path: Path) -> Iterator[Program]:
    need("rclone")
    config = tmp_path / "rclone.conf"
    config.touch()
    env = {
        "RCLONE_CONFIG_S3_TYPE": "s3",
        "RCLONE_CONFIG_S3_PROVIDER": "Other",
        "RCLONE_CONFIG_S3_ENDPOINT": scanned.s3.url,
        "RCLONE_CONFIG_S3_ACCESS_KEY_ID": scanned.s3.access_key,
        "RCLONE_CONFIG_S3_SECRET_ACCESS_KEY": scanned.s3.secret_key,
        "RCLONE_CONFIG_S3_REGION": REGION,
    }
    yield lambda *words: run("rclone", "--config", config, "--retries", "1", *words, env=env)


def test_rclone_copies_syncs_and_checks(rclone: Program, bucket: str, tree: Path, tmp_path: Path) -> None:
    parts = ("--s3-upload-cutoff", "8M", "--s3-chunk-size", "5M")
    rclone("copy", tree, f"s3:{bucket}/tree", *parts)
    rclone("check", tree, f"s3:{bucket}/tree")
    rclone("check", tree, f"s3:{bucket}/tree", "--download")
    (tree / "large").write_bytes(b"now small")
    rclone("sync", tree, f"s3:{bucket}/tree", *parts)
    rclone("copy", f"s3:{bucket}/tree", tmp_path / "back")
    assert tree_of(tmp_path / "back") == tree_of(tree)
    rclone("move", f"s3:{bucket}/tree", f"s3:{bucket}/moved")
    assert rclone("lsf", f"s3:{bucket}").output.split() == ["moved/"]
    rclone("purge", f"s3:{bucket}")
