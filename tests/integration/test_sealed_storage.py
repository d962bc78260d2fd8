"""Sealed storage and replica under a space: damage is found, reported and mended; removed tenants are unreadable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.blobstore import BlobStore, open_named
from gateway.domain.errors import DamagedBlob, NotFound
from gateway.service.damages import DAMAGED
from gateway.testing.replicas import Replicated
from gateway.testing.space import open_space

CONTENT = b"a customer's own words " * 10_000
NAME = "very-private-name.txt"


@contextmanager
def open_sealed(folder: Path) -> Iterator[Replicated]:
    """A space whose storage and replica are sealed local folders, both under one master key."""
    (folder / "key").parent.mkdir(parents=True, exist_ok=True)
    (folder / "key").write_text("5a" * 32)

    def sealed(name: str) -> dict[str, object]:
        place = {"backend": "local", "path": str(folder / name)}
        return {"backend": "sealed", "master_key": {"file": str(folder / "key")}, "key_check": "0s", "of": place}

    replication = {"name": "replication", "to": sealed("replica")}
    options = {"storage": sealed("blobs")}
    with open_space(folder, plugins=["metering", replication], settings=options) as space:
        yield Replicated(space, folder / "replica")


def opened(replicated: Replicated) -> BlobStore:
    """The replica's sealed store, opened beside the plugin's own."""
    return replicated.plugin._context.backend(replicated.plugin._target)  # type: ignore[no-any-return]


def blob_files(folder: Path) -> list[Path]:
    return [file for file in (folder / "blobs").rglob("*") if file.is_file() and "seal" not in file.name]


def flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 4
    file.write_bytes(content)


def test_no_byte_of_content_or_name_is_in_storage_or_replica(tmp_path: Path) -> None:
    with open_sealed(tmp_path) as replicated:
        replicated.space.put(NAME, CONTENT)
        replicated.deliver()
        replicated.job("keep")
        stored = [file for place in ("blobs", "replica") for file in (tmp_path / place).rglob("*") if file.is_file()]
        assert len(stored) > 6
        for file in stored:
            content = file.read_bytes()
            for secret in (b"customer's own", NAME.encode(), b"text/plain", b"ann", b"studio"):
                assert secret not in content, (file, secret)


@pytest.mark.parametrize("at", [3, 20, 50, 64, 70_000, -1])
def test_a_flipped_bit_is_found_reported_and_mended_from_the_replica(tmp_path: Path, at: int) -> None:
    with open_sealed(tmp_path) as replicated:
        space, services = replicated.space, replicated.space.services
        node = space.put(NAME, CONTENT).node
        replicated.deliver()
        (file,) = blob_files(tmp_path / "blobs")
        flip(file, at)
        content = services.files.content(space.caller, node)
        with pytest.raises(DamagedBlob), content.open(0, content.size) as stream:
            stream.read()
        assert [(alarm.kind, alarm.subject) for alarm in services.health.alarms()] == [(DAMAGED, node.version.blob_id)]
        assert [finding.kind for finding in services.fsck.run(deep=True)] == ["damaged-blob"]
        replicated.job("keep")
        with content.open(0, content.size) as stream:
            assert stream.read() == CONTENT
        assert services.health.alarms() == []
        assert list(services.fsck.run(deep=True)) == []


def test_what_is_damaged_on_both_sides_stays_on_record(tmp_path: Path) -> None:
    with open_sealed(tmp_path) as replicated:
        services = replicated.space.services
        replicated.space.put(NAME, CONTENT)
        replicated.deliver()
        (blob,) = blob_files(tmp_path / "blobs")
        for file in (blob, *(one for one in blob_files(tmp_path / "replica") if one.name.startswith("b+"))):
            flip(file, 100)
        assert [finding.kind for finding in services.fsck.run(deep=True, repair=True)] == ["damaged-blob"]
        replicated.job("keep")
        assert [alarm.kind for alarm in services.health.alarms()] == [DAMAGED]


def test_a_blob_that_is_gone_comes_back_from_the_replica(tmp_path: Path) -> None:
    with open_sealed(tmp_path) as replicated:
        services = replicated.space.services
        replicated.space.put(NAME, CONTENT)
        replicated.deliver()
        blob_files(tmp_path / "blobs")[0].unlink()
        assert [finding.kind for finding in services.fsck.run(repair=True)] == ["missing-blob"]
        replicated.job("keep")
        assert list(services.fsck.run(deep=True)) == []


def test_a_removed_tenant_is_unreadable_in_storage_and_replica(tmp_path: Path) -> None:
    with open_sealed(tmp_path) as replicated:
        services = replicated.space.services
        other = replicated.space.tenant("other")
        replicated.space.put(NAME, CONTENT)
        blob_id = replicated.space.put("more", CONTENT).node.version.blob_id
        kept = services.uploads
        replicated.deliver()
        before = open_named({"backend": "local", "path": str(tmp_path / "blobs")}, tmp_path)
        copied = {info.key: before.open(info.key).read() for info in before.list()}
        services.accounts.remove("studio")
        while services.trees.erase_detached():
            pass
        replicated.deliver()
        assert services.erasures.forget_in_storage() == 1
        assert services.erasures.forget_in_storage() == 0
        replicated.job("keep")
        for store, key in ((services.store, blob_id), (opened(replicated), f"b/{blob_id}")):
            with pytest.raises(NotFound):
                store.open(key)
        # nobody who kept the ciphertext can open it, whatever the master key; only who kept the wrapped key could
        wrapped = [key for key in copied if key.startswith(".seal/") and "witness" not in key]
        assert wrapped and not [info.key for info in before.list(".seal/") if info.key in wrapped]
        reader = services.restoring.reader(opened(replicated))
        rebuilt = reader.space("studio")
        assert rebuilt is not None and rebuilt.tenant["state"] == "removed"
        assert not list(rebuilt.reachable())
        assert other.tenant.name in reader.tenants() and kept
