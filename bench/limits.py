#!/usr/bin/env python3
"""Physical limits of the machine at hand: what no server can beat. limits.py [--dir D] [--json F]"""

import argparse
import hashlib
import json
import mmap
import os
import socket
import sqlite3
import statistics
import tempfile
import threading
import time

MIB = 1 << 20


def timed(fn, least=0.5, rounds=3):
    """Median seconds of one call of fn, run for about `least` seconds in each of `rounds`."""
    out = []
    for _ in range(rounds):
        n, t0 = 0, time.perf_counter()
        while time.perf_counter() - t0 < least / rounds or n == 0:
            fn()
            n += 1
        out.append((time.perf_counter() - t0) / n)
    return statistics.median(out)


def hashes():
    block, out = os.urandom(4 * MIB), {}
    names = ["md5", "sha1", "sha256", "blake2b"]
    for name in names:
        out[f"hash {name} MiB/s"] = 4 / timed(lambda: hashlib.new(name, block).digest())
    try:
        import blake3

        out["hash blake3 MiB/s"] = 4 / timed(lambda: blake3.blake3(block).digest())
    except ImportError:
        pass
    import zlib

    out["crc32 MiB/s"] = 4 / timed(lambda: zlib.crc32(block))
    small = block[:4096]
    out["sha256 of 4 KiB us"] = 1e6 * timed(lambda: hashlib.sha256(small).digest())
    return out


def memory():
    a, b = mmap.mmap(-1, 256 * MIB), mmap.mmap(-1, 256 * MIB)
    va, vb = memoryview(a), memoryview(b)

    def copy():
        vb[:] = va

    copy()
    return {"memcpy MiB/s": 256 / timed(copy)}


def pump(send, trunc, total):
    """MiB/s over loopback TCP; the receiver copies, or drops in the kernel (trunc)."""
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    peer, _ = listener.accept()

    def receive():
        sink, left = bytearray(MIB), total
        while left:
            left -= peer.recv_into(sink, min(left, MIB), socket.MSG_TRUNC if trunc else 0)

    thread = threading.Thread(target=receive)
    t0 = time.perf_counter()
    thread.start()
    send(client)
    thread.join()
    took = time.perf_counter() - t0
    for s in (client, peer, listener):
        s.close()
    return total / MIB / took


def loopback(folder):
    total = 1024 * MIB
    path, block, out = os.path.join(folder, "big"), os.urandom(MIB), {}
    with open(path, "wb") as f:
        for _ in range(total // MIB):
            f.write(block)
    fd = os.open(path, os.O_RDONLY)

    def by_sendfile(sock):
        at = 0
        while at < total:
            at += os.sendfile(sock.fileno(), fd, at, 16 * MIB)

    def by_read(sock):
        os.lseek(fd, 0, 0)
        buf = memoryview(bytearray(256 * 1024))
        while True:
            n = os.readv(fd, [buf])
            if not n:
                return
            sock.sendall(buf[:n])

    def by_send(sock):
        for _ in range(total // MIB):
            sock.sendall(block)

    for label, how in (("sendfile", by_sendfile), ("read+send 256K", by_read), ("send 1M", by_send)):
        for trunc in (True, False):
            out["loopback {}, receiver {} MiB/s".format(label, "drops" if trunc else "copies")] = statistics.median(
                pump(how, trunc, total) for _ in range(3)
            )
    os.close(fd)
    os.unlink(path)
    return out


def disk(folder):
    path, out = os.path.join(folder, "file"), {}
    block = os.urandom(MIB)

    def write(sync, size=1024):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        t0 = time.perf_counter()
        for _ in range(size):
            os.write(fd, block)
        if sync:
            os.fdatasync(fd)
        took = time.perf_counter() - t0
        os.close(fd)
        os.unlink(path)
        os.sync()
        return size / took

    out["write 1 GiB to page cache MiB/s"] = statistics.median(write(False) for _ in range(3))
    out["write 1 GiB + fdatasync MiB/s"] = statistics.median(write(True) for _ in range(3))
    small, serial = block[:4096], [0]

    def create(sync, rename=False, dirsync=False):
        serial[0] += 1
        name = os.path.join(folder, "n%d" % serial[0])
        fd = os.open(name + ".t" if rename else name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(fd, small)
        if sync:
            os.fsync(fd)
        os.close(fd)
        if rename:
            os.rename(name + ".t", name)
        if dirsync:
            os.fsync(dirfd)

    dirfd = os.open(folder, os.O_RDONLY)
    out["create 4 KiB files/s"] = 1 / timed(lambda: create(False), 1)
    out["create + rename 4 KiB files/s"] = 1 / timed(lambda: create(False, True), 1)
    out["create + fsync 4 KiB files/s"] = 1 / timed(lambda: create(True), 1.5)
    out["create + fsync + rename + fsync(dir) files/s"] = 1 / timed(lambda: create(True, True, True), 1.5)

    def many(threads, fn, seconds=1.5):
        count, stop, lock = [0], time.perf_counter() + seconds, threading.Lock()

        def loop():
            while time.perf_counter() < stop:
                fn()
                with lock:
                    count[0] += 1

        pool = [threading.Thread(target=loop) for _ in range(threads)]
        for t in pool:
            t.start()
        for t in pool:
            t.join()
        return count[0] / seconds

    out["the same, 16 threads files/s"] = many(16, lambda: create(True, True, True))
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.write(fd, block)

    def rewrite():
        os.pwrite(fd, small, 0)
        os.fdatasync(fd)

    out["fdatasync of one rewritten page us"] = 1e6 * timed(rewrite, 1)
    os.close(fd)
    os.close(dirfd)
    return out


def sqlite(folder):
    out = {}
    for mode, sync in (("WAL", "FULL"), ("WAL", "NORMAL")):
        db = sqlite3.connect(os.path.join(folder, f"{mode}-{sync}.db"), isolation_level=None)
        db.execute("PRAGMA journal_mode=" + mode)
        db.execute("PRAGMA synchronous=" + sync)
        db.execute("CREATE TABLE t (k TEXT PRIMARY KEY, v BLOB)")
        serial = [0]

        def put(n):
            db.execute("BEGIN IMMEDIATE")
            for _ in range(n):
                serial[0] += 1
                db.execute("INSERT INTO t VALUES (?,?)", ("tenant/folder/name-%d" % serial[0], b"x" * 200))
            db.execute("COMMIT")

        for n in (1, 16, 256):
            out["sqlite %s synchronous=%s, %d rows a commit, rows/s" % (mode, sync, n)] = n / timed(lambda: put(n), 0.8)
        out[f"sqlite point reads/s ({mode} {sync})"] = 1 / timed(
            lambda: db.execute("SELECT v FROM t WHERE k=?", ("tenant/folder/name-7",)).fetchone(), 0.3
        )
        db.close()
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--dir", help="a folder on the disk to measure")
    ap.add_argument("--json")
    opt = ap.parse_args()
    with tempfile.TemporaryDirectory(dir=opt.dir) as folder:
        out = {}
        for part in (hashes, memory, lambda: loopback(folder), lambda: disk(folder), lambda: sqlite(folder)):
            for key, value in part().items():
                out[key] = round(value, 1)
                print("%-62s %12.1f" % (key, value), flush=True)
    if opt.json:
        with open(opt.json, "w") as f:
            json.dump(out, f, indent=1)


if __name__ == "__main__":
    main()
