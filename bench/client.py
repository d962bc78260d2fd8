"""A cheap HTTP/1.1 load client: raw sockets, requests formatted beforehand.

Two ways to drive a server:
  Conn    one blocking keep-alive connection (big bodies by sendfile, big
          answers thrown away in the kernel with MSG_TRUNC)
  replay  many requests over N connections: `wrk` with wrk_replay.lua when wrk
          is there (about 5 us of client CPU per request), else epoll in Python
          (about 20 us). Every request is a ready-made byte string.
"""

import collections
import json
import os
import re
import select
import shutil
import socket
import struct
import subprocess
import tempfile
import time

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.I)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.I)
_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close", re.I)
_HERE = os.path.dirname(os.path.abspath(__file__))

Response = collections.namedtuple("Response", "status headers body length")


def head(method, path, host, headers=(), length=None):
    """The bytes of a request head. headers: (name, value) pairs."""
    lines = [f"{method} {path} HTTP/1.1", "Host: " + host]
    lines += ["{}: {}".format(*pair) for pair in headers]
    if length is not None:
        lines.append("Content-Length: %d" % length)
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Conn:
    """One blocking keep-alive connection; reopens itself when the peer closes."""

    def __init__(self, addr, timeout=120):
        self.addr, self.timeout, self.sock = addr, timeout, None

    def open(self):
        self.sock = socket.create_connection(self.addr, self.timeout)
        self.sock.settimeout(None)
        limit = struct.pack("ll", self.timeout, 0)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.sock.setsockopt(socket.SOL_SOCKET, option, limit)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buf = b""

    def close(self):
        if self.sock:
            self.sock.close()
        self.sock = None

    def request(self, req_head, body=b"", source=None, discard=False, no_body=False):
        """Send head + body (or source=(fd, offset, count)); read one response.

        discard=True counts the body without copying it out of the kernel.
        """
        if self.sock is not None and select.select([self.sock], [], [], 0)[0]:
            self.close()  # the peer gave up on the idle connection
        if self.sock is None:
            self.open()
        try:
            if source is None:
                self.sock.sendall(req_head + body)
            else:
                self.sock.sendall(req_head)
                fd, offset, count = source
                end = offset + count
                while offset < end:
                    offset += os.sendfile(self.sock.fileno(), fd, offset, min(end - offset, 1 << 24))
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server may have answered early; read what it said
        return self._read(discard, no_body)

    def _more(self):
        data = self.sock.recv(262144)
        if not data:
            raise ConnectionError("closed in the middle of an answer")
        return data

    def _chunks(self, buf, discard):
        """A chunked body: (bytes, length); bytes is empty with discard."""
        parts, length, at = [], 0, 0
        while True:
            end = buf.find(b"\r\n", at)
            if end < 0:
                buf, at = buf[at:] + self._more(), 0
                continue
            size = int(buf[at:end].split(b";")[0], 16)
            at = end + 2
            while len(buf) < at + size + 2:
                buf, at = buf[at:] + self._more(), 0
            if not size:
                self.buf = buf[at + 2 :]
                return b"".join(parts), length
            if not discard:
                parts.append(buf[at : at + size])
            length += size
            at += size + 2

    def _read(self, discard, no_body):
        buf = self.buf
        while True:
            end = buf.find(b"\r\n\r\n")
            if end < 0:
                buf += self._more()
                continue
            status = int(buf[9:12])
            if status >= 200:
                break
            buf = buf[end + 4 :]  # 100 Continue and friends
        headers, rest = buf[:end], buf[end + 4 :]
        found = _LENGTH.search(headers)
        closes = _CLOSE.search(headers)
        body = b""
        if no_body or status in (204, 304):
            length = 0
            self.buf = rest
        elif _CHUNKED.search(headers):
            body, length = self._chunks(rest, discard)
        elif found:
            length = int(found.group(1))
            if discard:
                left = length - len(rest)
                sink = bytearray(1 << 22)
                while left > 0:
                    got = self.sock.recv_into(sink, min(left, 1 << 22), socket.MSG_TRUNC)
                    if not got:
                        raise ConnectionError("closed in the middle of a body")
                    left -= got
                self.buf = b""
            else:
                parts, have = [rest], len(rest)
                while have < length:
                    data = self._more()
                    parts.append(data)
                    have += len(data)
                whole = b"".join(parts)
                body, self.buf = whole[:length], whole[length:]
        else:  # until the peer closes
            parts = [rest]
            while True:
                data = self.sock.recv(262144)
                if not data:
                    break
                parts.append(data)
            body = b"".join(parts)
            length, closes = len(body), True
        if closes:
            self.close()
        return Response(status, headers, body, length)


def replay(addr, heads, body=b"", conns=1, seconds=2, no_body=False):
    """Send heads[i] + body over `conns` connections for `seconds`, in a ring.

    Returns {"requests", "seconds", "errors", "p50_us", "p99_us", "client"}.
    """
    if shutil.which(os.environ.get("BENCH_WRK", "wrk")) and not no_body:
        return _replay_wrk(addr, heads, body, conns, seconds)
    return _replay_epoll(addr, heads, body, conns, seconds, no_body)


def _replay_wrk(addr, heads, body, conns, seconds):
    with tempfile.TemporaryDirectory() as tmp:
        heads_file, body_file = os.path.join(tmp, "heads"), os.path.join(tmp, "body")
        with open(heads_file, "wb") as out:
            for item in heads:
                out.write(item + b"\0")
        with open(body_file, "wb") as out:
            out.write(body)
        done = subprocess.run(
            [
                os.environ.get("BENCH_WRK", "wrk"),
                "-t1",
                "-c%d" % conns,
                "-d%ds" % max(1, round(seconds)),
                "--timeout",
                "30s",
                "-s",
                os.path.join(_HERE, "wrk_replay.lua"),
                "http://%s:%d/" % addr,
                "--",
                heads_file,
                body_file,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds + 90,
        )
    line = [x for x in done.stdout.splitlines() if x.startswith("RESULT ")]
    if not line:
        raise RuntimeError("wrk: " + done.stdout[-400:])
    out = json.loads(line[0][7:])
    return {
        "requests": out["requests"],
        "seconds": out["us"] / 1e6,
        "errors": out["connect"] + out["read"] + out["write"] + out["status"] + out["timeout"],
        "p50_us": out["p50"],
        "p99_us": out["p99"],
        "client": "wrk",
    }


def _replay_epoll(addr, heads, body, conns, seconds, no_body):
    poll, state, errors, times, sent = select.epoll(), {}, 0, [], 0

    def connect():
        sock = socket.create_connection(addr, 30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(sock.fileno(), select.EPOLLIN)
        return sock

    def fire(sock):
        nonlocal sent
        sock.sendall(heads[sent % len(heads)] + body)
        state[sock.fileno()] = [sock, b"", time.perf_counter()]
        sent += 1

    fresh = [connect() for _ in range(conns)]
    now = begin = time.perf_counter()
    for sock in fresh:
        fire(sock)
    while now - begin < seconds:
        for fd, _event in poll.poll(5):
            sock, buf, t0 = state[fd]
            data = sock.recv(262144)
            buf += data
            now = time.perf_counter()
            if data and not _whole(buf, no_body):
                state[fd][1] = buf
                continue
            if not data or int(buf[9:12]) > 399:
                errors += 1
            times.append(now - t0)
            if not data or _CLOSE.search(buf[:4096]):
                poll.unregister(fd)
                sock.close()
                del state[fd]
                sock = connect()
            fire(sock)
        if time.perf_counter() - now > 30:
            raise RuntimeError("no answer for 30 s")
    for sock, _buf, _t in state.values():
        sock.close()
    times.sort()
    return {
        "requests": len(times),
        "seconds": now - begin,
        "errors": errors,
        "p50_us": int(times[len(times) // 2] * 1e6),
        "p99_us": int(times[int(len(times) * 0.99)] * 1e6),
        "client": "epoll",
    }


def _whole(buf, no_body):
    end = buf.find(b"\r\n\r\n")
    if end < 0:
        return False
    if no_body or buf[9:12] in (b"204", b"304"):
        return True
    headers = buf[:end]
    found = _LENGTH.search(headers)
    if found:
        return len(buf) - end - 4 >= int(found.group(1))
    return _CHUNKED.search(headers) is not None and buf.endswith(b"0\r\n\r\n")
