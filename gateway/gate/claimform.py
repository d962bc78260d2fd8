"""The form by which a customer claims compensation (RULES CMP-07, ACC-03): it needs the database only, and is there
while the storage is down. What it files is what ``kurado claim file`` files, in the customer's own name."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from datetime import date
from urllib.parse import parse_qs, urlsplit

from gateway.dav.listing import HTML_HEADERS
from gateway.domain.acts import ActorRole
from gateway.domain.calendar import CalendarError, jst_date, parse_date
from gateway.domain.contract.claims import Claim
from gateway.domain.contract.records import Contract
from gateway.domain.errors import BadRequest, Forbidden, KuradoError, NotFound
from gateway.domain.tenant import Caller
from gateway.exchange import Exchange, Reply
from gateway.service.claims import Filing
from gateway.service.contracts.book import Actor
from gateway.service.services import Services

MAX_BYTES = 16_384
_HEADERS = {
    **HTML_HEADERS,
    "Content-Security-Policy": HTML_HEADERS["Content-Security-Policy"].replace(
        "form-action 'none'", "form-action 'self'"
    ),
}


def show(services: Services, caller: Caller) -> Reply:
    """The form, and what was claimed before. NotFound without a contract."""
    contract = _contract(services, caller)
    return _page(caller, jst_date(services.clock()), services.claims.log().of_contract(contract.name), "")


async def read_form(exchange: Exchange) -> dict[str, str]:
    """The fields that were sent. Forbidden when another site made the browser send them, TooLarge, BadRequest."""
    check_same_site(exchange)
    body = await exchange.body.read(MAX_BYTES)
    try:
        fields = parse_qs(body.decode(), strict_parsing=True, max_num_fields=10)
    except ValueError as error:
        raise BadRequest("the form cannot be read") from error
    return {name: values[0] for name, values in fields.items()}


def check_same_site(exchange: Exchange) -> None:
    """A browser sends the login along whoever made it ask, so it must say that our own page did."""
    origin = exchange.headers.get("Origin")
    site = exchange.headers.get("Sec-Fetch-Site", "same-origin")
    if (origin is not None and urlsplit(origin).netloc != exchange.host) or site not in ("same-origin", "none"):
        raise Forbidden("a claim is sent from the form of this site only")


def file(services: Services, caller: Caller, fields: dict[str, str]) -> Reply:
    """Files a claim for the billing period of a day. What the rules refuse is told on the page, with 403."""
    contract = _contract(services, caller)
    try:
        day = parse_date(fields.get("day", ""))
    except CalendarError as error:
        raise BadRequest(str(error)) from error
    who = Actor(caller.user.login, ActorRole.CUSTOMER)
    try:
        made = services.claims.file(who, contract, Filing(day, fields.get("statement", "")))
    except KuradoError as error:
        told = f"The claim was not taken: {error.message} ({error.clause or error.code})"
        reply = _page(caller, day, [], told)
        return Reply(403, reply.headers, reply.body)
    return _page(caller, day, [made], f"Your claim was received on {made.claimed_on} as {made.id}.")


def _contract(services: Services, caller: Caller) -> Contract:
    contract = services.standings.now().of_tenant.get(caller.tenant.id)
    if contract is None:
        raise NotFound("there is no contract to claim by")
    return contract


def _page(caller: Caller, day: date, claims: Sequence[Claim], told: str) -> Reply:
    escape: Callable[[object], str] = lambda value: html.escape(str(value))  # noqa: E731
    rows = "".join(
        f"<tr><td>{escape(one.id)}</td><td>{escape(one.claimed_on)}</td><td>{escape(one.period)}</td>"
        f"<td>{escape(one.state)}</td></tr>"
        for one in claims
    )
    head = "<tr><th>Claim</th><th>Received</th><th>Billing period from</th><th>State</th></tr>"
    table = f"<table>{head}{rows}</table>" if rows else ""
    shown = escape(caller.tenant.name)
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<title>Claim — 補償の請求</title>"
        "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:45rem;margin:2rem auto;"
        "padding:0 1rem}textarea{width:100%}td,th{padding:.3rem .6rem;text-align:left}</style></head><body>"
        f"<h1>{shown}: claim for compensation — 補償の請求</h1>"
        "<p>Compensation under the service level rules is paid on claim only, within three months after the failure "
        "ended. — サービス提供規定にもとづく補償は、障害等の終了から3か月以内の請求により行います。</p>"
        f"{f'<p><strong>{escape(told)}</strong></p>' if told else ''}"
        f'<form method="post" action="/account/{shown}/claim">'
        f'<p><label>A day of the billing month — 該当月の日付 <input name="day" type="date" value="{day}" required>'
        "</label></p><p><label>What happened — 内容<br>"
        '<textarea name="statement" rows="6" maxlength="4000" required></textarea></label></p>'
        f"<p><button>Send — 送信</button></p></form>{table}</body></html>"
    )
    return Reply(200, _HEADERS, text.encode())
