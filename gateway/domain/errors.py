"""What can go wrong, in the words of the domain.

One tree; each protocol holds one table from these classes to its own answers (``dav/errors.py``, ``s3/errors.py``).
A message is a sentence for the client and never carries another tenant's paths, a server path or a secret.
"""

from __future__ import annotations

from collections.abc import Sequence


class KuradoError(Exception):
    """Base of every refusal and failure that a client may be told about.

    ``policy`` and ``clause`` name the rule that refused (invariant I6); ``retry_after`` is in seconds.
    """

    code = "error"

    def __init__(
        self,
        message: str = "",
        *,
        policy: str | None = None,
        clause: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message or self.code)
        self.message = message or self.code
        self.policy = policy
        self.clause = clause
        self.retry_after = retry_after
        self.digest = ""
        """SHA-256 of the refused content where it is known, for the record of refusals (invariant I6)."""


# -- names and tree ---------------------------------------------------------------------------------------------------


class NotFound(KuradoError):
    """No node at that path (or none that this caller may know of)."""

    code = "not-found"


class NoBucket(NotFound):
    """No collection of that name at the top of the space."""

    code = "no-such-bucket"


class NoUpload(NotFound):
    """No pending upload by parts of that id."""

    code = "no-such-upload"


class NoVersion(NotFound):
    """No version of that id, present or kept."""

    code = "no-such-version"


class DeleteMarker(NotFound):
    """The present version of a key, or (``by_id``) the one that was asked for, is a delete marker."""

    code = "deleted"

    def __init__(self, version_id: str, *, by_id: bool = False) -> None:
        super().__init__("The specified key does not exist.")
        self.version_id = version_id
        self.by_id = by_id


class ParentMissing(KuradoError):
    """An intermediate collection does not exist (RFC 4918 section 9.3.1, 409)."""

    code = "parent-missing"


class AlreadyExists(KuradoError):
    """MKCOL on an existing name, or a write that would change a file into a collection or back."""

    code = "already-exists"


class NotEmpty(KuradoError):
    """A collection that must be empty is not."""

    code = "not-empty"


class InvalidName(KuradoError):
    """A name that a space cannot hold; the message says why."""

    code = "invalid-name"


class NameTwin(KuradoError):
    """The name is there already in other bytes of the same Unicode form (NFC): a space holds one of the two."""

    code = "name-twin"


class NameTooLong(InvalidName):
    """A segment, a depth or a path above the limits of ``domain/names.py``."""

    code = "name-too-long"


class BadRequest(KuradoError):
    """A request that cannot be understood; the message names the header or element."""

    code = "bad-request"


class DestinationElsewhere(KuradoError):
    """A Destination on another server (RFC 4918 section 9.9.4, 502)."""

    code = "destination-elsewhere"


class DepthNotAllowed(KuradoError):
    """PROPFIND with Depth: infinity above the limit (``propfind-finite-depth``)."""

    code = "propfind-finite-depth"


# -- conditions and locks ---------------------------------------------------------------------------------------------


class PreconditionFailed(KuradoError):
    """If, If-Match, If-None-Match, If-Unmodified-Since or Overwrite: F did not hold."""

    code = "precondition-failed"


class RangeNotSatisfiable(KuradoError):
    """No byte of the requested ranges exists; ``size`` is the length of the file."""

    code = "range-not-satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__(f"the file has {size} bytes")
        self.size = size


class Locked(KuradoError):
    """A lock stands in the way. ``paths`` are the locked members, as tuples of segments, to be named in the answer."""

    code = "lock-token-submitted"

    def __init__(self, message: str = "the resource is locked", *, paths: Sequence[tuple[str, ...]] = ()) -> None:
        super().__init__(message)
        self.paths = tuple(paths)


class LockConflict(Locked):
    """A new lock would conflict with one that exists (``no-conflicting-lock``)."""

    code = "no-conflicting-lock"


class LockTokenMismatch(KuradoError):
    """UNLOCK or refresh names a lock that is not on this resource (``lock-token-matches-request-uri``)."""

    code = "lock-token-matches-request-uri"


# -- who --------------------------------------------------------------------------------------------------------------


class Unauthenticated(KuradoError):
    """No login, or a wrong one; the two look the same."""

    code = "unauthenticated"


class BadSignature(KuradoError):
    """A signed request whose signature does not match."""

    code = "bad-signature"


class Forbidden(KuradoError):
    """The role of this user does not allow it, or the thing belongs to somebody else."""

    code = "forbidden"


class TenantSuspended(Forbidden):
    """All calls of a suspended tenant (LIM-04); no ground is named (ACC-02)."""

    code = "access-denied"


class ActRefused(Forbidden):
    """An act that the rules forbid; ``clause`` is the rule."""

    code = "act-refused"

    def __init__(self, message: str = "", rule: str = "") -> None:
        super().__init__(message, policy="terms", clause=rule)


class RateLimited(KuradoError):
    """Too many requests or wrong logins; ``retry_after`` says when to come back."""

    code = "rate-limited"


# -- bytes ------------------------------------------------------------------------------------------------------------


class QuotaExceeded(KuradoError):
    """LIM-01: the write would grow the space above its limit."""

    code = "quota-not-exceeded"

    def __init__(self, message: str = "", *, used: int = 0, allowed: int = 0, unit: str = "bytes") -> None:
        super().__init__(
            message or f"{used} of {allowed} {unit} are used",
            policy="quota",
            clause="LIM-01",
        )
        self.used = used
        self.allowed = allowed
        self.unit = unit


class StorageFull(KuradoError):
    """The disk or store behind the gateway is full; nothing was changed."""

    code = "insufficient-storage"


class TooLarge(KuradoError):
    """Above the largest upload that the operator allows, or a body above its limit."""

    code = "too-large"


class IncompleteBody(KuradoError):
    """The body ended before, or went on after, the length that was declared."""

    code = "incomplete-body"


class DigestMismatch(KuradoError):
    """The bytes received do not have the digest that was declared; ``algorithm`` is its name."""

    code = "digest-mismatch"

    def __init__(self, message: str = "", algorithm: str = "") -> None:
        super().__init__(message)
        self.algorithm = algorithm


# -- content ----------------------------------------------------------------------------------------------------------


class ContentRejected(KuradoError):
    """An inspector refused the content; ``policy`` and ``clause`` name the rule."""

    code = "content-rejected"


class Infected(ContentRejected):
    """The virus scanner named a signature."""

    code = "infected"


class Disallowed(ContentRejected):
    """A content rule refused."""

    code = "disallowed"


class TypeRefused(Disallowed):
    """A content rule refused the media type (415)."""

    code = "type-refused"


class Unscannable(ContentRejected):
    """The scanner cannot judge the content and the operator chose to refuse it."""

    code = "unscannable"


class Held(Forbidden):
    """The content waits for a verdict: listed, not readable."""

    code = "held"


class TakenDown(Forbidden):
    """TKD-02: a plain refusal that names no ground."""

    code = "access-denied"


# -- our own trouble --------------------------------------------------------------------------------------------------


class Unavailable(KuradoError):
    """Something that we depend on does not answer; nothing was changed, the client should come again."""

    code = "unavailable"

    def __init__(self, message: str = "", *, retry_after: int = 10, policy: str | None = None) -> None:
        super().__init__(message, retry_after=retry_after, policy=policy)


class BackendUnavailable(Unavailable):
    """The storage backend or the database does not answer."""

    code = "backend-unavailable"


class DamagedBlob(BackendUnavailable):
    """The storage holds other bytes than those that were written. The client is told no more than of any trouble of
    ours; a replica may still have them."""


class InspectorUnavailable(Unavailable):
    """A veto plugin failed or timed out and its ``on_error`` is refuse (invariant I5)."""

    code = "inspector-unavailable"


class Maintenance(Unavailable):
    """A maintenance window (OPS-04)."""

    code = "maintenance"


class Interrupted(Unavailable):
    """An interruption (INT-01)."""

    code = "interrupted"
