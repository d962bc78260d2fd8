"""``sla report|backups|attest``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import click

from gateway.commands.acting import DAY, actor, jst
from gateway.commands.app import Application, json_option, show, show_json, tenant_option
from gateway.commands.incidents import incident_row
from gateway.domain.contract.reporting import counted_time
from gateway.service.slas import Case, LevelReport

LIMITS = {
    "availability": "SLA-AV-06",
    "outage_notice": "SLA-ON-03",
    "data_loss": "SLA-DP-04",
    "security": "SLA-SC-02",
}
"""By which rule each kind of breach is one; the case itself names the rule of its credit."""


def add(cli: click.Group) -> None:
    cli.add_command(sla)


@click.group()
def sla() -> None:
    """The service level towards each customer, accounted by the rules SLA and CMP."""


@sla.command("report")
@click.option("--tenant", required=True, help="The customer.")
@click.option("--period", "day", type=DAY, required=True, help="Any day of the billing period.")
@json_option
@click.pass_obj
def report(app: Application, tenant: str, day: date, as_json: bool) -> None:
    """Show a billing period: what stopped, what of it counts, the target, breaches and what they may cost.

    Nothing is paid without a claim (CMP-07): see kurado claim.
    """
    services = app.services
    contract = services.levels.customer(tenant)
    found = services.levels.report(contract, day)
    content = report_data(app, found)
    if as_json:
        show_json(content)
    else:
        _print(content, found)


def report_data(app: Application, found: LevelReport) -> dict[str, Any]:
    """A report for programs: each figure with the rule that it comes from."""
    accounting, values = found.accounting, found.values
    log = app.services.claims.log()
    claims = log.of_contract(found.contract.name, found.period.start)
    granted = sum(one.amount for one in claims if one.accepted_on)
    return {
        "contract": found.contract.name,
        "period": {
            "kind": str(found.period.kind),
            "start": found.period.start.isoformat(),
            "end": found.period.end.isoformat(),
        },
        "as_of": jst(found.as_of),
        "monthly_fee": _by("CMP-01", found.monthly_fee),
        "maintenances": [
            {
                "id": one.id,
                "announced": one.announced,
                "counted_seconds": one.counted_seconds,
                "rule": "SLA-AV-03"
                if one.announced and not one.counted_seconds
                else "SLA-MNT-03"
                if not one.announced
                else "SLA-MNT-04",
            }
            for one in accounting.maintenances
        ],
        "counted": [
            {"start": jst(part.start), "end": jst(part.end), "rule": "SLA-AV-04"} for part in counted_time(accounting)
        ],
        "runs": [
            {"start": jst(run.span.start), "end": jst(run.span.end), "seconds": run.seconds, "rule": "SLA-AV-05"}
            for run in accounting.runs
        ],
        "longest_seconds": accounting.longest_seconds,
        "target": {
            "seconds": values.availability_target_seconds,
            "met": accounting.target_met,
            "rule": "SLA-AV-01",
        },
        "breaches": [_breach(case, log.is_paid(found.contract.name, case.item)) for case in found.cases],
        "total": accounting.total,
        "cap": _by("CMP-06", accounting.cap),
        "credit": _by("CMP-06", accounting.credit),
        "granted": granted,
        "claims": [one.id for one in claims],
        "days_without_backup": {"days": [day.isoformat() for day in found.backupless], "rule": "SLA-DP-02"},
        "incidents": [incident_row(app, one) for one in found.incidents],
    }


def _by(rule: str, amount: int) -> dict[str, Any]:
    return {"amount": amount, "rule": rule}


def _breach(case: Case, is_paid: bool) -> dict[str, Any]:
    return {
        "kind": case.item.kind,
        "ref": case.item.ref,
        "rule": LIMITS[case.item.kind],
        "amount": case.amount,
        "credit_rule": case.rule,
        "ended": jst(case.ended_at),
        "last_claim_day": case.last_claim_day.isoformat() if case.last_claim_day else None,
        "granted": is_paid,
    }


def _print(content: Mapping[str, Any], found: LevelReport) -> None:
    period, target = content["period"], content["target"]
    click.echo(
        f"{content['contract']}: {period['kind']} {period['start']} to {period['end']}, as of {content['as_of']}"
    )
    click.echo(f"monthly fee     {found.monthly_fee} JPY (CMP-01)")
    met = "met" if target["met"] else "missed"
    longest = found.accounting.longest_seconds
    click.echo(f"longest stop    {longest} s of {target['seconds']} s allowed: target {met} (SLA-AV-01)")
    for title, key, empty in (
        ("incidents", "incidents", "none"),
        ("maintenance", "maintenances", "none"),
        ("stops", "runs", "nothing counts as a stop (SLA-AV-02 to SLA-AV-05)"),
        ("breaches", "breaches", "none"),
    ):
        click.echo(f"-- {title}")
        show(False, content[key], empty=empty)
    days = content["days_without_backup"]["days"]
    click.echo(f"-- days without an attested backup (SLA-DP-02): {', '.join(days) or 'none'}")
    click.echo(
        f"to be claimed   {content['credit']['amount']} JPY at most, of {content['total']} JPY, capped at "
        f"{content['cap']['amount']} JPY (CMP-06); granted so far: {content['granted']} JPY"
    )


@sla.command("backups")
@tenant_option
@click.option("--from", "first", type=DAY, required=True)
@click.option("--to", "last", type=DAY, required=True)
@json_option
@click.pass_obj
def backups(app: Application, tenant: str | None, first: date, last: date, as_json: bool) -> None:
    """Show on which JST days the backup was attested, and whose (SLA-DP-02)."""
    log = app.services.attests.log()
    names = {one.id: one.name for one in app.services.accounts.tenants()}
    wanted = {app.services.accounts.tenant(tenant).id} if tenant else None
    rows = [
        {
            "day": day.isoformat(),
            "tenants": ", ".join(sorted(names.get(each, f"removed {each:x}") for each in ids)),
        }
        for day, known in sorted(log.days.items())
        if first <= day <= last and (ids := known if wanted is None else known & wanted)
    ]
    show(as_json, rows, empty="no backup was attested")


@sla.command("attest")
@click.option("--day", type=DAY, required=True, help="The JST day of the backup; not after today.")
@click.option("--tenant", "tenants", multiple=True, help="Only of this tenant; may be repeated. Default: all.")
@click.option("--evidence", required=True, help="What shows that the backup is complete and was verified.")
@click.pass_obj
def attest(app: Application, day: date, tenants: tuple[str, ...], evidence: str) -> None:
    """Attest a backup that was made by other means than the replica (SLA-DP-02)."""
    count = app.services.attests.by_hand(actor(app), day, tenants, evidence)
    click.echo(f"the backup of {count} tenants is attested for {day}")
