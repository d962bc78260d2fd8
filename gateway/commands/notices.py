"""``notice list|show|send|resend|arrived|bounced|carried|withdraw|import``."""

from __future__ import annotations

from typing import Any

import click

from gateway.commands.acting import DAY, TIME, actor, jst
from gateway.commands.app import Application, json_option, show, show_json
from gateway.domain.calendar import jst_date
from gateway.domain.errors import BadRequest
from gateway.domain.notice import Notice
from gateway.domain.notice_kinds import KINDS
from gateway.service.notices.book import CARRIED_BY


def add(cli: click.Group) -> None:
    cli.add_command(notice)


@click.group()
def notice() -> None:
    """Notices to customers (NTC): made from acts by themselves, sent until a mail server takes them, all on record."""


@notice.command("list")
@click.option("--contract", help="Of this contract only.")
@click.option("--state", type=click.Choice(["queued", "sent", "arrived", "bounced", "refused", "withdrawn"]))
@json_option
@click.pass_obj
def list_(app: Application, contract: str | None, state: str | None, as_json: bool) -> None:
    """Show notices: when each was sent, when it arrived, since when it is effective."""
    found = [one for one in app.services.notices.book.all(contract) if state is None or one.state == state]
    show(as_json, [_row(one) for one in found], empty="no notices")
    if not as_json and not app.services.notices.book.has_mail and any(one.is_waiting for one in found):
        click.echo("no mail server is configured (mail.server in gateway.yaml): queued notices wait", err=True)


@notice.command("show")
@click.argument("notice_id", metavar="NOTICE")
@json_option
@click.pass_obj
def show_(app: Application, notice_id: str, as_json: bool) -> None:
    """Show one notice with its text, as it was sent. It names the customer, so that the look is on record (CUS-02)."""
    shown = app.services.notices.book.show(notice_id)
    app.note("notice.read", f"notice:{notice_id}", "CUS-02")
    one = shown.notice
    facts = _row(one) | {
        "language": one.language,
        "effect": one.effect.rule,
        "message_id": one.message_id or None,
        "text_version": one.text or None,
        "digest": one.body or None,
        "history": [f"{kind} {jst(at)}" for kind, at in one.history],
        "subject": shown.text.subject,
    }
    if as_json:
        show_json(facts | {"text": shown.text.body, "as_sent": shown.is_as_sent})
        return
    for key, value in facts.items():
        for line in value if isinstance(value, list) else [value]:
            click.echo(f"{key.replace('_', ' ')}: {'-' if line is None else line}")
    click.echo(f"\n{shown.text.body}", nl=False)


@notice.command("send")
@click.argument("contract")
@click.argument("kind", type=click.Choice([one.name for one in KINDS.values() if one.by_hand]))
@click.option("--start-date", type=DAY, help="start_notice: the first day of use, today or later (D-05).")
@click.option("--invoice", help="payment_demand: its number.")
@click.option("--amount", type=click.IntRange(1), help="payment_demand: JPY with tax.")
@click.option("--due-on", type=DAY, help="payment_demand: the day on which it was due.")
@click.option("--case", help="correction_demand: the overload case.")
@click.option("--text", help="correction_demand: what is to be corrected; termination: the reason.")
@click.option("--ground", help="termination: such as 17(1)1.")
@click.option("--demand", help="termination on 17(1)1 or 17(1)2: the demand.")
@click.option("--found-on", type=DAY, help="termination on another ground: the day on which it was found.")
@json_option
@click.pass_obj
def send(app: Application, /, contract: str, kind: str, as_json: bool, **given: Any) -> None:
    """Queue a notice that an operator decides about. It creates, changes or ends the use when it takes effect."""
    params = {key: value.isoformat() if hasattr(value, "isoformat") else value for key, value in given.items()}
    one = app.services.notices.orders.send(actor(app), contract, kind, params)
    show_json(_row(one)) if as_json else click.echo(f"notice {one.id} is queued")


@notice.command("resend")
@click.argument("notice_id", metavar="NOTICE")
@click.pass_obj
def resend(app: Application, notice_id: str) -> None:
    """Send a notice once more, to the address that is registered now."""
    one = app.services.notices.book.resend(actor(app), notice_id)
    click.echo(f"notice {one.id} is queued again")


@notice.command("arrived")
@click.argument("notice_id", metavar="NOTICE")
@click.option("--at", type=TIME, default="now", help="When it arrived or was acknowledged. Default: now.")
@click.option("--how", default="acknowledged", show_default=True, help="By what it is known.")
@click.pass_obj
def arrived(app: Application, notice_id: str, at: int, how: str) -> None:
    """Record that a notice arrived: what works on arrival works from then on (NTC-03)."""
    one = app.services.notices.book.arrived(actor(app), notice_id, at, how)
    click.echo(f"notice {one.id} arrived {jst(one.arrived_at)}")


@notice.command("bounced")
@click.argument("notice_id", metavar="NOTICE")
@click.option("--at", type=TIME, default="now", help="When it came back. Default: now.")
@click.option("--reason", required=True)
@click.pass_obj
def bounced(app: Application, notice_id: str, at: int, reason: str) -> None:
    """Record that a notice came back. Find out the right address; a letter may be needed (NTC-02)."""
    one = app.services.notices.book.bounced(actor(app), notice_id, at, reason)
    click.echo(f"notice {one.id} came back")


@notice.command("carried")
@click.argument("notice_id", metavar="NOTICE")
@click.option("--via", type=click.Choice(CARRIED_BY), required=True)
@click.option("--sent-at", type=TIME, default="now", help="Default: now.")
@click.option("--arrived-at", type=TIME, help="When it arrived, if that is known.")
@click.pass_obj
def carried(app: Application, notice_id: str, via: str, sent_at: int, arrived_at: int | None) -> None:
    """Record that a notice went as a letter, or by a partner. It works on arrival then (NTC-04)."""
    one = app.services.notices.book.carried(actor(app), notice_id, via, sent_at, arrived_at)
    click.echo(f"notice {one.id} is {one.state}")


@notice.command("withdraw")
@click.argument("notice_id", metavar="NOTICE")
@click.option("--reason", required=True)
@click.pass_obj
def withdraw(app: Application, notice_id: str, reason: str) -> None:
    """Do not send a notice that still waits."""
    one = app.services.notices.book.withdraw(actor(app), notice_id, reason)
    click.echo(f"notice {one.id} is withdrawn")


@notice.command("import")
@click.argument("mail", type=click.File("rb"), nargs=-1, required=True)
@click.pass_obj
def import_(app: Application, mail: tuple[Any, ...]) -> None:
    """Read delivery reports (RFC 3464) that came to the bounce address: files, or - for standard input.

    A failure is recorded as a bounce, a delivery as the arrival. Put it behind the address in your mail server:
    `kurado --config /etc/kurado/gateway.yaml notice import -`.
    """
    from gateway.notices.reports import read_report

    for file in mail:
        found = read_report(file.read())
        if found is None:
            raise BadRequest(f"{file.name}: no delivery report about a notice of ours")
        click.echo(f"{found.notice}: {app.services.notices.book.reported(actor(app), found)}")


def _row(one: Notice) -> dict[str, Any]:
    since = one.effect.at
    return {
        "notice": one.id,
        "kind": one.kind,
        "contract": one.contract,
        "rule": one.rule,
        "via": one.via,
        "state": one.state,
        "queued": jst(one.queued_at),
        "sent": jst(one.sent_at),
        "arrived": jst(one.arrived_at),
        "bounced": jst(one.bounced_at),
        "effective_on": jst_date(since).isoformat() if since is not None else None,
        "reason": one.bounce or None,
    }
