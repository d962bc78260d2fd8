"""The way to an S3 store: settings, client, deadlines, and its errors in the words of the domain."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from gateway.domain.errors import BackendUnavailable, StorageFull
from gateway.domain.fields import Fields, boolean, integer, one_of, text
from gateway.domain.units import parse_duration, parse_size
from storage_backends._breaker import Breaker

MIN_PART = 5 * 1024 * 1024
"""The least that S3 takes as a part that is not the last."""

USUAL, PATIENT, ONCE = "usual", "patient", "once"

MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
FULL = frozenset(
    {
        "InsufficientStorage",
        "InsufficientCapacity",
        "NoSpaceLeft",
        "QuotaExceeded",
        "QuotaExceededException",
        "StorageFull",
        "XMinioStorageFull",
        "XMinioStorageQuotaExceeded",
    }
)
_FULL_WORDS = ("no space left", "no free volume", "no writable volume", "insufficient storage", "quota")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_DOWN = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Times in seconds, sizes in bytes."""

    bucket: str
    prefix: str
    endpoint: str | None
    region: str
    access_key: str | None
    secret_key: str | None
    addressing: str
    part_size: int
    connections: int
    connect_timeout: float
    timeout: float
    attempts: int
    retries: str
    ca_file: str | None
    create_bucket: bool


def parse_settings(settings: Mapping[str, Any], data_dir: Path) -> S3Settings:
    """ValueError names the bad or unknown key."""
    fields = Fields(settings)
    secret = fields.take("secret_key", text, None)
    if fields.has("secret_key_file"):
        secret = fields.take("secret_key_file", lambda value: _line_of(data_dir / Path(text(value)).expanduser()))
    prefix = fields.take("prefix", text, "").strip("/")
    found = S3Settings(
        bucket=fields.take("bucket", _bucket, fix="bucket: my-gateway"),
        prefix=prefix + "/" if prefix else "",
        endpoint=fields.take("endpoint", _url, None),
        region=fields.take("region", text, "us-east-1"),
        access_key=fields.take("access_key", text, None),
        secret_key=secret,
        addressing=fields.take("addressing", one_of("auto", "path", "virtual"), "path"),
        part_size=fields.take("part_size", _part_size, 8 * 1024 * 1024),
        connections=fields.take("connections", integer(1, 1000), 32),
        connect_timeout=fields.take("connect_timeout", _seconds, 2.0),
        timeout=fields.take("timeout", _seconds, 5.0),
        attempts=fields.take("attempts", integer(1, 10), 3),
        retries=fields.take("retries", one_of("standard", "adaptive"), "standard"),
        ca_file=fields.take("ca_file", lambda value: str(data_dir / Path(text(value)).expanduser()), None),
        create_bucket=fields.take("create_bucket", boolean, False),
    )
    fields.done()
    if (found.access_key is None) != (found.secret_key is None):
        raise ValueError("access_key: give access_key and secret_key both, or none to let boto3 look for them")
    return found


def _bucket(value: object) -> str:
    if not isinstance(value, str) or not _BUCKET.fullmatch(value):
        raise ValueError(f"{value!r} is no bucket: 3 to 63 of a-z, 0-9, '.' and '-'")
    return value


def _url(value: object) -> str:
    url = text(value).rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url!r} is no URL such as https://s3.example.com")
    return url


def _part_size(value: object) -> int:
    size = parse_size(value)
    if not MIN_PART <= size <= 1024**3:
        raise ValueError("is not between 5MB and 1GB")
    return size


def _seconds(value: object) -> float:
    seconds = parse_duration(value)
    if not 0 < seconds <= 60:
        raise ValueError("is not between 0 and 60 seconds")
    return seconds


def _line_of(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip()
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from error


class Connection:
    """Makes the client when it is first needed (a store that is down must not keep the gateway from starting), and
    runs requests on it. All threads share it."""

    def __init__(self, settings: S3Settings) -> None:
        self.settings = settings
        self.breaker = Breaker("the storage")
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}
        self._made_bucket = not settings.create_bucket

    @contextmanager
    def request(self, doing: str, manner: str = USUAL) -> Iterator[Any]:
        """Gives the client for one request. ``PATIENT`` is for a Complete, which may take long: one try, which waits as
        long as any silence may last (RESILIENCE 12). ``ONCE``: one try, for callers who try again themselves.

        StorageFull, BackendUnavailable; errors that mean something to the caller pass as botocore's ClientError.
        """
        self.breaker.enter()
        with self.watched(doing):
            yield self._client(manner)

    @contextmanager
    def watched(self, doing: str) -> Iterator[None]:
        """The same for a part of a request that is under way, such as reading its answer."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            trouble = _trouble(error, doing)
            # a full store answers 500 to writes and goes on reading: that is no reason to ask it nothing more
            if isinstance(trouble, BackendUnavailable) and status_of(error) in _DOWN:
                self.breaker.failed()
            else:
                self.breaker.succeeded()
            if trouble is None:
                raise
            raise trouble from error
        except (BotoCoreError, OSError) as error:
            self.breaker.failed()
            raise BackendUnavailable(f"the storage cannot {doing}") from error
        self.breaker.succeeded()

    @contextmanager
    def writing(self, doing: str, manner: str = USUAL) -> Iterator[Any]:
        """A request that brings bytes. StorageFull also for a store that has no word for it."""
        try:
            with self.request(doing, manner) as client:
                yield client
        except BackendUnavailable as error:
            if status_of(error.__cause__) == 500 and self._takes_no_bytes():
                raise StorageFull("the storage is full") from error
            raise

    def _takes_no_bytes(self) -> bool:
        """Whether the store answers what it is asked and refuses a single byte: SeaweedFS has no word for being full
        (volumes, disk, or a bucket's quota) and answers InternalError to each write."""
        place = {"Bucket": self.settings.bucket, "Key": f"{self.settings.prefix}check/{secrets.token_hex(8)}"}
        try:
            with self.request("be listed") as client:
                client.list_objects_v2(Bucket=self.settings.bucket, MaxKeys=1)
        except BackendUnavailable:
            return False
        try:
            with self.request("be written") as client:
                client.put_object(**place, Body=b"x")
        except (BackendUnavailable, StorageFull) as error:
            return status_of(error.__cause__) in (500, 507)
        with suppress(BackendUnavailable), self.request("delete") as client:
            client.delete_object(**place)
        return False

    def close(self) -> None:
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _client(self, manner: str) -> Any:
        with self._lock:
            if manner not in self._clients:
                self._clients[manner] = _make_client(self.settings, manner)
            client = self._clients[manner]
            if not self._made_bucket:
                self._make_bucket(client)
        return client

    def _make_bucket(self, client: Any) -> None:
        where = self.settings.region
        place = {} if where == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": where}}
        with suppress(client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
            client.create_bucket(Bucket=self.settings.bucket, **place)
        self._made_bucket = True


_SESSIONS = threading.Lock()


@lru_cache(maxsize=1)
def _session() -> Any:
    """One for all stores of the process: it holds the description of the API, which takes long to read."""
    from boto3.session import Session

    return Session()


def _make_client(settings: S3Settings, manner: str) -> Any:
    from botocore.config import Config

    options: dict[str, Any] = {
        "signature_version": "s3v4",
        "connect_timeout": settings.connect_timeout,
        "read_timeout": max(20.0, settings.timeout) if manner == PATIENT else settings.timeout,
        "max_pool_connections": settings.connections,
        "retries": {"mode": settings.retries, "total_max_attempts": settings.attempts if manner == USUAL else 1},
        "tcp_keepalive": True,
        # every store knows Content-MD5, which is sent with each body; trailers of newer checksums are not known to all
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
        "s3": {"addressing_style": settings.addressing, "payload_signing_enabled": True},
    }
    with _SESSIONS:  # making clients is the one thing that a session does for one thread at a time
        return _session().client(
            "s3",
            endpoint_url=settings.endpoint,
            region_name=settings.region,
            aws_access_key_id=settings.access_key,
            aws_secret_access_key=settings.secret_key,
            verify=settings.ca_file,
            config=Config(**options),
        )


def whole(answer: Any, *needed: str) -> Any:
    """The answer, if it has what every whole one has. An answer whose head was cut off passes for one with fewer
    headers and no body: an empty listing, a blob without length. BackendUnavailable."""
    if any(name not in answer for name in needed):
        raise BackendUnavailable("the storage's answer was cut off")
    return answer


def code_of(error: Any) -> str:
    """The code of a ClientError; an answer without a body (HEAD) has its status as code."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_silence(error: object) -> bool:
    """Whether a request ended because nothing came for too long."""
    from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

    return isinstance(error, ConnectTimeoutError | ReadTimeoutError)


def status_of(error: Any) -> int:
    """0 for an error that is no answer."""
    answer = getattr(error, "response", None) or {}
    return int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _trouble(error: Any, doing: str) -> StorageFull | BackendUnavailable | None:
    """What an answer means when it is trouble of the store; None when it is an answer to what was asked."""
    code, status = code_of(error), status_of(error)
    message = str(error.response.get("Error", {}).get("Message", "")).lower()
    if status == 507 or code in FULL or (status >= 500 and any(word in message for word in _FULL_WORDS)):
        return StorageFull("the storage is full")
    if code in MISSING or status in (412, 416) or code in ("InvalidRange", "NoSuchUpload"):
        return None
    return BackendUnavailable(f"the storage cannot {doing}")
