"""``plan list|show``: the price list that is in force."""

from __future__ import annotations

from typing import Any

import click

from gateway.commands.app import Application, json_option, show, show_json
from gateway.domain.contract.values import PlanFees
from gateway.domain.terms import Plan
from gateway.domain.units import format_size


def add(cli: click.Group) -> None:
    cli.add_command(plan)


@click.group()
def plan() -> None:
    """Plans of the price list. Change it with `kurado policy apply plans FILE`."""


@plan.command("list")
@json_option
@click.pass_obj
def list_(app: Application, as_json: bool) -> None:
    """Show all plans: capacity, fees without tax."""
    rows = [_data(app, one) for one in app.services.policies.get("plans").plans.values()]
    if not as_json:
        rows = [{key: value for key, value in row.items() if key not in ("features", "prices")} for row in rows]
    show(as_json, rows)


@plan.command("show")
@click.argument("plan_id", metavar="PLAN")
@json_option
@click.pass_obj
def show_(app: Application, plan_id: str, as_json: bool) -> None:
    """Show one plan with its functions and usage prices."""
    data = _data(app, app.services.policies.get("plans").get(plan_id))
    if as_json:
        show_json(data)
        return
    for key, value in data.items():
        click.echo(f"{key.replace('_', ' '):<14}  {', '.join(value) if isinstance(value, list) else value}")


def _data(app: Application, one: Plan) -> dict[str, Any]:
    values = app.services.policies.values()
    fees = PlanFees(one.capacity_fee, one.option_fee)
    return {
        "plan": one.id,
        "name": one.name,
        "capacity": "unlimited" if one.capacity_bytes is None else format_size(one.capacity_bytes),
        "files": "unlimited" if one.files is None else one.files,
        "monthly_fee": fees.monthly,
        "initial_fee": fees.initial(values),
        "features": list(one.features),
        "prices": [f"{price.code}: {price.amount} JPY per {price.per} {price.meter}" for price in one.prices],
    }
