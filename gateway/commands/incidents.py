"""``incident open|draft|confirm|dismiss|notice|recover|cause|correct|list|show``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from gateway.commands.acting import TIME, act_row, actor, jst
from gateway.commands.app import Application, json_option, show, show_json, tenant_option
from gateway.domain.contract.incidents import CHANNELS, NOTICES, Incident, IncidentKind
from gateway.domain.contract.sla import Cause
from gateway.service.incidents import Finding, Scope

F = TypeVar("F", bound=Callable[..., Any])


def add(cli: click.Group) -> None:
    cli.add_command(incident)


def scope_options(command: F) -> F:
    """What an incident reaches."""
    for option in (
        click.option("--full-stop/--partial", "full_stop", default=None, help="No front end serves, or only a part."),
        click.option("--component", "components", multiple=True, help="What is affected; may be repeated."),
        click.option("--tenant", "tenants", multiple=True, help="Only this tenant; may be repeated. Default: all."),
    ):
        command = option(command)
    return command


def finding_options(command: F) -> F:
    """What was found."""
    kinds = [str(kind).replace("_", "-") for kind in IncidentKind]
    for option in (
        json_option,
        scope_options,
        click.option("--registration-failed", is_flag=True, help="Of lost data: it was never registered (SLA-DP-01)."),
        click.option("--kind", type=click.Choice(kinds), default="outage", show_default=True),
        click.option("--summary", required=True, help="What happened, in a line."),
    ):
        command = option(command)
    return command


@click.group()
def incident() -> None:
    """Outages, lost data, security failures: recognised, notified, recovered, explained; each step is an act (SLA)."""


@incident.command("open")
@click.option("--at", type=TIME, help="When the provider recognised it. Default: now.")
@finding_options
@click.pass_obj
def open_(app: Application, /, at: int | None, as_json: bool, **found: Any) -> None:
    """Recognise an incident: an outage counts from then on (SLA-AV-02), and its notice is due within the hour."""
    _told(app, app.services.incidents.open(actor(app), _finding(found), at), as_json)


@incident.command("draft")
@click.option("--observed-at", type=TIME, help="When it was first seen. Default: now.")
@finding_options
@click.pass_obj
def draft(app: Application, /, observed_at: int | None, as_json: bool, **found: Any) -> None:
    """Note something that may be an incident; it counts for nothing until it is confirmed."""
    finding = _finding(found, app.clock() if observed_at is None else observed_at)
    _told(app, app.services.incidents.draft(actor(app), finding), as_json)


@incident.command("confirm")
@click.argument("name", metavar="INCIDENT")
@click.option("--at", type=TIME, help="When the provider recognised it. Default: now.")
@scope_options
@json_option
@click.pass_obj
def confirm(
    app: Application,
    name: str,
    at: int | None,
    tenants: tuple[str, ...],
    components: tuple[str, ...],
    full_stop: bool | None,
    as_json: bool,
) -> None:
    """Recognise what the gateway, or somebody, drafted."""
    scope = _scope(tenants, components, full_stop)
    _told(app, app.services.incidents.confirm(actor(app), name, at, scope), as_json)


@incident.command("dismiss")
@click.argument("name", metavar="INCIDENT")
@click.option("--reason", required=True)
@json_option
@click.pass_obj
def dismiss(app: Application, name: str, reason: str, as_json: bool) -> None:
    """It was no incident; the record of it stays."""
    _told(app, app.services.incidents.dismiss(actor(app), name, reason), as_json)


@incident.command("notice")
@click.argument("name", metavar="INCIDENT")
@click.option("--what", type=click.Choice(NOTICES), required=True)
@click.option("--channel", type=click.Choice(CHANNELS), required=True)
@click.option("--at", type=TIME, help="When it was given. Default: now.")
@click.option("--tenant", "tenants", multiple=True, help="It went to this tenant only; may be repeated.")
@json_option
@click.pass_obj
def notice(
    app: Application,
    name: str,
    what: str,
    channel: str,
    at: int | None,
    tenants: tuple[str, ...],
    as_json: bool,
) -> None:
    """Note a notice that was given by other ways than the gateway's own (SLA-ON-01)."""
    done = app.services.incidents.notice_sent(name, what, channel, at, tenants=tenants, actor=actor(app))
    _told(app, done, as_json)


@incident.command("recover")
@click.argument("name", metavar="INCIDENT")
@click.option("--at", type=TIME, help="When it was well again. Default: now.")
@json_option
@click.pass_obj
def recover(app: Application, name: str, at: int | None, as_json: bool) -> None:
    """The service, or the data, is back. Said again, the later act counts."""
    _told(app, app.services.incidents.recover(actor(app), name, at), as_json)


@incident.command("cause")
@click.argument("name", metavar="INCIDENT")
@click.option("--cause", type=click.Choice([str(one) for one in Cause]), required=True)
@click.option("--item", type=click.IntRange(1, 6), help="The item of §13(2), if it is not the provider's (LIA-02).")
@click.option("--evidence", default="", help="What shows that it is not the provider's fault.")
@click.option("--text-ja", help="Public wording, Japanese.")
@click.option("--text-en", help="Public wording, English.")
@json_option
@click.pass_obj
def cause_(
    app: Application,
    name: str,
    cause: str,
    item: int | None,
    evidence: str,
    text_ja: str | None,
    text_en: str | None,
    as_json: bool,
) -> None:
    """Record the cause. Until then it is the provider's."""
    text = {language: words for language, words in (("ja", text_ja), ("en", text_en)) if words}
    done = app.services.incidents.explain(actor(app), name, Cause(cause), item, evidence, text)
    _told(app, done, as_json)


@incident.command("correct")
@click.argument("name", metavar="INCIDENT")
@click.option("--recognised-at", type=TIME, help="When the provider really recognised it.")
@scope_options
@click.option("--reason", required=True, help="What was wrong.")
@json_option
@click.pass_obj
def correct(
    app: Application,
    name: str,
    recognised_at: int | None,
    tenants: tuple[str, ...],
    components: tuple[str, ...],
    full_stop: bool | None,
    reason: str,
    as_json: bool,
) -> None:
    """Put right what an earlier act said, by a further one (P-6)."""
    scope = _scope(tenants, components, full_stop)
    done = app.services.incidents.correct(
        actor(app), name, reason, recognised_at=recognised_at, scope=None if scope == Scope() else scope
    )
    _told(app, done, as_json)


@incident.command("list")
@tenant_option
@click.option("--open", "only_open", is_flag=True, help="Only drafts and what has not recovered.")
@json_option
@click.pass_obj
def list_(app: Application, tenant: str | None, only_open: bool, as_json: bool) -> None:
    """Show all incidents, the newest last."""
    log = app.services.incidents.log()
    found = log.of_tenant(app.services.accounts.tenant(tenant).id) if tenant else list(log.all.values())
    rows = [incident_row(app, one) for one in found if one.is_standing or not only_open]
    show(as_json, rows, empty="no incidents")


@incident.command("show")
@click.argument("name", metavar="INCIDENT")
@json_option
@click.pass_obj
def show_(app: Application, name: str, as_json: bool) -> None:
    """Show one incident: times, notices, cause, by which rule it counts or not, and all acts about it."""
    one = app.services.incidents.get(name)
    acts = [act_row(act) | {"reason": act.data.get("reason")} for act in app.services.incidents.history(name)]
    if as_json:
        show_json(_full(app, one) | {"acts": acts})
        return
    for key, value in _full(app, one).items():
        if key != "notices":
            click.echo(f"{key.replace('_', ' '):<15} {plain(value)}")
    show(False, _full(app, one)["notices"], empty="no notice was given")
    show(False, acts)


def plain(value: Any) -> str:
    """A value for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return " / ".join(map(str, value.values()))
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value in (None, "") else str(value)


def _finding(found: dict[str, Any], observed_at: int | None = None) -> Finding:
    return Finding(
        IncidentKind(found["kind"].replace("-", "_")),
        found["summary"],
        _scope(found["tenants"], found["components"], found["full_stop"]),
        observed_at,
        normally_registered=not found["registration_failed"],
    )


def _scope(tenants: tuple[str, ...], components: tuple[str, ...], full_stop: bool | None) -> Scope:
    return Scope(tenants or None, components or None, full_stop)


def incident_row(app: Application, one: Incident) -> dict[str, Any]:
    """An incident for a table."""
    names = {tenant.id: tenant.name for tenant in app.services.accounts.tenants()}
    return {
        "incident": one.id,
        "kind": str(one.kind),
        "state": str(one.state),
        "scope": ", ".join(names.get(each, f"removed {each:x}") for each in sorted(one.tenants)) or "all",
        "full_stop": one.full_stop if one.kind is IncidentKind.OUTAGE else None,
        "recognised": jst(one.recognised_at),
        "recovered": jst(one.recovered_at),
        "cause": str(one.cause) if one.cause_known else None,
        "excluded_by": one.excluded_by(),
        "summary": one.summary,
    }


def _full(app: Application, one: Incident) -> dict[str, Any]:
    return incident_row(app, one) | {
        "components": list(one.components),
        "item": f"13(2){one.item}" if one.item else None,
        "cause_text": dict(one.cause_text) or None,
        "observed": jst(one.observed_at),
        "observed_end": jst(one.ended_at),
        "source": one.source or None,
        "days": list(one.days) if one.days else None,
        "notices_due": [
            f"{each.due.what} by {jst(each.due.due)}" + (" (missed)" if each.is_missed else "")
            for each in app.services.deadlines.notices()
            if each.due.incident == one.id
        ],
        "notices": [
            {"what": each.what, "channel": each.channel, "at": jst(each.at), "tenants": len(each.tenants) or None}
            for each in one.notices
        ],
    }


def _told(app: Application, one: Incident, as_json: bool) -> None:
    if as_json:
        show_json(_full(app, one))
        return
    times = f", recognised {jst(one.recognised_at)}" if one.recognised_at is not None else ""
    times += f", recovered {jst(one.recovered_at)}" if one.recovered_at is not None else ""
    click.echo(f"incident {one.id} is {one.state}{times}")
