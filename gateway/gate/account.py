"""``/account/TENANT/``: what a customer sees of its own affairs, for its owners only.

The log of everything that persons of the provider asked to see, approved and read of its content (RULES PRV-03), also
as JSON; and the list of all files with their checksums, with which a copy to elsewhere is checked (DAT-03, DSC-03).
``/account/TENANT/claim`` takes a claim for compensation. ``/account/`` is that of the tenant of the login.
"""

from __future__ import annotations

import asyncio
import html
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

from gateway.dav.listing import HTML_HEADERS
from gateway.domain.acts import Act
from gateway.domain.calendar import format_time
from gateway.domain.errors import Forbidden, KuradoError, NotFound
from gateway.domain.names import Path, sort_key
from gateway.domain.node import Node
from gateway.domain.tenant import Caller, Role
from gateway.exchange import Exchange, Reply
from gateway.gate import claimform
from gateway.gate.accounting import Account
from gateway.gate.auth import Authenticator, caller_of
from gateway.hooks import Request
from gateway.service.logins import SuspendedLogin
from gateway.service.services import Services

T = TypeVar("T")
ROOT = "/account"
_PAGE = 1000
_JSON = {"Content-Type": "application/json; charset=utf-8", "Cache-Control": "private, no-cache"}
_LINES = {"Content-Type": "application/x-ndjson; charset=utf-8", "Cache-Control": "private, no-cache"}
_GROUNDS = {
    "legal": "an authority, or law (§14①)",
    "system_management_company": "management of the terms (§14②)",
}
_ACTS = {"breakglass.requested": "asked", "breakglass.approved": "approved", "breakglass.read": "read"}

Refuse = Callable[[Exchange, Caller, Path, KuradoError], Awaitable[Reply]]


def is_account(raw_path: str) -> bool:
    return raw_path == ROOT or raw_path.startswith(ROOT + "/")


class AccountPages:
    """``refuse`` records and answers a refusal."""

    def __init__(self, services: Services, authenticator: Authenticator, refuse: Refuse) -> None:
        self._services = services
        self._authenticator = authenticator
        self._refuse = refuse

    async def answer(self, exchange: Exchange, account: Account, *, secure: bool) -> Reply:
        """Raises what the authentication raises; a suspended customer still sees who looked at its data."""
        tenant, _, page = exchange.raw_path.removeprefix(ROOT).lstrip("/").partition("/")
        suspended: KuradoError | None = None
        try:
            caller = await self._authenticator.caller(exchange, tenant or None, secure=secure)
        except SuspendedLogin as error:
            caller, suspended = caller_of(error.parts, exchange), error
        account.caller = caller
        try:
            return await self._page(exchange, caller, page, suspended)
        except KuradoError as error:
            return await self._refuse(exchange, caller, (), error)

    async def _page(self, exchange: Exchange, caller: Caller, page: str, suspended: KuradoError | None) -> Reply:
        if exchange.method not in ("GET", "HEAD") and not (exchange.method == "POST" and page == "claim"):
            return Reply(
                405, {"Content-Type": "text/plain; charset=utf-8", "Allow": "GET, HEAD"}, b"only GET and HEAD\n"
            )
        if caller.user.role is not Role.OWNER:
            raise Forbidden("these pages are for owners of the space")
        if page == "claim":
            if exchange.method != "POST":
                return await self._read(lambda: claimform.show(self._services, caller))
            fields = await claimform.read_form(exchange)
            return await self._read(lambda: claimform.file(self._services, caller, fields))
        if page == "":
            acts = await self._read(lambda: self._services.breakglass.reads(caller.tenant))
            return Reply(200, HTML_HEADERS, _html(caller.tenant.name, acts).encode())
        if page == "access.json":
            acts = await self._read(lambda: self._services.breakglass.reads(caller.tenant))
            return Reply(200, _JSON, json.dumps([_row(act) for act in acts], ensure_ascii=False, indent=1).encode())
        if page == "files.jsonl":
            if suspended is not None:
                raise suspended
            await self._admit(caller)
            return Reply(200, _LINES, b"" if exchange.method == "HEAD" else self._files(caller))
        raise NotFound("there is nothing at this path")

    async def _admit(self, caller: Caller) -> None:
        """The list of files is data of the customer: whatever stands between it and its data does so here too."""
        host = self._services.host
        if host.implements("check_request"):
            await self._read(lambda: host.check("check_request", request=Request(caller, (), writes=False)))

    async def _files(self, caller: Caller) -> AsyncIterator[bytes]:
        """One JSON object a line: path, size, SHA-256, when it was changed."""
        root = await self._read(lambda: self._services.files.get(caller, ()))
        waiting: list[tuple[Path, Node]] = [((), root)]
        while waiting:
            path, collection = waiting.pop()
            after: bytes | None = None
            while True:
                found = await self._children(collection, after)
                lines = [_file_line((*path, one.name), one) for one in found if not one.is_collection]
                if lines:
                    yield "".join(lines).encode()
                waiting += [((*path, one.name), one) for one in found if one.is_collection]
                if len(found) < _PAGE:
                    break
                after = sort_key(found[-1].name, collection=found[-1].is_collection)

    async def _children(self, collection: Node, after: bytes | None) -> Sequence[Node]:
        return await self._read(lambda: self._services.files.children(collection, after, _PAGE))

    async def _read(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(None, work)


def _file_line(path: Path, node: Node) -> str:
    version = node.version
    row = {
        "path": "/".join(path),
        "size": node.size,
        "sha256": version.sha256 if version else "",
        "modified": format_time(version.mtime if version else node.modified_at),
        "state": str(version.state) if version else "",
        "properties": dict(node.props),
    }
    return json.dumps(row, ensure_ascii=False) + "\n"


# -- the log ----------------------------------------------------------------------------------------------------------


def _row(act: Act) -> dict[str, Any]:
    data = act.data
    objects = [data["path"]] if "path" in data else data.get("objects", [])
    return {
        "at": format_time(act.at),
        "request": act.subject.partition(":")[2],
        "what": _ACTS.get(act.kind, act.kind),
        "person": act.actor,
        "ground": act.ground,
        "reason": data.get("reason"),
        "objects": ["/" + "/".join(one) for one in objects],
        "open_until": format_time(data["expires_at"]) if "expires_at" in data else None,
        "act": act.seq,
        "digest": act.digest,
    }


def _html(tenant: str, acts: Sequence[Act]) -> str:
    rows = "".join(_html_row(_row(act)) for act in reversed(acts))
    empty = "<p>Nobody of the provider asked to see any of your content. — 提供者による閲覧はありません。</p>"
    table = (
        "<table><tr><th>Time (UTC)</th><th>Request</th><th>What</th><th>Person</th><th>Ground</th><th>Reason</th>"
        f"<th>Objects</th></tr>{rows}</table>"
    )
    shown = html.escape(tenant)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{shown}: access by the provider</title><style>{_STYLE}</style></head><body>"
        f"<h1>{shown}: who of the provider saw your content</h1>"
        "<p>The provider's people cannot open what you store. They may on the grounds of §14 of the terms only, two "
        "persons at a time, for some hours; each request, approval and read stands here. "
        "登録データの閲覧は利用規約第14条の場合に限られ、二名の担当者の承認が必要です。すべての記録をここに表示します。</p>"
        f"{table if acts else empty}"
        f'<p><a href="{ROOT}/{shown}/access.json">The same as JSON</a> · '
        f'<a href="{ROOT}/{shown}/files.jsonl">All your files with their checksums</a>, to check a copy with · '
        f'<a href="{ROOT}/{shown}/claim">Claim compensation</a> · '
        f'<a href="/dav/{shown}/">Your files</a></p></body></html>'
    )


def _html_row(row: dict[str, Any]) -> str:
    ground = _GROUNDS.get(row["ground"], f"§9(1), item {row['ground'].removeprefix('9-')} (§14③)")
    until = f" until {row['open_until']}" if row["open_until"] else ""
    cells = [row["at"], row["request"], row["what"] + until, row["person"], ground, row["reason"] or ""]
    told = "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells)
    return f"<tr>{told}<td>{'<br>'.join(html.escape(one) for one in row['objects'])}</td></tr>"


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;width:100%}td,th{padding:.3rem .6rem;text-align:left;vertical-align:top;"
    "border-bottom:1px solid #ddd;overflow-wrap:anywhere}h1{font-size:1.5rem}a{color:#0b57a4}"
)
