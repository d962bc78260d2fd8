"""``tenant add|list|show|set|suspend|resume|remove``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from gateway.commands.app import Application, TenantName, iso, json_option, show, show_json
from gateway.domain.errors import ActRefused
from gateway.domain.tenant import UNLIMITED, Limits, Tenant
from gateway.domain.units import format_size, parse_size

NAME = TenantName()
PLAN, NO_LIMIT = "plan", "unlimited"


def add(cli: click.Group) -> None:
    cli.add_command(tenant)


def _size_or_plan(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | str | None:
    if value is None or value == PLAN:
        return value
    if value == NO_LIMIT:
        return UNLIMITED
    try:
        return parse_size(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _count_or_plan(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | str | None:
    if value is None or value == PLAN:
        return value
    if value == NO_LIMIT:
        return UNLIMITED
    if not value.isdecimal():
        raise click.BadParameter(f"{value!r} is no number of files")
    return int(value)


@click.group()
def tenant() -> None:
    """Tenants: the customers, each with a private space of its own.

    Every change reaches all running gates within a second.
    """


@tenant.command("add")
@click.argument("name")
@click.option("--plan", help="A plan of the price list. Default: the one that the list names.")
@click.option(
    "--quota",
    metavar="SIZE",
    callback=_size_or_plan,
    help="Limit in bytes, such as 1GB, or `unlimited`, instead of the plan's.",
)
@click.option(
    "--files",
    metavar="N",
    callback=_count_or_plan,
    help="Limit of the number of files, or `unlimited`, instead of the plan's.",
)
@json_option
@click.pass_obj
def add_(
    app: Application, name: str, plan: str | None, quota: int | str | None, files: int | str | None, as_json: bool
) -> None:
    """Make a tenant with an empty space, served at /dav/NAME/. Add its first login with `kurado user add`."""
    plans = app.services.policies.get("plans")
    plan = plans.get(plan or plans.default).id
    demo = app.services.standings.required  # only a contract makes a customer (SVC-01)
    made = app.services.accounts.add_tenant(name, plan, own_limit(quota), own_limit(files), demo=demo, who=app.who)
    if as_json:
        show_json(as_data(app, made))
    else:
        click.echo(f"tenant {made.name} added: plan {made.plan}, {_quota(app, made)}, at /dav/{made.name}/")
        if demo:
            click.echo("it is a demo tenant and never billed: customers come by `kurado contract apply` (SVC-01)")


def own_limit(value: int | str | None) -> int | None:
    """A limit of the tenant's own; None (also for ``plan``) leaves it to the plan."""
    return value if isinstance(value, int) else None


@tenant.command("list")
@json_option
@click.pass_obj
def list_(app: Application, as_json: bool) -> None:
    """Show all tenants with what they use."""
    tenants = app.services.accounts.tenants()
    if as_json:
        show_json([as_data(app, one) for one in tenants])
        return
    rows = [
        {
            "tenant": one.name,
            "plan": one.plan,
            "state": one.state,
            "used": format_size(one.used_bytes),
            "quota": _size(_limits(app, one).bytes),
            "files": one.used_files,
            "added": iso(one.created_at),
        }
        for one in tenants
    ]
    show(False, rows, empty="no tenants yet: kurado tenant add NAME")


@tenant.command("show")
@click.argument("name", type=NAME)
@json_option
@click.pass_obj
def show_(app: Application, name: str, as_json: bool) -> None:
    """Show one tenant: usage, limits, logins."""
    one = app.services.accounts.tenant(name)
    users = app.services.accounts.users(name)
    data = as_data(app, one)
    data["users"] = [{"login": user.login, "role": str(user.role), "disabled": user.disabled} for user in users]
    if as_json:
        show_json(data)
        return
    limits = _limits(app, one)
    lines = {
        "tenant": one.name,
        "state": one.state,
        "plan": one.plan,
        "used": f"{format_size(one.used_bytes)} of {_size(limits.bytes)}"
        + (f", {format_size(one.reserved_bytes)} reserved by uploads" if one.reserved_bytes else ""),
        "files": f"{one.used_files} of {'unlimited' if limits.files is None else limits.files}",
        "added": iso(one.created_at),
        "address": f"/dav/{one.name}/",
        "logins": ", ".join(f"{user.login} ({user.role}{', disabled' * user.disabled})" for user in users) or "none",
    }
    for key, value in lines.items():
        click.echo(f"{key:<8}  {value}")


@tenant.command("set")
@click.argument("name", type=NAME)
@click.option("--plan", help="Another plan of the price list.")
@click.option(
    "--quota",
    metavar="SIZE",
    callback=_size_or_plan,
    help="Another limit in bytes, or `unlimited`; `plan` for the plan's.",
)
@click.option(
    "--files",
    metavar="N",
    callback=_count_or_plan,
    help="Another limit of the number of files, or `unlimited`; `plan` for the plan's.",
)
@json_option
@click.pass_obj
def set_(
    app: Application, name: str, plan: str | None, quota: int | str | None, files: int | str | None, as_json: bool
) -> None:
    """Change plan or limits. A limit below what is used refuses growth, and takes nothing away."""
    if plan is None and quota is None and files is None:
        raise click.UsageError("nothing to change: give --plan, --quota or --files")
    changes: dict[str, Any] = {}
    if plan is not None:
        _require_no_contract(app, name, "CHG-01", "a plan changes by a written request: kurado contract request-change")
        one = app.services.accounts.tenant(name)
        changes["plan"] = app.services.policies.get("plans", one).get(plan).id
    if quota is not None:
        changes["quota_bytes"] = own_limit(quota)
    if files is not None:
        changes["quota_files"] = own_limit(files)
    changed = app.services.accounts.set_plan(name, **changes, who=app.who)
    if as_json:
        show_json(as_data(app, changed))
    else:
        click.echo(f"tenant {changed.name}: plan {changed.plan}, {_quota(app, changed)}")


@tenant.command("suspend")
@click.argument("name", type=NAME)
@json_option
@click.pass_obj
def suspend(app: Application, name: str, as_json: bool) -> None:
    """Refuse all calls of a tenant within a second. Its data stays, and is billed and replicated on (LIM-04)."""
    _require_no_contract(app, name, "LIM-03", "a suspension rests on an overload case: kurado contract suspend")
    _done(app, app.services.accounts.suspend, name, as_json)


@tenant.command("resume")
@click.argument("name", type=NAME)
@json_option
@click.pass_obj
def resume(app: Application, name: str, as_json: bool) -> None:
    """End a suspension."""
    _done(app, app.services.accounts.resume, name, as_json)


@tenant.command("remove")
@click.argument("name", type=NAME)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def remove(app: Application, name: str, yes: bool, as_json: bool) -> None:
    """End a tenant for good and erase its files.

    Nobody gets in from now on; the steward erases the files bit by bit. The name is not given away again.
    """
    _require_no_contract(app, name, "END-07", "its data is kept after the end, then erased by itself (D-53)")
    one = app.services.accounts.tenant(name)
    if not yes:
        size = f"{one.used_files} files, {format_size(one.used_bytes)}"
        click.confirm(f"Erase all that {name} has ({size})? This cannot be undone", abort=True, err=True)
    _done(app, app.services.accounts.remove, name, as_json)


def _require_no_contract(app: Application, name: str, rule: str, instead: str) -> None:
    """What the terms give rules for is not done behind their back. ActRefused names the rule."""
    tenant = app.services.accounts.tenant(name)
    if tenant.id in app.services.standings.now().of_tenant:
        raise ActRefused(f"{name} is under contract; {instead}", rule)


def _done(app: Application, change: Callable[[str, str], Tenant], name: str, as_json: bool) -> None:
    changed = change(name, app.who)
    if as_json:
        show_json(as_data(app, changed))
    else:
        click.echo(f"tenant {changed.name} is {changed.state}")


def as_data(app: Application, one: Tenant) -> dict[str, Any]:
    """A tenant for programs; limits are those that count, None is unlimited."""
    limits = _limits(app, one)
    return {
        "name": one.name,
        "plan": one.plan,
        "state": str(one.state),
        "used_bytes": one.used_bytes,
        "used_files": one.used_files,
        "reserved_bytes": one.reserved_bytes,
        "quota_bytes": limits.bytes,
        "quota_files": limits.files,
        "demo": one.demo,
        "created_at": iso(one.created_at),
    }


def _limits(app: Application, one: Tenant) -> Limits:
    return app.services.host.limits(one)


def _quota(app: Application, one: Tenant) -> str:
    limits = _limits(app, one)
    return f"{_size(limits.bytes)}, " + ("any number of files" if limits.files is None else f"{limits.files} files")


def _size(number: int | None) -> str:
    return "unlimited" if number is None else format_size(number)
