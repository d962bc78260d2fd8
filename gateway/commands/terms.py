"""``kurado terms``: the rules of the terms of service asked from outside, the values in force, and their revisions."""

from __future__ import annotations

import dataclasses
import sys
from datetime import date
from pathlib import Path
from typing import Any

import click

from gateway.commands.acting import DAY, TIME, actor, jst
from gateway.commands.app import Application, json_option, show, show_json, tenant_option


def add(cli: click.Group) -> None:
    """Adds the group."""
    cli.add_command(terms)


@click.group()
def terms() -> None:
    """The terms of service as executable rules: ask them, show their values, revise them."""


@terms.command(name="eval")
def eval_() -> None:
    """Answers requests to the rules, one JSON object per line.

    Reads {"fn": NAME, "input": {...}} lines from standard input and writes one answer per line, in order; a request
    that the rules refuse is answered {"error": CODE}. The functions are those that invoices, contracts and access
    decisions use. Needs no configuration.

    \b
    Example:
      echo '{"fn": "plan_fees", "input": {"capacity_fee": 30000, "option_fee": 5000}}' | kurado terms eval
    """
    from gateway.termseval import evaluate_lines

    for answer in evaluate_lines(sys.stdin.buffer):
        click.echo(answer)


@terms.command("show")
@tenant_option
@click.option("--on", "day", type=DAY, help="On this day. Default: today.")
@json_option
@click.pass_obj
def show_(app: Application, tenant: str | None, day: date | None, as_json: bool) -> None:
    """Show every value of the terms that holds for a tenant (or a new customer), with its clause."""
    from gateway.domain.contract.policies import KINDS

    owner = app.services.accounts.tenant(tenant) if tenant else None
    values = app.services.policies.values(owner, day)
    if owner is not None:
        values = values.at(day) if day else values
    rows = [
        {
            "value": f"{kind}.{path}",
            "is": _plain(getattr(values, name)),
            "clause": values.clauses.get(f"{kind}.{path}", "default"),
            "version": values.versions.get(kind),
        }
        for kind, keys in KINDS.items()
        for path, (name, _) in keys.items()
    ]
    if as_json:
        show_json(rows)
    else:
        show(False, [row | {"is": _short(row["is"])} for row in rows])


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {key: _plain(one) for key, one in dataclasses.asdict(value).items()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value.isoformat() if isinstance(value, date) else value


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key} {one}" for key, one in value.items())
    return ", ".join(_short(one) for one in value) if isinstance(value, list) else str(value)


@terms.command("documents")
@tenant_option
@json_option
@click.pass_obj
def documents(app: Application, tenant: str | None, as_json: bool) -> None:
    """Show the documents that define the service, with the versions in force (SVC-03)."""
    owner = app.services.accounts.tenant(tenant) if tenant else None
    found = app.services.policies.get("documents", owner).documents.values()
    rows = [
        {
            "document": one.name,
            "version": one.version,
            "title": f"{one.title_ja} / {one.title_en}",
            "where": one.where or None,
            "sha256": one.sha256 or None,
        }
        for one in found
    ]
    show(as_json, rows, empty="the policy `documents` names none")


# -- revisions --------------------------------------------------------------------------------------------------------


@terms.command("revise")
@click.argument("policy")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--effective-on", type=DAY, required=True, help="From when; never before the day after the notice (D-54)."
)
@click.option("--name", "label", required=True, help="How it is called, such as 2027-06-01.")
@click.option("--title-ja", required=True)
@click.option("--title-en", required=True)
@click.option("--text-ja", required=True, help="What changes: the contents are part of the notice (REV-02).")
@click.option("--text-en", required=True)
@click.option("--contract", "contracts", multiple=True, help="For this contract only; may be repeated. Default: all.")
@json_option
@click.pass_obj
def revise(
    app: Application,
    /,
    policy: str,
    file: Path,
    effective_on: date,
    label: str,
    contracts: tuple[str, ...],
    as_json: bool,
    **notice: str,
) -> None:
    """Announce a revision: POLICY is terms, sla, maintenance or plans, FILE its new document.

    Each customer is told by a notice. It binds from --effective-on on, and never before the day after the notice took
    effect: when it was sent (terms), or when it arrived (prices, service level, operating standard). Consent is given
    in advance (§19); a customer that does not want it leaves by cancellation (END-01). New customers agree to it from
    --effective-on on.
    """
    one = app.services.contracts.revisions.announce(
        policy,
        file.read_text("utf-8"),
        actor(app),
        effective_on=effective_on,
        label=label,
        notice=notice,
        contracts=contracts,
    )
    if as_json:
        show_json(_revision(one))
        return
    click.echo(f"revision {one.id} of {one.policy} is announced for {one.effective_on} ({one.rule})")
    click.echo(f"to be told: {', '.join(one.contracts) or 'nobody is under contract'}; works on {one.works_on}")


@terms.command("told")
@click.argument("revision")
@click.argument("contract")
@click.option("--at", type=TIME, default="now", help="When the notice was sent (terms) or arrived (others).")
@click.pass_obj
def told(app: Application, revision: str, contract: str, at: int) -> None:
    """Record that a notice of REVISION to CONTRACT took effect; the notices that kurado mails do it by themselves."""
    app.services.contracts.revisions.told(revision, contract, actor(app), at=at)
    one = next(each for each in app.services.contracts.revisions.told_to(revision) if each.contract == contract)
    click.echo(f"{revision} binds {contract} from {one.in_force_from}")


@terms.command("withdraw")
@click.argument("revision")
@click.option("--reason", required=True)
@click.pass_obj
def withdraw(app: Application, revision: str, reason: str) -> None:
    """Take back an announcement that nobody was told yet."""
    app.services.contracts.revisions.withdraw(revision, actor(app), reason)
    click.echo(f"{revision} is withdrawn")


@terms.command("revisions")
@click.argument("revision", required=False)
@json_option
@click.pass_obj
def revisions(app: Application, revision: str | None, as_json: bool) -> None:
    """Show all revisions, or for one: whom it binds, and from which day."""
    service = app.services.contracts.revisions
    if revision is None:
        show(as_json, [_revision(one) for one in service.all()], empty="nothing was ever revised")
        return
    rows = [
        {
            "contract": one.contract,
            "told_on": _iso(one.told_on),
            "in_force_from": _iso(one.in_force_from),
            "may_leave_by": _iso(one.may_leave_by),
        }
        for one in service.told_to(revision)
    ]
    show(as_json, rows, empty="nobody is concerned")


def _revision(one: Any) -> dict[str, Any]:
    state = "withdrawn" if one.withdrawn else "in force for new customers" if one.applied else "announced"
    return {
        "revision": one.id,
        "policy": one.policy,
        "version": one.version,
        "name": one.label,
        "effective_on": one.effective_on.isoformat(),
        "announced": jst(one.announced_at),
        "works_on": one.works_on,
        "rule": one.rule,
        "contracts": len(one.contracts),
        "state": state,
    }


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None
