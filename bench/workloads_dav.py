"""WebDAV workloads W1-W9."""

import os
import random
import re
import shutil
import threading
import time

from client import Conn, head
from workloads import MIB, workload

ALLPROP = b'<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind>'
NAMED = (
    b'<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:">'
    b"<D:prop><D:displayname/><D:getcontentlength/><D:getcontenttype/><D:getetag/><D:getlastmodified/>"
    b"<D:creationdate/><D:resourcetype/><D:supportedlock/><D:lockdiscovery/><D:quota-available-bytes/>"
    b"<D:quota-used-bytes/><Z:Win32FileAttributes/><Z:Win32LastModifiedTime/></D:prop></D:propfind>"
)
LOCK = (
    b'<?xml version="1.0" encoding="utf-8"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype><D:owner>bench</D:owner></D:lockinfo>"
)
PATCH = (
    b'<?xml version="1.0" encoding="utf-8"?><D:propertyupdate xmlns:D="DAV:" xmlns:b="urn:bench">'
    b"<D:set><D:prop><b:label>final</b:label></D:prop></D:set></D:propertyupdate>"
)
XML = ("Content-Type", "application/xml")


def make(ctx, method, path, headers=(), length=None):
    s = ctx.server
    return head(method, s.prefix + path, s.host, s.headers() + list(headers), length)


def mkcol(ctx, path):
    ctx.expect(ctx.conn.request(make(ctx, "MKCOL", path + "/", length=0)), 201, 200, 405)


def files(ctx, folder, names, size):
    """Fill a folder, once per server: as plain files where the server shows them, else by PUT."""
    if folder in ctx.made:
        return
    data = random.Random(3).randbytes(size)
    if ctx.server.plain_files:
        where = os.path.join(ctx.server.root, folder.strip("/"))
        os.makedirs(where)
        for name in names:
            with open(os.path.join(where, name), "wb") as f:
                f.write(data)
        ctx.server.own(where)
        ctx.server.refresh()
    else:
        mkcol(ctx, folder)
        for name in names:
            ctx.expect(ctx.conn.request(make(ctx, "PUT", f"{folder}/{name}", length=size), data), 200, 201, 204)
    ctx.made.add(folder)


def big(ctx):
    """The big file: a hard link to one source where possible, so all servers read the same page cache."""
    size = ctx.sizes.big
    if "big" not in ctx.made:
        source = ctx.source(size)
        if ctx.server.plain_files:
            os.link(source, os.path.join(ctx.server.root, "big.bin"))
            ctx.server.refresh()
        else:
            put_file(ctx, ctx.conn, "/big.bin", source, 0, size)
        ctx.made.add("big")
    return size


def put_file(ctx, conn, path, source, offset, size):
    fd = os.open(source, os.O_RDONLY)
    try:
        ctx.expect(conn.request(make(ctx, "PUT", path, length=size), source=(fd, offset, size)), 200, 201, 204)
    finally:
        os.close(fd)


def parallel(ctx, jobs):
    errors = []

    def run(job):
        try:
            job(Conn(ctx.server.addr))
        except Exception as e:  # reported below
            errors.append(e)

    threads = [threading.Thread(target=run, args=(j,)) for j in jobs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]


@workload("put-large", "dav")
def put_large(ctx):
    """W1: one PUT of 1 GiB; four of 256 MiB at once."""
    source, size, quarter = ctx.source(ctx.sizes.big), ctx.sizes.big, ctx.sizes.quarter
    out = []
    os.sync()
    with ctx.meter() as m:
        put_file(ctx, ctx.conn, "/up.bin", source, 0, size)
    out.append(ctx.record(m, "put-1x", size / MIB / m.wall, "MiB/s"))
    got = ctx.conn.request(make(ctx, "HEAD", "/up.bin"), no_body=True)
    if ("content-length: %d" % size).encode() not in got.headers.lower():
        raise RuntimeError(f"stored size is wrong: {got.headers!r}")
    ctx.conn.request(make(ctx, "DELETE", "/up.bin"))
    os.sync()
    with ctx.meter() as m:
        parallel(
            ctx, [lambda c, i=i: put_file(ctx, c, "/up%d.bin" % i, source, i * quarter, quarter) for i in range(4)]
        )
    out.append(ctx.record(m, "put-4x", 4 * quarter / MIB / m.wall, "MiB/s"))
    for i in range(4):
        ctx.conn.request(make(ctx, "DELETE", "/up%d.bin" % i))
    return out


@workload("get-large", "dav")
def get_large(ctx):
    """W2: one GET of 1 GiB; four of 256 MiB (ranges of the same file) at once."""
    size, quarter = big(ctx), ctx.sizes.quarter

    def get(conn, first, count, status):
        span = [("Range", "bytes=%d-%d" % (first, first + count - 1))] if status == 206 else []
        got = ctx.expect(conn.request(make(ctx, "GET", "/big.bin", span), discard=True), status)
        if got.length != count:
            raise RuntimeError("got %d bytes of %d" % (got.length, count))

    get(ctx.conn, 0, size, 200)
    out = []
    with ctx.meter() as m:
        get(ctx.conn, 0, size, 200)
    out.append(ctx.record(m, "get-1x", size / MIB / m.wall, "MiB/s"))
    with ctx.meter() as m:
        parallel(ctx, [lambda c, i=i: get(c, i * quarter, quarter, 206) for i in range(4)])
    out.append(ctx.record(m, "get-4x", 4 * quarter / MIB / m.wall, "MiB/s"))
    return out


@workload("put-small", "dav")
def put_small(ctx):
    """W3: new files of 4 KiB, over 64 folders (what a file costs differs a lot from folder to folder on ext4)."""
    out, body = [], random.Random(5).randbytes(4096)
    for conns in (1, 16):
        top = "/put-" + ctx.unique()
        mkcol(ctx, top)
        for d in range(64):
            mkcol(ctx, "%s/d%02d" % (top, d))
        heads = [
            make(ctx, "PUT", "%s/d%02d/f%06d" % (top, i % 64, i), length=4096) for i in range(20000 * ctx.sizes.seconds)
        ]
        os.sync()
        out.append(ctx.rate("put4k-c%d" % conns, heads, body, conns))
        if ctx.server.plain_files:
            shutil.rmtree(os.path.join(ctx.server.root, top[1:]), ignore_errors=True)
            ctx.server.refresh()
        else:
            ctx.conn.request(make(ctx, "DELETE", top + "/"))
    return out


def small(ctx):
    names = ["s%04d" % i for i in range(1000)]
    files(ctx, "/small", names, 4096)
    return names


@workload("get-small", "dav")
def get_small(ctx):
    """W4: GET of 4 KiB, a thousand files in turn."""
    heads = [make(ctx, "GET", "/small/" + n) for n in small(ctx)]
    got = ctx.expect(ctx.conn.request(heads[0]), 200)
    if got.length != 4096:
        raise RuntimeError("wrong length %d" % got.length)
    return [ctx.rate("get4k-c%d" % c, heads, conns=c) for c in (1, 16, 64)]


@workload("propfind", "dav")
def propfind(ctx):
    """W5: PROPFIND depth 1 on flat folders, allprop and the properties Windows and Finder name."""
    out = []
    for count in ctx.sizes.flats:
        folder = "/flat%d" % count
        files(ctx, folder, ["file-%05d.jpg" % i for i in range(count)], 1024)
        for kind, body in (("allprop", ALLPROP), ("named", NAMED)):
            request = make(ctx, "PROPFIND", folder + "/", [("Depth", "1"), XML], len(body))
            warm = ctx.expect(ctx.conn.request(request, body), 207)
            seen = len(re.findall(rb"<(?:\w+:)?response[ >]", warm.body))
            if seen != count + 1:
                raise RuntimeError("%d responses for %d children" % (seen, count))
            times = []
            with ctx.meter() as m:
                while len(times) < 2 or sum(times) < 0.7 * ctx.sizes.seconds:
                    t0 = time.perf_counter()
                    ctx.conn.request(request, body)
                    times.append(time.perf_counter() - t0)
            out.append(
                ctx.record(
                    m,
                    "propfind-%s-%d" % (kind, count),
                    count * len(times) / sum(times),
                    "entries/s",
                    ops=len(times),
                    ms_each=1000 * sum(times) / len(times),
                    bytes=warm.length,
                )
            )
    return out


@workload("meta", "dav")
def meta(ctx):
    """W6: PROPFIND depth 0, OPTIONS, HEAD, 16 connections."""
    names, out = small(ctx), []
    heads = [make(ctx, "PROPFIND", "/small/" + n, [("Depth", "0"), XML], len(NAMED)) for n in names]
    ctx.expect(ctx.conn.request(heads[0], NAMED), 207)
    out.append(ctx.rate("propfind0-c16", heads, NAMED, 16))
    heads = [make(ctx, "OPTIONS", "/small/" + n) for n in names]
    ctx.expect(ctx.conn.request(heads[0]), 200, 204)
    out.append(ctx.rate("options-c16", heads, conns=16))
    heads = [make(ctx, "HEAD", "/small/" + n) for n in names]
    ctx.expect(ctx.conn.request(heads[0], no_body=True), 200)
    out.append(ctx.rate("head-c16", heads, conns=16, no_body=True))
    return out


@workload("tree", "dav")
def tree(ctx):
    """W7: COPY, MOVE and DELETE of a tree (10 folders x 100 files of 1 KiB)."""
    folders, count = ctx.sizes.tree
    top = "/tree-" + ctx.unique()
    if ctx.server.plain_files:
        os.makedirs(os.path.join(ctx.server.root, top[1:]))
        ctx.server.own(os.path.join(ctx.server.root, top[1:]))
        ctx.server.refresh()
    else:
        mkcol(ctx, top)
    for d in range(folders):
        files(ctx, "%s/d%02d" % (top, d), ["f%03d" % i for i in range(count)], 1024)
    url = f"http://{ctx.server.host}{ctx.server.prefix}"
    out, total = [], folders * count

    def step(case, request, path, gone=None):
        with ctx.meter() as m:
            got = ctx.conn.request(request)
        if got.status in (405, 501):
            return  # the server has no such method; no figure for this case
        ctx.expect(got, 201, 204, 200)
        if path:
            found = ctx.conn.request(make(ctx, "GET", f"{path}/d00/f000"))
            if found.status != 200 or found.length != 1024:
                raise RuntimeError("%s left no copy: %d" % (case, found.status))
        if gone and ctx.conn.request(make(ctx, "GET", f"{gone}/d00/f000")).status != 404:
            raise RuntimeError(f"{case} left the old one")
        out.append(ctx.record(m, case, m.wall * 1000, "ms", "low", files=total))

    os.sync()
    step(
        "copy-tree",
        make(ctx, "COPY", top + "/", [("Destination", url + top + "-b/"), ("Depth", "infinity")], 0),
        top + "-b",
    )
    step(
        "move-tree",
        make(ctx, "MOVE", top + "/", [("Destination", url + top + "-c/"), ("Depth", "infinity")], 0),
        top + "-c",
        top,
    )
    step("delete-tree", make(ctx, "DELETE", top + "-c/"), None, top + "-c")
    ctx.conn.request(make(ctx, "DELETE", top + "-b/"))
    return out


@workload("creative", "dav")
def creative(ctx):
    """W8: a save of a creative application: LOCK, PUT temp 20 MiB, MOVE over the original, UNLOCK, PROPPATCH."""
    size = ctx.sizes.temp
    source = ctx.source(size)
    url = f"http://{ctx.server.host}{ctx.server.prefix}"
    folder = "/work-" + ctx.unique()
    mkcol(ctx, folder)
    statuses = {}

    def note(step, response, *fine):
        key = "%s %d" % (step, response.status)
        statuses[key] = statuses.get(key, 0) + 1
        if fine:
            ctx.expect(response, *fine)
        return response

    put_file(ctx, ctx.conn, folder + "/art.psd", source, 0, MIB)
    os.sync()
    with ctx.meter() as m:
        for _i in range(ctx.sizes.cycles):
            got = note(
                "LOCK",
                ctx.conn.request(
                    make(ctx, "LOCK", folder + "/art.psd", [("Timeout", "Second-60"), ("Depth", "0"), XML], len(LOCK)),
                    LOCK,
                ),
                200,
                201,
            )
            token = re.search(rb"(?i)\r\nlock-token:\s*<([^>]+)>", got.headers).group(1).decode()
            put_file(ctx, ctx.conn, folder + "/~art.tmp", source, 0, size)
            note(
                "MOVE",
                ctx.conn.request(
                    make(
                        ctx,
                        "MOVE",
                        folder + "/~art.tmp",
                        [
                            ("Destination", url + folder + "/art.psd"),
                            ("Overwrite", "T"),
                            ("If", f"<{url}{folder}/art.psd> (<{token}>)"),
                        ],
                        0,
                    )
                ),
                201,
                204,
            )
            note(
                "UNLOCK", ctx.conn.request(make(ctx, "UNLOCK", folder + "/art.psd", [("Lock-Token", f"<{token}>")], 0))
            )
            note("PROPPATCH", ctx.conn.request(make(ctx, "PROPPATCH", folder + "/art.psd", [XML], len(PATCH)), PATCH))
    got = ctx.conn.request(make(ctx, "GET", folder + "/art.psd"), discard=True)
    if got.length != size:
        raise RuntimeError("the saved file has %d bytes" % got.length)
    ctx.conn.request(make(ctx, "DELETE", folder + "/"))
    return ctx.record(m, "creative", ctx.sizes.cycles / m.wall, "saves/s", statuses=statuses)


@workload("range", "dav")
def ranges(ctx):
    """W9: 64 KiB at random places of the big file, 16 connections (scrubbing a video)."""
    size, rnd = big(ctx), random.Random(11)
    spots = [rnd.randrange(0, size - 65536) for _ in range(5000)]
    heads = [make(ctx, "GET", "/big.bin", [("Range", "bytes=%d-%d" % (s, s + 65535))]) for s in spots]
    got = ctx.expect(ctx.conn.request(heads[0], discard=True), 206)
    if got.length != 65536:
        raise RuntimeError("wrong length %d" % got.length)
    return ctx.rate("range64k-c16", heads, conns=16)
