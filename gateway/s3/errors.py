"""What each error of the domain is in the S3 API: a status and a code of its table, in a body of XML."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.domain import errors as e
from gateway.exchange import Exchange, Reply
from gateway.wire.markup import escape

XML_TYPE = "application/xml"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'

TABLE: Mapping[type[e.KuradoError], tuple[int, str]] = {
    e.NotFound: (404, "NoSuchKey"),
    e.NoBucket: (404, "NoSuchBucket"),
    e.NoUpload: (404, "NoSuchUpload"),
    e.NoVersion: (404, "NoSuchVersion"),
    e.DeleteMarker: (404, "NoSuchKey"),
    e.ParentMissing: (500, "InternalError"),  # S3 implies parents
    e.AlreadyExists: (409, "BucketAlreadyOwnedByYou"),
    e.NotEmpty: (409, "BucketNotEmpty"),
    e.InvalidName: (400, "InvalidArgument"),
    e.NameTooLong: (400, "KeyTooLongError"),
    e.NameTwin: (409, "OperationAborted"),
    e.BadRequest: (400, "InvalidRequest"),
    e.DestinationElsewhere: (500, "InternalError"),  # a Destination is WebDAV's
    e.DepthNotAllowed: (500, "InternalError"),  # so is Depth
    e.PreconditionFailed: (412, "PreconditionFailed"),
    e.RangeNotSatisfiable: (416, "InvalidRange"),
    e.Locked: (409, "OperationAborted"),
    e.LockConflict: (409, "OperationAborted"),
    e.LockTokenMismatch: (500, "InternalError"),  # S3 has no locks
    e.Unauthenticated: (403, "InvalidAccessKeyId"),
    e.BadSignature: (403, "SignatureDoesNotMatch"),
    e.Forbidden: (403, "AccessDenied"),
    e.TenantSuspended: (403, "AccessDenied"),
    e.ActRefused: (403, "AccessDenied"),
    e.RateLimited: (503, "SlowDown"),
    e.QuotaExceeded: (403, "QuotaExceeded"),
    e.StorageFull: (507, "InsufficientStorage"),
    e.TooLarge: (400, "EntityTooLarge"),
    e.IncompleteBody: (400, "IncompleteBody"),
    e.DigestMismatch: (400, "BadDigest"),
    e.ContentRejected: (403, "AccessDenied"),
    e.Infected: (403, "AccessDenied"),
    e.Disallowed: (403, "AccessDenied"),
    e.TypeRefused: (403, "AccessDenied"),
    e.Unscannable: (403, "AccessDenied"),
    e.Held: (403, "AccessDenied"),
    e.TakenDown: (403, "AccessDenied"),
    e.Unavailable: (503, "ServiceUnavailable"),
    e.BackendUnavailable: (503, "ServiceUnavailable"),
    e.DamagedBlob: (503, "ServiceUnavailable"),
    e.InspectorUnavailable: (503, "ServiceUnavailable"),
    e.Maintenance: (503, "ServiceUnavailable"),
    e.Interrupted: (503, "ServiceUnavailable"),
}
"""Every class that is raised; a test demands that no leaf of ``domain/errors.py`` is missing."""

_NO_GROUND = (e.TenantSuspended, e.TakenDown)
"""ACC-02, TKD-02: the client learns that it is refused, not why."""


class S3Fault(e.KuradoError):
    """A fault that only S3 knows. ``status`` and ``s3_code`` are sent as they are, ``details`` as further elements."""

    code = "protocol"

    def __init__(self, status: int, s3_code: str, message: str, details: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.s3_code = s3_code
        self.details = details or {}


def invalid(message: str, name: str = "", value: str = "") -> S3Fault:
    """InvalidArgument, which names the argument."""
    details = {"ArgumentName": name, "ArgumentValue": value} if name else {}
    return S3Fault(400, "InvalidArgument", message, details)


def not_implemented(what: str) -> S3Fault:
    """NotImplemented: known to S3, not there here."""
    return S3Fault(501, "NotImplemented", f"{what} is not implemented here")


def malformed_xml(message: str = "the XML is not well-formed or not of the published form") -> S3Fault:
    return S3Fault(400, "MalformedXML", message)


def status_and_code(error: e.KuradoError) -> tuple[int, str]:
    """Of an error: its own entry in the table, else that of its nearest base class."""
    if isinstance(error, S3Fault):
        return error.status, error.s3_code
    if isinstance(error, e.DeleteMarker) and error.by_id:
        return 405, "MethodNotAllowed"
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    return 500, "InternalError"


def message_of(error: e.KuradoError) -> str:
    return "Access Denied" if isinstance(error, _NO_GROUND) else error.message


def error_reply(error: e.KuradoError, exchange: Exchange) -> Reply:
    """The answer to a refused or failed request."""
    status, code = status_and_code(error)
    headers = {"Content-Type": XML_TYPE}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, e.RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{error.size}"
    if isinstance(error, e.DeleteMarker):
        headers.update({"x-amz-delete-marker": "true", "x-amz-version-id": error.version_id})
    body = f"{DECLARATION}<Error>{_elements(error, code, exchange)}</Error>".encode()
    # after a body that broke off or was not read, nothing that follows on the line can be trusted
    return Reply(status, headers, body, close=isinstance(error, e.IncompleteBody | e.TooLarge))


def _elements(error: e.KuradoError, code: str, exchange: Exchange) -> str:
    facts = [("Code", code), ("Message", message_of(error)), ("Resource", exchange.raw_path)]
    facts += [("RequestId", exchange.request_id), ("HostId", exchange.request_id)]
    if isinstance(error, S3Fault):
        facts += error.details.items()
    elif not isinstance(error, _NO_GROUND):
        # who was refused by a rule learns which (invariant I6)
        facts += [("Reason", error.code if error.policy else ""), ("Policy", error.policy or "")]
        facts += [("Clause", error.clause or "")]
        if isinstance(error, e.QuotaExceeded):
            facts += [("Used", str(error.used)), ("Allowed", str(error.allowed)), ("Unit", error.unit)]
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in facts if value)


def internal_error(exchange: Exchange) -> Reply:
    """The answer to what should not have happened: the request id, by which the trace is found in the log."""
    return error_reply(S3Fault(500, "InternalError", "the gateway failed; the operator's log has the reason"), exchange)
