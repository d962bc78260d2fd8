"""What the commands about contracts share: who acts, JST days and instants, documents in writing."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gateway.commands.app import Application
from gateway.domain.acts import Act, ActorRole
from gateway.domain.calendar import JST, CalendarError, parse_date, parse_time
from gateway.domain.contract.documents import CARRIERS
from gateway.service.contracts.book import Actor, Paper

if TYPE_CHECKING:
    _DayType = click.ParamType[date]
    _TimeType = click.ParamType[int]
    _RoleType = click.ParamType[str]
else:
    _DayType = _TimeType = _RoleType = click.ParamType

F = TypeVar("F", bound=Callable[..., Any])
PARTNERS = {"operator": ActorRole.OPERATOR, "reseller": ActorRole.RESELLER, "referral-shop": ActorRole.REFERRAL_SHOP}


YEARS = range(1970, 3000)
"""What contracts are made for: beyond them lie slips of the hand, and further on the end of the calendar."""


class JstDay(_DayType):
    """A JST date."""

    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        try:
            day = parse_date(value)
        except CalendarError as error:
            self.fail(str(error), param, ctx)
        if day.year not in YEARS:
            self.fail(f"{value} is not between {YEARS[0]} and {YEARS[-1]}", param, ctx)
        return day


class Instant(_TimeType):
    """A time with an offset, or ``now``; as ms UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if value == "now" and ctx is not None:
            app: Application = ctx.find_root().obj
            return app.clock()
        try:
            at = parse_time(value)
        except CalendarError as error:
            self.fail(str(error), param, ctx)
        if datetime.fromtimestamp(at // 1000, UTC).year not in YEARS:
            self.fail(f"{value} is not between {YEARS[0]} and {YEARS[-1]}", param, ctx)
        return at


class RoleName(_RoleType):
    """``reseller:NAME``; the name may be left out where a customer's partner is not named."""

    name = "role"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        kind, colon, partner = str(value).partition(":")
        if kind not in PARTNERS or (colon and (kind == "operator" or not partner.strip())):
            self.fail(f"{value!r} is none of operator, reseller:NAME, referral-shop:NAME", param, ctx)
        return str(value)


DAY, TIME = JstDay(), Instant()


def role_option(command: F) -> F:
    """``--role``: in whose place the operator files a paper, or looks."""
    return click.option(
        "--role",
        type=RoleName(),
        default="operator",
        show_default=True,
        help="operator, reseller:NAME or referral-shop:NAME. A partner carries papers of its own customers (AGT).",
    )(command)


def actor(app: Application, role: str = "operator") -> Actor:
    """Whoever runs the command."""
    kind, _, partner = role.partition(":")
    return Actor(app.who, PARTNERS[kind], partner)


def approver_options(command: F) -> F:
    """Of the commands by which a second person approves."""
    for option in (
        click.option("--passphrase-stdin", is_flag=True, help="Read the passphrase from standard input."),
        click.option("--as", "approver", help="One of `approvers` in gateway.yaml, where some are listed."),
    ):
        command = option(command)
    return command


def approving(app: Application, approver: str | None, *, passphrase_stdin: bool, rule: str) -> Actor:
    """The second person, proved as gateway.yaml asks for it. ActRefused with the rule."""
    from gateway.service.approvers import Approvers

    passphrase = None
    if approver is not None:
        passphrase = (
            sys.stdin.readline().rstrip("\n") if passphrase_stdin else click.prompt("passphrase", hide_input=True)
        )
    return Approvers(app.config.approvers).approver(app.who, approver, passphrase, rule)


def paper_options(command: F) -> F:
    """The document in writing that the rules ask for (P-7)."""
    for option in (
        click.option("--title", default="", help="What the document is, for the register."),
        click.option("--passed-on", type=TIME, help="When a reseller or referral shop got it; starts no clock."),
        click.option("--received-at", type=TIME, default="now", help="When the provider received it. Default: now."),
        click.option("--carrier", type=click.Choice(CARRIERS), default="post", show_default=True, help="How it came."),
        click.option(
            "--document",
            required=True,
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="The scan of the document in writing; its digest is registered.",
        ),
    ):
        command = option(command)
    return command


def paper(document: Path, carrier: str, received_at: int, passed_on: int | None, title: str) -> Paper:
    """The document as given by :func:`paper_options`."""
    with document.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Paper(received_at, carrier, digest, title or document.name, passed_on)


def jst(at: int | None) -> str | None:
    """A time for people who think in JST days."""
    return None if at is None else datetime.fromtimestamp(at // 1000, UTC).astimezone(JST).isoformat()


def act_row(act: Act) -> dict[str, Any]:
    """An act for a table."""
    return {
        "no": act.seq,
        "at": jst(act.at),
        "actor": f"{act.actor} ({act.role})",
        "act": act.kind,
        "rule": act.rule,
        "ground": act.ground or None,
        "before": act.before or None,
        "after": act.after or None,
    }


def act_data(act: Act) -> dict[str, Any]:
    """An act for programs: all of it (P-6)."""
    return {
        "seq": act.seq,
        "at": jst(act.at),
        "actor": act.actor,
        "role": act.role,
        "tenant_id": f"{act.tenant_id:x}" if act.tenant_id else None,
        "subject": act.subject,
        "act": act.kind,
        "rule": act.rule,
        "ground": act.ground,
        "before": act.before,
        "after": act.after,
        "data": dict(act.data),
        "previous": act.previous,
        "digest": act.digest,
    }
