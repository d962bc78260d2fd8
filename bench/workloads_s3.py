"""S3 workloads. Payload hashes are computed once, so the client spends nothing on them; the server still checks."""

import hashlib
import os
import random
import re

from workloads import MIB, workload
from workloads_dav import parallel

_hashes = {}


def file_hash(path, offset, size):
    key = (path, offset, size)
    if key not in _hashes:
        h = hashlib.sha256()
        with open(path, "rb") as f:
            f.seek(offset)
            left = size
            while left:
                block = f.read(min(left, MIB))
                h.update(block)
                left -= len(block)
        _hashes[key] = h.hexdigest()
    return _hashes[key]


def put_heads(ctx, keys, body):
    digest = hashlib.sha256(body).hexdigest()
    return [
        ctx.server.signed("PUT", f"/{ctx.server.bucket}/{k}", payload_sha256=digest, length=len(body)) for k in keys
    ]


def fill(ctx, folder, count, size):
    keys = ["%s/k%06d" % (folder, i) for i in range(count)]
    if folder not in ctx.made:
        body = random.Random(3).randbytes(size)
        for start in range(0, count, 1000):
            for request in put_heads(ctx, keys[start : start + 1000], body):
                ctx.expect(ctx.conn.request(request, body), 200)
        ctx.made.add(folder)
    return keys


@workload("put-small", "s3")
def put_small(ctx):
    out, body = [], random.Random(5).randbytes(4096)
    for conns in (1, 16):
        folder = "put-" + ctx.unique()
        heads = put_heads(ctx, ["%s/f%06d" % (folder, i) for i in range(12000 * ctx.sizes.seconds)], body)
        os.sync()
        out.append(ctx.rate("s3-put4k-c%d" % conns, heads, body, conns))
    return out


@workload("get-small", "s3")
def get_small(ctx):
    keys = fill(ctx, "small", 1000, 4096)
    heads = [ctx.server.signed("GET", f"/{ctx.server.bucket}/{k}") for k in keys]
    got = ctx.expect(ctx.conn.request(heads[0]), 200)
    if got.length != 4096:
        raise RuntimeError("wrong length %d" % got.length)
    return [ctx.rate("s3-get4k-c%d" % c, heads, conns=c) for c in (1, 16, 64)]


def put_part(ctx, conn, path, source, offset, size, query=()):
    request = ctx.server.signed("PUT", path, query=query, payload_sha256=file_hash(source, offset, size), length=size)
    fd = os.open(source, os.O_RDONLY)
    try:
        return ctx.expect(conn.request(request, source=(fd, offset, size)), 200)
    finally:
        os.close(fd)


@workload("object", "s3")
def big_object(ctx):
    """PUT and GET of 64 MiB, one connection; four of each in turn."""
    size = ctx.sizes.object
    source, out, path = ctx.source(size), [], f"/{ctx.server.bucket}/object.bin"
    file_hash(source, 0, size)
    os.sync()
    with ctx.meter() as m:
        for _ in range(4):
            put_part(ctx, ctx.conn, path, source, 0, size)
    out.append(ctx.record(m, "s3-put64m", 4 * size / MIB / m.wall, "MiB/s"))
    with ctx.meter() as m:
        for _ in range(4):
            got = ctx.expect(ctx.conn.request(ctx.server.signed("GET", path), discard=True), 200)
    if got.length != size:
        raise RuntimeError("wrong length %d" % got.length)
    out.append(ctx.record(m, "s3-get64m", 4 * size / MIB / m.wall, "MiB/s"))
    return out


@workload("multipart", "s3")
def multipart(ctx):
    """512 MiB in 32 parts of 16 MiB over four connections, create and complete included."""
    part, count = (16 * MIB, 32) if ctx.sizes.object >= 64 * MIB else (8 * MIB, 4)
    source, path, tags = ctx.source(part * 4), f"/{ctx.server.bucket}/multi.bin", {}
    for i in range(4):
        file_hash(source, i * part, part)
    os.sync()
    with ctx.meter() as m:
        got = ctx.expect(ctx.conn.request(ctx.server.signed("POST", path, query=[("uploads", "")], length=0)), 200)
        upload = re.search(rb"<UploadId>([^<]+)</UploadId>", got.body).group(1).decode()

        def lane(conn, first):
            for n in range(first, count, 4):
                got = put_part(
                    ctx, conn, path, source, (n % 4) * part, part, [("partNumber", str(n + 1)), ("uploadId", upload)]
                )
                tags[n + 1] = re.search(rb'(?i)\r\netag:\s*"?([^"\r]+)', got.headers).group(1).decode()

        parallel(ctx, [lambda c, i=i: lane(c, i) for i in range(4)])
        body = (
            "<CompleteMultipartUpload>"
            + "".join('<Part><PartNumber>%d</PartNumber><ETag>"%s"</ETag></Part>' % (n, tags[n]) for n in sorted(tags))
            + "</CompleteMultipartUpload>"
        ).encode()
        ctx.expect(
            ctx.conn.request(
                ctx.server.signed(
                    "POST",
                    path,
                    query=[("uploadId", upload)],
                    payload_sha256=hashlib.sha256(body).hexdigest(),
                    length=len(body),
                ),
                body,
            ),
            200,
        )
    got = ctx.conn.request(ctx.server.signed("GET", path), discard=True)
    if got.length != part * count:
        raise RuntimeError("the object has %d bytes" % got.length)
    return ctx.record(m, "s3-multipart", part * count / MIB / m.wall, "MiB/s")


@workload("list", "s3")
def list_keys(ctx):
    """ListObjectsV2 over 10 000 keys, pages of 1 000, twice."""
    count = ctx.sizes.keys
    fill(ctx, "listing", count, 128)
    seen, token, rounds = 0, None, 2
    with ctx.meter() as m:
        for _ in range(rounds):
            token = None
            while True:
                query = [("list-type", "2"), ("prefix", "listing/"), ("max-keys", "1000")]
                if token:
                    query.append(("continuation-token", token))
                got = ctx.expect(ctx.conn.request(ctx.server.signed("GET", "/" + ctx.server.bucket, query=query)), 200)
                seen += got.body.count(b"<Contents>")
                found = re.search(rb"<NextContinuationToken>([^<]+)<", got.body)
                if not found or b"<IsTruncated>true" not in got.body:
                    break
                token = found.group(1).decode()
    if seen != count * rounds:
        raise RuntimeError("listed %d keys of %d" % (seen, count * rounds))
    return ctx.record(m, "s3-list", seen / m.wall, "keys/s")


@workload("delete", "s3")
def delete_many(ctx):
    """DeleteObjects of 1 000 keys in one request."""
    import base64

    folder = "del-" + ctx.unique()
    keys = fill(ctx, folder, 1000, 128)
    body = (
        "<Delete><Quiet>true</Quiet>" + "".join(f"<Object><Key>{k}</Key></Object>" for k in keys) + "</Delete>"
    ).encode()
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    request = ctx.server.signed(
        "POST",
        "/" + ctx.server.bucket,
        query=[("delete", "")],
        length=len(body),
        payload_sha256=hashlib.sha256(body).hexdigest(),
        extra=[("Content-MD5", md5)],
    )
    with ctx.meter() as m:
        got = ctx.expect(ctx.conn.request(request, body), 200)
    if b"<Error>" in got.body:
        raise RuntimeError(got.body[:300])
    return ctx.record(m, "s3-delete1000", 1000 / m.wall, "keys/s")
