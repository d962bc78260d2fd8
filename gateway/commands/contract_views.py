"""``contract list|tasks|status|history|documents``: what there is, what it has come to, what waits for somebody."""

from __future__ import annotations

from datetime import date
from typing import Any

import click

from gateway.commands.acting import act_data, act_row, actor, jst, role_option
from gateway.commands.app import Application, json_option, show, show_json
from gateway.domain.acts import ActorRole
from gateway.domain.calendar import jst_date
from gateway.domain.contract.deadlines import tasks
from gateway.domain.contract.policies import AGREED
from gateway.domain.contract.records import Contract, ended_on, opens_at
from gateway.service.contracts.book import is_own, require

_LISTED = ("contract", "state", "route", "partner", "plan", "start_date", "last_day", "term_last_day")
_FEES = ("lump_sum", "liability_cap", "liability_left")
"""What a referral shop does not see (AGT-02)."""


def add(group: click.Group) -> None:
    """Adds the commands to the group ``contract``."""
    for command in (list_, tasks_, status, history, documents):
        group.add_command(command)


@click.command("list")
@role_option
@json_option
@click.pass_obj
def list_(app: Application, role: str, as_json: bool) -> None:
    """Show all contracts, or those of a partner's own customers."""
    who = actor(app, role)
    rows = [
        {key: value for key, value in status_data(app, one).items() if key in _LISTED}
        for one in app.services.standings.contracts()
        if is_own(who, one.route, one.partner)
    ]
    show(as_json, rows, empty="no contracts yet: kurado contract apply NAME")


@click.command("tasks")
@json_option
@click.pass_obj
def tasks_(app: Application, as_json: bool) -> None:
    """Show what waits for somebody: decisions, notices that did not arrive, deadlines, offers, open demands."""
    now, book = app.clock(), app.services.contracts.book
    found = [task for one in app.services.standings.contracts() for task in tasks(one, now, book.values(one, now))]
    found.sort(key=lambda task: (task.by or date.max, task.contract))
    rows = [{"by": _iso(task.by), "contract": task.contract, "task": task.what, "rule": task.rule} for task in found]
    show(as_json, rows, empty="nothing waits")


@click.command("status")
@click.argument("name")
@role_option
@json_option
@click.pass_obj
def status(app: Application, name: str, role: str, as_json: bool) -> None:
    """Show what a contract has come to today: state, term, deadlines, end, the documents that bind it."""
    data = status_data(app, _own(app, name, role))
    if actor(app, role).role is ActorRole.REFERRAL_SHOP:
        data = {key: value for key, value in data.items() if key not in _FEES}
    if as_json:
        show_json(data)
        return
    for key, value in data.items():
        if value not in (None, [], {}, ""):
            click.echo(f"{key.replace('_', ' '):<24}  {_in_words(value)}")


def _in_words(value: object) -> str:
    """``[{plan: pro, effective_on: 2027-05-01}]`` as ``pro 2027-05-01``; what is not there is left out."""
    if isinstance(value, list):
        return ", ".join(map(_in_words, value))
    if isinstance(value, dict):
        return " ".join(str(each) for each in value.values() if each is not None)
    return str(value)


@click.command("history")
@click.argument("name")
@json_option
@click.pass_obj
def history(app: Application, name: str, as_json: bool) -> None:
    """Show every act about a contract: who, when, by which rule, from which state to which (P-6)."""
    acts = app.services.contracts.book.history(name)
    if as_json:
        show_json([act_data(act) for act in acts])
    else:
        show(False, [act_row(act) for act in acts])


@click.command("documents")
@click.argument("name")
@role_option
@json_option
@click.pass_obj
def documents(app: Application, name: str, role: str, as_json: bool) -> None:
    """Show the documents in writing: receipt, carrier, digest (P-7)."""
    _own(app, name, role)
    rows = [
        {
            "document": f"{one.id:x}",
            "kind": one.kind,
            "received": jst(one.received_at),
            "carrier": one.carrier,
            "passed_on": jst(one.passed_on),
            "title": one.title,
            "sha256": one.digest if as_json else one.digest[:16],
            "registered_by": one.registered_by,
        }
        for one in app.services.contracts.book.documents(name)
    ]
    show(as_json, rows, empty="no documents")


def _own(app: Application, name: str, role: str) -> Contract:
    """A contract, for a partner one of its own customers only (AGT-03)."""
    one, who = app.services.contracts.book.get(name), actor(app, role)
    require(is_own(who, one.route, one.partner), f"a {who.role} sees its own customers only", "AGT-03")
    return one


def status_data(app: Application, one: Contract) -> dict[str, Any]:
    """What follows from the acts today."""
    now = app.clock()
    values = app.services.contracts.book.values(one, now)
    today = jst_date(now)
    plan, terms = one.plan_on(today), one.terms(values)
    data: dict[str, Any] = {
        "contract": one.name,
        "state": one.state(now, values),
        "route": str(one.route),
        "partner": one.partner or None,
        "follows": one.follows or None,
        "plan": plan.plan if plan else one.plan,
        "minimum_months": one.minimum_months or None,
        "start_date": _iso(one.start_date or one.named_start),
        "opens_at": jst(opens_at(one)),
        "last_day": _iso(one.last_day(today, values)),
        "ended_on": _iso(ended_on(one, today, values)),
        "coming_plans": [
            {"plan": each.agreed.plan, "effective_on": _iso(each.effective_on)}
            for each in one.changes
            if each.effective_on > today
        ],
        "stop_requested_by": one.stop_requested_by or None,
        "demands": [{"demand": each.id, "ground": each.ground, "met_on": _iso(each.cured)} for each in one.demands],
        "overload_cases": [each.id for each in one.overloads],
        "term_last_day": None,
        "documents": [
            {"document": kind, "version": version} for kind, version in values.versions.items() if kind in AGREED
        ],
        "agreements": [{"about": about, "days": days or None} for about, days in one.agreements.items()],
        "liability_cap": None,
        "liability_left": None,
    }
    if one.agreed:
        liability = app.services.billing.damages.standing(one.name)
        data |= {"liability_cap": liability.cap, "liability_left": liability.left}
    if terms:
        now_in = terms.status(max(today, terms.calendar.start_date), one.offers, one.applications)
        data |= {
            "anchor": _iso(terms.calendar.anchor),
            "minimum_last_day": _iso(terms.minimum_last_day),
            "term_no": now_in.term.no,
            "term_last_day": _iso(now_in.term.last_day),
            "nonrenewal_deadline": _iso(now_in.term.nonrenewal_deadline),
            "renewal_application_by": _iso(now_in.term.renewal_application_by),
            "will_renew": now_in.will_renew,
        }
    leaving = one.cancelled(today, values)
    if leaving:
        data |= {
            "cancellation": str(leaving.outcome),
            "lump_sum": leaving.lump_sum,
            "lump_sum_due": _iso(leaving.lump_sum_due),
        }
    return data


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None
