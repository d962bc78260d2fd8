"""``user add|list|passwd|role|disable|enable|report``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from gateway.commands.acting import TIME, actor
from gateway.commands.app import Application, iso, json_option, show, show_json, tenant_argument
from gateway.domain.errors import NotFound
from gateway.domain.tenant import Role, User

F = TypeVar("F", bound=Callable[..., Any])
ROLES = click.Choice([str(role) for role in Role])


def add(cli: click.Group) -> None:
    cli.add_command(user)


def password_options(command: F) -> F:
    """The three ways to give a password; without any it is asked for twice on the terminal."""
    stdin = click.option("--password-stdin", is_flag=True, help="Read the password from the first line of the input.")
    generate = click.option("--generate", is_flag=True, help="Make a password and print it.")
    return stdin(generate(command))


@click.group()
def user() -> None:
    """Logins of tenants. Every change reaches all running gates within a second."""


@user.command("add")
@tenant_argument
@click.argument("login")
@click.option("--role", type=ROLES, default="editor", show_default=True, help="A viewer reads, an editor writes, an "
              "owner also releases the locks of others.")  # fmt: skip
@password_options
@json_option
@click.pass_obj
def add_(
    app: Application, tenant: str, login: str, role: str, password_stdin: bool, generate: bool, as_json: bool
) -> None:
    """Add a login to a tenant."""
    app.services.accounts.tenant(tenant)  # before anybody types a password
    password = _password(password_stdin, generate)
    made = app.services.accounts.add_user(tenant, login, password, Role(role), who=app.who)
    _show_one(f"{made.login} can log in to {tenant} as {made.role}", tenant, made, password, generate, as_json)


@user.command("passwd")
@tenant_argument
@click.argument("login")
@password_options
@json_option
@click.pass_obj
def passwd(app: Application, tenant: str, login: str, password_stdin: bool, generate: bool, as_json: bool) -> None:
    """Change a password; the old one ends within a second."""
    password = _password(password_stdin, generate)
    changed = app.services.accounts.set_password(tenant, login, password, who=app.who)
    _show_one(f"{login} of {tenant} has a new password", tenant, changed, password, generate, as_json)


@user.command("role")
@tenant_argument
@click.argument("login")
@click.argument("role", type=ROLES)
@json_option
@click.pass_obj
def role_(app: Application, tenant: str, login: str, role: str, as_json: bool) -> None:
    """Change what a login may do."""
    changed = app.services.accounts.set_role(tenant, login, Role(role), who=app.who)
    _show_one(f"{login} of {tenant} is {role}", tenant, changed, "", False, as_json)


@user.command("disable")
@tenant_argument
@click.argument("login")
@json_option
@click.pass_obj
def disable(app: Application, tenant: str, login: str, as_json: bool) -> None:
    """Lock one login out. The tenant's other logins go on (ACCT-03)."""
    changed = app.services.accounts.set_disabled(tenant, login, True, who=app.who)
    _show_one(f"{login} of {tenant} is disabled", tenant, changed, "", False, as_json)


@user.command("enable")
@tenant_argument
@click.argument("login")
@json_option
@click.pass_obj
def enable(app: Application, tenant: str, login: str, as_json: bool) -> None:
    """Let a disabled login in again."""
    changed = app.services.accounts.set_disabled(tenant, login, False, who=app.who)
    _show_one(f"{login} of {tenant} can log in again", tenant, changed, "", False, as_json)


@user.command("report")
@tenant_argument
@click.argument("login")
@click.option("--by", required=True, help="Who of the customer reports it.")
@click.option("--seen-at", type=TIME, default="now", help="When it was noticed. Default: now.")
@click.option("--text", required=True, help="What happened.")
@click.option("--lock", is_flag=True, help="Disable the login at once; never the tenant.")
@json_option
@click.pass_obj
def report(
    app: Application, tenant: str, login: str, by: str, seen_at: int, text: str, lock: bool, as_json: bool
) -> None:
    """Take a customer's report of the misuse of a login (ACCT-03). `user passwd` rotates its secret."""
    accounts = app.services.accounts
    owner = accounts.tenant(tenant)
    found = next((one for one in accounts.users(tenant) if one.login == login), None)
    if found is None:
        raise NotFound(f"tenant {tenant!r} has no user {login!r}")
    data = {"user": login, "by": by, "seen_at": seen_at, "text": text, "locked": lock}
    app.services.audit.note(actor(app), "account.misuse_reported", f"tenant:{tenant}", "ACCT-03", owner, data)
    changed = accounts.set_disabled(tenant, login, True, who=app.who) if lock else found
    _show_one(f"the report on {login} of {tenant} is on record", tenant, changed, "", False, as_json)


@user.command("list")
@tenant_argument
@json_option
@click.pass_obj
def list_(app: Application, tenant: str, as_json: bool) -> None:
    """Show the logins of a tenant."""
    rows = [_data(tenant, one) for one in app.services.accounts.users(tenant)]
    show(as_json, rows, empty=f"no logins yet: kurado user add {tenant} LOGIN")


def _password(from_stdin: bool, generate: bool) -> str:
    from gateway.service.passwords import new_password

    if from_stdin and generate:
        raise click.UsageError("--password-stdin and --generate exclude each other")
    if generate:
        return new_password()
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask for the password on: use --password-stdin or --generate")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


def _show_one(text: str, tenant: str, user: User, password: str, generated: bool, as_json: bool) -> None:
    if as_json:
        show_json({**_data(tenant, user), **({"password": password} if generated else {})})
        return
    click.echo(text)
    if generated:
        click.echo(f"password: {password}")


def _data(tenant: str, user: User) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "login": user.login,
        "role": str(user.role),
        "disabled": user.disabled,
        "created_at": iso(user.created_at),
    }
