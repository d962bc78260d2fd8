"""What each error of the domain is in WebDAV: a status, a condition, and a body that a program and a person can read.

The body is RFC 4918 section 16's ``DAV:error`` with the condition first; elements of the namespace ``urn:kurado`` add
the stable code, the policy and clause that refused (invariant I6), a sentence and the request id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.domain import errors as e
from gateway.domain.names import href
from gateway.exchange import Exchange, Reply
from gateway.wire.markup import escape

KURADO = "urn:kurado"
XML_TYPE = "application/xml; charset=utf-8"

STATUS: Mapping[type[e.KuradoError], int] = {
    e.NotFound: 404,
    e.NoBucket: 404,
    e.NoUpload: 404,
    e.NoVersion: 404,
    e.DeleteMarker: 404,
    e.ParentMissing: 409,
    e.AlreadyExists: 405,
    e.NotEmpty: 409,
    e.NameTwin: 409,
    e.InvalidName: 400,
    e.NameTooLong: 400,
    e.BadRequest: 400,
    e.DestinationElsewhere: 502,
    e.DepthNotAllowed: 403,
    e.PreconditionFailed: 412,
    e.RangeNotSatisfiable: 416,
    e.Locked: 423,
    e.LockConflict: 423,
    e.LockTokenMismatch: 409,
    e.Unauthenticated: 401,
    e.BadSignature: 500,  # signatures are S3's: WebDAV cannot produce it
    e.Forbidden: 403,
    e.TenantSuspended: 403,
    e.ActRefused: 403,  # acts are not done over WebDAV
    e.RateLimited: 429,
    e.QuotaExceeded: 507,
    e.StorageFull: 507,
    e.TooLarge: 413,
    e.IncompleteBody: 400,
    e.DigestMismatch: 400,
    e.ContentRejected: 403,
    e.Infected: 403,
    e.Disallowed: 403,
    e.TypeRefused: 415,
    e.Unscannable: 403,
    e.Held: 403,
    e.TakenDown: 403,
    e.Unavailable: 503,
    e.BackendUnavailable: 503,
    e.DamagedBlob: 503,
    e.InspectorUnavailable: 503,
    e.Maintenance: 503,
    e.Interrupted: 503,
}
"""Every class that is raised; a test demands that no leaf of ``domain/errors.py`` is missing."""

_DAV_CONDITIONS = {
    "lock-token-submitted": "lock-token-submitted",
    "no-conflicting-lock": "no-conflicting-lock",
    "lock-token-matches-request-uri": "lock-token-matches-request-uri",
    "propfind-finite-depth": "propfind-finite-depth",
    "cannot-modify-protected-property": "cannot-modify-protected-property",
    "quota-not-exceeded": "quota-not-exceeded",  # RFC 4331 section 6
    "insufficient-storage": "sufficient-disk-space",  # RFC 4331 section 6
}

_NO_GROUND = (e.TenantSuspended, e.TakenDown)
"""ACC-02, TKD-02: the client learns that it is refused, not why."""


class ProtocolFault(e.KuradoError):
    """A fault that only WebDAV knows: a method that does not apply, a body where none may be.

    ``status`` is sent as it is; ``allow`` becomes the Allow header that RFC 9110 section 15.5.6 asks for.
    """

    code = "protocol"

    def __init__(self, status: int, message: str, *, code: str = "", allow: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.allow = tuple(allow)
        if code:
            self.code = code


def status_of(error: e.KuradoError) -> int:
    """The status of an error: its own entry in the table, else that of its nearest base class."""
    if isinstance(error, ProtocolFault):
        return error.status
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 500


def error_reply(error: e.KuradoError, exchange: Exchange) -> Reply:
    """The answer to a refused or failed request; the caller adds what authentication wants in a 401."""
    status = status_of(error)
    headers = {"Content-Type": XML_TYPE, "Cache-Control": "no-store"}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, e.RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{error.size}"
    if isinstance(error, ProtocolFault) and error.allow:
        headers["Allow"] = ", ".join(error.allow)
    # after a body that broke off or was not read, nothing that follows on the line can be trusted
    return Reply(status, headers, _body(error, exchange), close=isinstance(error, e.IncompleteBody | e.TooLarge))


def internal_error(exchange: Exchange) -> Reply:
    """The answer to what should not have happened: the request id, by which the trace is found in the log."""
    return error_reply(
        ProtocolFault(500, "the gateway failed; the operator's log has the reason", code="internal"), exchange
    )


def base_of(exchange: Exchange) -> str:
    """``/dav/<tenant>`` of the request, for the hrefs of an answer."""
    return "/".join(exchange.raw_path.split("/")[:3])


def _body(error: e.KuradoError, exchange: Exchange) -> bytes:
    facts = [("code", error.code)]
    if isinstance(error, _NO_GROUND):
        facts.append(("message", "access is denied"))
    else:
        facts += [("policy", error.policy or ""), ("clause", error.clause or ""), ("message", error.message)]
        if isinstance(error, e.QuotaExceeded):
            facts += [("used", str(error.used)), ("allowed", str(error.allowed)), ("unit", error.unit)]
    facts.append(("request-id", exchange.request_id))
    text = "".join(f"<K:{name}>{escape(value)}</K:{name}>" for name, value in facts if value)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<D:error xmlns:D="DAV:" xmlns:K="{KURADO}">{_condition(error, exchange)}{text}</D:error>'
    ).encode()


def _condition(error: e.KuradoError, exchange: Exchange) -> str:
    if isinstance(error, e.Locked):
        base = base_of(exchange)
        hrefs = [base + href(path) for path in error.paths] or [exchange.raw_path]
        inner = "".join(f"<D:href>{escape(one)}</D:href>" for one in hrefs)
        return f"<D:{error.code}>{inner}</D:{error.code}>"
    name = _DAV_CONDITIONS.get(error.code)
    return f"<D:{name}/>" if name else f"<K:{error.code}/>"
