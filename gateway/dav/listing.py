"""Pages for people with a browser: the listing of a collection, and what stands at ``/``.

Every name is escaped, no script is allowed to run, and nothing is loaded from anywhere (RESILIENCE 22).
"""

from __future__ import annotations

import html
from collections.abc import AsyncIterator

from gateway.dav.request import DavRequest
from gateway.domain.names import BESIDE, sort_key
from gateway.domain.node import Node
from gateway.domain.units import format_size
from gateway.exchange import Exchange, Reply
from gateway.service.results import Found
from gateway.wire.fields import http_date

PAGE = 1000
HTML_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-cache",
}
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;width:100%}td,th{padding:.3rem .6rem;text-align:left;border-bottom:1px solid #ddd}"
    ".n{text-align:right;white-space:nowrap}h1{font-size:1.5rem;overflow-wrap:anywhere}td{overflow-wrap:anywhere}a{color:#0b57a4;text-decoration:none}a:hover{text-decoration:underline}"
    "code,pre{background:#f4f4f4;padding:.1rem .3rem;overflow-x:auto}pre{padding:.6rem}"
)


def _head(title: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
    )


async def listing_reply(request: DavRequest, found: Found) -> Reply:
    """The listing of a collection, a page of children at a time; HEAD of a collection is 200 (CLIENTS 23)."""
    if request.exchange.method == "HEAD":
        return Reply(200, HTML_HEADERS, _nothing())
    assert found.node is not None
    collection = found.node
    files = request.services.files
    first, beside = await request.in_thread(lambda: (files.children(collection, None, PAGE), files.beside(collection)))
    return Reply(200, HTML_HEADERS, _listing(request, collection, first, beside))


async def _nothing() -> AsyncIterator[bytes]:
    """A body of unknown length, for HEAD: the listing is not made to be measured."""
    for _ in ():
        yield b""


async def _listing(
    request: DavRequest, collection: Node, page: list[Node], beside: frozenset[int]
) -> AsyncIterator[bytes]:
    shown = "/".join((request.caller.tenant.name, *request.path)) + "/"
    above = ""
    if request.path:
        above = f'<tr><td><a href="{html.escape(request.href(request.path[:-1], collection=True))}">..</a></td></tr>'
    yield (
        f"{_head(shown)}<h1>{html.escape(shown)}</h1>"
        f'<table><tr><th>Name</th><th class="n">Size</th><th class="n">Changed</th></tr>{above}'
    ).encode()
    while page:
        yield "".join(_row(request, node, node.name + BESIDE * (node.id in beside)) for node in page).encode()
        if len(page) < PAGE:
            break
        after = sort_key(page[-1].name, collection=page[-1].is_collection)
        page = await request.in_thread(lambda after=after: request.services.files.children(collection, after, PAGE))  # type: ignore[misc]
    yield b"</table></body></html>"


def _row(request: DavRequest, node: Node, shown: str) -> str:
    url = html.escape(request.href((*request.path, shown), collection=node.is_collection))
    name = html.escape(shown) + ("/" if node.is_collection else "")
    size = format_size(node.size) if node.version else ""
    at = node.version.mtime if node.version else node.modified_at
    return f'<tr><td><a href="{url}">{name}</a></td><td class="n">{size}</td><td class="n">{http_date(at)}</td></tr>'


def front_page(exchange: Exchange, tenant: str | None) -> Reply:
    """What stands at ``/``: what this is, and how to mount it on each system."""
    origin = f"{exchange.scheme}://{exchange.host}"
    url = f"{origin}/dav/{tenant or 'TENANT'}/"
    shown = html.escape(url)
    host, _, port = exchange.host.partition(":")
    secure = exchange.scheme == "https"
    windows = rf"\\{host}{'@SSL' if secure else ''}{'@' + port if port else ''}\dav\{tenant or 'TENANT'}"
    scheme = "davs" if secure else "dav"
    mine = f'<p><a href="/dav/{html.escape(tenant)}/">Your files</a></p>' if tenant else ""
    mine += '<p><a href="/account/">Who of the provider saw your content</a> (for owners)</p>'
    plain = (
        ""
        if secure
        else "<p>Over plain http Windows sends no password unless <code>BasicAuthLevel</code> of the service WebClient "
        "is 2; over https nothing need be changed.</p>"
    )
    body = (
        f"{_head('kurado')}<h1>kurado</h1>"
        "<p>A storage gateway. Each tenant has a private space here that mounts as a network drive over WebDAV.</p>"
        f"{mine}<h2>Linux</h2><pre>sudo mount -t davfs {shown} /mnt\n"
        f"gio mount {scheme}://{html.escape(exchange.host)}/dav/{html.escape(tenant or 'TENANT')}/</pre>"
        f"<h2>macOS</h2><p>Finder, Go, Connect to Server: <code>{shown}</code></p>"
        f"<h2>Windows</h2><pre>net use * {html.escape(windows)} /user:LOGIN *</pre>{plain}"
        "<p>Files above 50 MB need a larger <code>FileSizeLimitInBytes</code> of the service WebClient.</p>"
        "<h2>Anything else</h2>"
        f"<pre>rclone copy FOLDER :webdav: --webdav-url {shown} --webdav-user LOGIN --webdav-pass ...</pre>"
        "</body></html>"
    )
    return Reply(200, HTML_HEADERS, body.encode())
