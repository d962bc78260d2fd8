"""Uploads by parts in the services: quota, expiry, the store, and what a blob of segments undergoes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.domain.errors import NotFound, NoUpload, QuotaExceeded, Unavailable
from gateway.domain.multipart import MultipartUpload, Part, is_composed
from gateway.domain.upload import Declared
from gateway.service.multipart import EXPIRY_MS
from gateway.service.results import Placed
from gateway.testing.space import Space, open_space

KEY = ("bucket", "deep", "key")
QUOTA = 1000


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    with open_space(tmp_path, plugins=["quota"], quota_bytes=QUOTA) as space:
        space.mkcol("bucket")
        yield space


def begin(space: Space) -> MultipartUpload:
    wanted = MultipartUpload(0, 0, 0, (), "", 0, content_type="x/y")
    return space.services.multipart.begin(space.caller, KEY, wanted)


def put(space: Space, upload: MultipartUpload, number: int, body: bytes) -> Part:
    incoming = space.services.multipart.open_part(space.caller, KEY, upload.public_id, number, Declared(len(body)))
    try:
        incoming.feed(body)
        return incoming.finish()
    finally:
        incoming.abort()


def complete(space: Space, upload: MultipartUpload, *parts: Part) -> Placed:
    return space.services.multipart.complete(space.caller, KEY, upload, parts)


def reserved(space: Space) -> int:
    tenant = space.services.db.read(lambda tx: tx.tenants.by_id(space.caller.tenant.id))
    assert tenant is not None
    return tenant.reserved_bytes


def stored(space: Space) -> list[str]:
    return sorted(info.key for info in space.services.store.list())


def sweep(space: Space) -> None:
    space.clock.forward(120)
    space.deployment.leases.renew()
    steward = space.services.db.write(lambda tx: tx.leases.grant("5" * 12, "steward", "here", 1, 0, 2**62)).result()
    fence = steward.fence if steward else 0
    for subscriber in space.services.outbox.subscribers():
        space.services.outbox.deliver(subscriber, fence, lambda: False)
    while space.services.sweeper.sweep_released():
        pass


def problems(space: Space) -> list[object]:
    return list(space.services.fsck.run(deep=True))


def test_the_quota_is_exact_while_parts_are_pending_and_after(space: Space) -> None:
    upload = begin(space)
    first = put(space, upload, 1, b"a" * 600)
    second = put(space, upload, 2, b"b" * 400)
    assert reserved(space) == QUOTA and space.used() == (0, 0)
    with pytest.raises(QuotaExceeded):
        space.put("bucket/other", b"x")
    with pytest.raises(QuotaExceeded):
        put(space, upload, 3, b"x")
    second = put(space, upload, 2, b"c" * 399)
    space.put("bucket/other", b"x")
    complete(space, upload, first, second)
    assert (reserved(space), space.used()) == (0, (QUOTA, 2))
    assert space.read("bucket/deep/key") == b"a" * 600 + b"c" * 399
    sweep(space)
    assert len(stored(space)) == 3 and problems(space) == []


def test_a_part_that_was_replaced_meanwhile_is_not_completed(space: Space) -> None:
    upload = begin(space)
    first = put(space, upload, 1, b"one")
    put(space, upload, 1, b"two")
    with pytest.raises(Unavailable, match="anew"):
        complete(space, upload, first)
    assert space.names("bucket") == []


def test_parts_that_are_not_listed_and_those_of_an_aborted_upload_go(space: Space) -> None:
    upload = begin(space)
    first = put(space, upload, 1, b"one")
    put(space, upload, 2, b"left out")
    complete(space, upload, first)
    other = begin(space)
    put(space, other, 1, b"given up")
    space.services.multipart.abort(space.caller, KEY, other.public_id)
    sweep(space)
    assert (len(stored(space)), reserved(space)) == (1, 0)
    with pytest.raises(NoUpload):
        put(space, other, 2, b"too late")


def test_what_nobody_completes_expires_and_what_lost_its_bucket_too(space: Space) -> None:
    put(space, begin(space), 1, b"stale")
    assert space.services.multipart.expire() == 0
    space.clock.forward(EXPIRY_MS / 1000 + 1)
    space.deployment.leases.renew()
    young = begin(space)
    put(space, young, 1, b"young")
    assert space.services.multipart.expire() == 1
    space.services.files.delete(space.caller, ("bucket",))
    assert space.services.multipart.expire() == 1
    sweep(space)
    assert (stored(space), reserved(space), problems(space)) == ([], 0, [])


def test_pending_parts_outlive_their_gate(tmp_path: Path) -> None:
    with open_space(tmp_path, plugins=["quota"], quota_bytes=QUOTA) as space:
        space.mkcol("bucket")
        upload = begin(space)
        first = put(space, upload, 1, b"one")
    with open_space(tmp_path, plugins=["quota"], quota_bytes=QUOTA) as space:
        space.services.sweeper.sweep_lapsed()
        assert problems(space) == [] and reserved(space) == 3
        complete(space, upload, first, put(space, upload, 2, b"two"))
        assert space.read("bucket/deep/key") == b"onetwo"


def test_a_composed_blob_is_read_deleted_and_written_anew_like_any_other(space: Space) -> None:
    upload = begin(space)
    node = complete(space, upload, put(space, upload, 1, b"one"), put(space, upload, 2, b"two")).node
    assert node.version is not None and is_composed(node.version.blob_id)
    store, blob_id = space.services.store, node.version.blob_id
    for start in range(7):
        for length in (None, 0, 1, 3, 9):
            with store.open(blob_id, start, length) as stream:
                assert stream.read() == b"onetwo"[start : None if length is None else start + length]
    assert store.stat(blob_id).size == 6
    writer = store.writer(blob_id)
    writer.write(b"onetwo")
    writer.commit()
    sweep(space)
    assert stored(space) == [blob_id] and space.read("bucket/deep/key") == b"onetwo"
    space.services.files.delete(space.caller, ("bucket", "deep"))
    sweep(space)
    assert stored(space) == []


def test_a_segment_that_is_gone_is_reported(space: Space) -> None:
    upload = begin(space)
    parts = put(space, upload, 1, b"one"), put(space, upload, 2, b"two")
    complete(space, upload, *parts)
    space.services.store.delete(parts[1].blob_id)
    assert [one.kind for one in space.services.fsck.run()] == ["missing-blob"]
    with pytest.raises(NotFound):
        space.read("bucket/deep/key")
