"""The rows that kurado is held to: each names a case that a workload measures, and what it is compared with."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Bar:
    """At least ``least`` times as good as ``peer`` in the same run (aim: ``aim`` times). ``per_cpu`` compares the work
    done for one second of CPU of the processes that serve requests (kurado's gates)."""

    peer: str
    least: float
    aim: float | None = None
    per_cpu: bool = False


@dataclass(frozen=True)
class Limit:
    """A figure that must be below ``below``, whatever others need; ``shown`` are peers worth a look."""

    below: float
    shown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """``field`` of the case's record is compared. ``columns``: whether scan and replica are shown beside it."""

    title: str
    workload: str
    case: str
    bars: tuple[Bar | Limit, ...]
    server: str = "kurado"
    field: str = "value"
    unit: str = ""
    columns: bool = True

    @property
    def peers(self) -> set[str]:
        named = {bar.peer for bar in self.bars if isinstance(bar, Bar)}
        return named.union(*(bar.shown for bar in self.bars if isinstance(bar, Limit)), {self.server})


COLUMNS = ("kurado-scan", "kurado-replica")


def _dav() -> list[Row]:
    rows = []
    for conns in (16, 64):
        bars = (Bar("apache", 0.7, aim=1.0), Bar("rclone", 3))
        rows.append(Row(f"GET 4 KiB, {conns} connections", "get-small", f"get4k-c{conns}", bars))
    rows += [
        Row("PUT 4 KiB, 16 connections", "put-small", "put4k-c16", (Bar("apache", 1.5), Bar("nginx", 0, aim=1.0))),
        Row("PUT 4 KiB, 1 connection", "put-small", "put4k-c1", (Bar("lighttpd", 0.8),)),
    ]
    for kind, name in (("allprop", "allprop"), ("named", "Windows/Finder set")):
        for count in (1000, 10000):
            title = f"PROPFIND depth 1, {count:,} children, {name}".replace(",0", " 0")
            rows.append(Row(title, "propfind", f"propfind-{kind}-{count}", (Bar("apache", 3),)))
    rows += [
        Row("PROPFIND depth 0, 16 connections", "meta", "propfind0-c16", (Bar("apache", 1.2),)),
        Row("OPTIONS, 16 connections", "meta", "options-c16", (Bar("apache", 0.8),)),
        Row("HEAD, 16 connections", "meta", "head-c16", (Bar("apache", 0.8),)),
        Row("PUT 1 GiB, 1 stream", "put-large", "put-1x", (Bar("nginx", 0.75, aim=1.0),)),
        Row("PUT 1 GiB, 4 streams", "put-large", "put-4x", (Bar("nginx", 0.6, aim=1.0),)),
        Row("GET 1 GiB, 1 stream", "get-large", "get-1x", (Bar("nginx", 0.9),)),
        Row("GET 1 GiB, 4 streams", "get-large", "get-4x", (Bar("nginx", 0.9),)),
        Row("Range 64 KiB, 16 connections", "range", "range64k-c16", (Bar("apache", 1.0),)),
        Row("COPY of 1 000 files", "tree", "copy-tree", (Bar("lighttpd", 1.0), Bar("apache", 1.0))),
        Row("MOVE of 1 000 files", "tree", "move-tree", (Limit(5, ("lighttpd", "apache")),)),
        Row("DELETE of 1 000 files", "tree", "delete-tree", (Bar("lighttpd", 1.0), Bar("apache", 1.0))),
        Row("creative save cycle", "creative", "creative", (Bar("apache", 1.5),)),
    ]
    return rows


def _s3() -> list[Row]:
    rclone, weed = "rclone-s3", "weed-s3"
    rows = [
        ("S3 GET 4 KiB, 16 connections", "get-small", "s3-get4k-c16", Bar(rclone, 1.5)),
        ("S3 PUT 4 KiB, 16 connections", "put-small", "s3-put4k-c16", Bar(rclone, 1.3)),
        ("S3 PUT 64 MiB", "object", "s3-put64m", Bar(rclone, 1.2, aim=1.7)),
        ("S3 GET 64 MiB", "object", "s3-get64m", Bar(weed, 2)),
        ("S3 multipart 512 MiB, 4 connections", "multipart", "s3-multipart", Bar(rclone, 2.5)),
        ("S3 list of 10 000 keys", "list", "s3-list", Bar(weed, 1.2)),
        ("S3 delete of 1 000 keys", "delete", "s3-delete1000", Bar(rclone, 1.5)),
    ]
    return [Row(title, work, case, (bar,), "kurado-s3", columns=False) for title, work, case, bar in rows]


def _process() -> list[Row]:
    memory = "memory (PSS of all processes), idle with 200 connections"
    login = "login with argon2id: GET 4 KiB, 16 connections, beside the cheapest hash"
    rows = [
        Row("first answer after start", "process", "startup", (Limit(1000, ("wsgidav10",)),)),
        Row(memory, "process", "idle-rss-200conn", (Limit(160, ("rclone",)),), field="pss", unit="MiB"),
        Row(login, "get-small", "get4k-c16", (Bar("kurado-cheap", 0.9),)),
    ]
    for title, work, case, least in (
        ("PUT 1 GiB", "put-large", "put-1x", 0.8),
        ("GET 1 GiB", "get-large", "get-1x", 0.8),
        ("PUT 4 KiB, 16 connections", "put-small", "put4k-c16", 0.6),
        ("GET 4 KiB, 16 connections", "get-small", "get4k-c16", 0.6),
    ):
        bar = Bar("kurado", least, per_cpu=True)
        rows.append(Row(f"{title}, with virus scan, per gate CPU second", work, case, (bar,), "kurado-scan"))
    return [replace(row, columns=False) for row in rows]


ROWS = (*_dav(), *_s3(), *_process())


def plan() -> dict[str, set[str]]:
    """Workload → the servers that the rows need it on."""
    needed: dict[str, set[str]] = {}
    for row in ROWS:
        servers = needed.setdefault(row.workload, set())
        servers |= row.peers
        if row.columns:
            servers |= set(COLUMNS)
    return needed
