"""wsgidav as the engine of PROPPATCH, MKCOL, COPY, MOVE and DELETE: its method flow, property updates and 207 bodies.

It runs in threads, on small bodies read whole, behind no middleware of its own but the call below: authentication,
framing, logging and errors are the gate's and ours. What it asks about locks and preconditions is answered "go on"
here, because our services check both inside the transaction that makes the change (DESIGN section 5): a check before
it could be overtaken. PUT, GET, PROPFIND, LOCK and UNLOCK never come here; their modules say why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import Any
from urllib.parse import quote

from wsgidav.dav_error import DAVError
from wsgidav.request_server import RequestServer

from gateway.dav.conditions import parse_destination, parse_overwrite
from gateway.dav.errors import ProtocolFault
from gateway.dav.multistatus import name_conditions
from gateway.dav.proppatch import for_engine
from gateway.dav.provider import WORK, SpaceProvider, Work, engine_path
from gateway.dav.request import DavRequest
from gateway.domain.errors import AlreadyExists, BadRequest, Forbidden, KuradoError, NotFound, ParentMissing
from gateway.exchange import Reply
from gateway.wire.markup import MAX_BODY

METHODS = ("PROPPATCH", "MKCOL", "COPY", "MOVE", "DELETE")


class Engine(RequestServer):  # type: ignore[misc]
    """wsgidav's request server with everything about locks, conditions and transactions taken out of its hands."""

    def __init__(self) -> None:
        super().__init__(SpaceProvider())
        self._possible_methods = list(METHODS)
        self._verbose = 1

    def resolve_provider(self, path: str) -> tuple[str, SpaceProvider]:  # noqa: ARG002
        """wsgidav asks its application which share a Destination lies in; ours has the one space of the caller."""
        return "/", self._davProvider

    def _evaluate_if_headers(self, res: object, environ: dict[str, Any]) -> None:
        """Checked by the service, in the transaction."""

    def _check_write_permission(self, res: object, depth: str, environ: dict[str, Any]) -> bool:  # noqa: ARG002
        """Checked by the service, in the transaction."""
        return True

    @contextmanager
    def _write_transaction(self, res: object, environ: dict[str, Any]) -> Iterator[None]:  # noqa: ARG002
        """Brackets PROPPATCH's reading and dry run: when nothing was refused there, all of it is committed here."""
        yield
        work: Work = environ[WORK]
        if not work.refused:
            work.save_properties()

    def do_PROPPATCH(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        """wsgidav's, with the condition named in the 207 where a property was refused (RFC 4918 section 9.2.1)."""
        body = b"".join(super().do_PROPPATCH(environ, start_response))
        return [name_conditions(body)]

    def run(self, request: DavRequest, body: bytes) -> Reply:
        """One request, in a thread. Raises domain errors and ProtocolFault."""
        work = _work(request)
        environ = _environ(self, request, work, body)
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:  # noqa: ARG001
            started.append((status, headers))

        try:
            content = b"".join(self(environ, start_response))
        except DAVError as error:
            if work.error:
                raise work.error from None
            raise _fault(error) from error
        if work.error:
            raise work.error
        status, headers = started[-1]
        return _reply(request, work, int(status.split()[0]), dict(headers), content)


def _work(request: DavRequest) -> Work:
    work = Work(request, request.conditions())
    if request.exchange.method in ("COPY", "MOVE"):
        work.overwrite = parse_overwrite(request.exchange)
        work.destination = parse_destination(request.exchange, request.base, request.settings.hostnames)
        if not work.destination:  # wsgidav would say that its parent is missing
            raise Forbidden("the root of a space cannot be replaced")
    return work


def _environ(engine: Engine, request: DavRequest, work: Work, body: bytes) -> dict[str, Any]:
    exchange = request.exchange
    if exchange.method == "PROPPATCH":
        body = for_engine(body)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": exchange.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": engine_path(request.path, slash=request.slash),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
        "wsgi.url_scheme": exchange.scheme,
        "HTTP_HOST": exchange.host,
        "wsgidav.app": engine,
        "wsgidav.provider": engine._davProvider,
        "wsgidav.config": {},
        "wsgidav.verbose": 1,
        "wsgidav.auth.user_name": request.caller.user.login,
        WORK: work,
    }
    depth = exchange.headers.get("Depth")
    if depth is not None and exchange.method != "PROPPATCH":  # webdavclient3 sends 1 with it (CLIENTS 23)
        environ["HTTP_DEPTH"] = depth.strip()
    if exchange.method in ("COPY", "MOVE"):
        # "T" always: the service knows when the destination is the source itself under another spelling
        environ["HTTP_OVERWRITE"] = "T"
        environ["HTTP_DESTINATION"] = quote(engine_path(work.destination, slash=False))
    return environ


_ERRORS: Mapping[int, KuradoError] = {
    404: NotFound("there is nothing at this path"),
    405: AlreadyExists("something has this name already"),
    409: ParentMissing("the parent collection does not exist"),
    415: ProtocolFault(415, "this method takes no body", code="unsupported-body"),
}


def _fault(error: DAVError) -> KuradoError:
    """A refusal by wsgidav's method flow, in our words. What it did not expect itself is a fault of ours, and no
    message of it may reach the client."""
    if error.value >= 500:
        raise RuntimeError("the WebDAV engine failed") from (error.src_exception or error)
    said = str(error.context_info or "the request was refused")
    if error.value == 400:
        return BadRequest(said)
    return _ERRORS.get(error.value) or Forbidden(said)


def _reply(request: DavRequest, work: Work, status: int, headers: dict[str, str], content: bytes) -> Reply:
    """wsgidav's answer with our status: it says 204 for whatever a provider handled."""
    if status == 207:
        return Reply(207, {"Content-Type": headers["Content-Type"]}, content)
    answer: dict[str, str] = {}
    if work.placed:
        status = 201 if work.placed.created else 204
        if work.placed.created:
            answer["Location"] = request.href(work.destination, collection=work.placed.node.is_collection)
        if work.placed.node.version:
            answer["ETag"] = work.placed.node.version.etag
    return Reply(status, answer)


async def change(engine: Engine, request: DavRequest) -> Reply:
    """Reads the small body and runs the engine in a thread. Raises TooLarge above 1 MiB."""
    body = await request.exchange.body.read(MAX_BODY)
    return await request.in_thread(lambda: engine.run(request, body))
