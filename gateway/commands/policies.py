"""``policy list|show|check|apply|assign|history``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from gateway.commands.app import Application, TenantName, iso, json_option, show, show_json, tenant_option
from gateway.domain.contract.policies import AGREED
from gateway.domain.errors import BadRequest
from gateway.domain.tenant import Tenant
from gateway.service.stored import PolicyVersion

YAML_SUFFIXES = (".yaml", ".yml")
DEFAULT = "default"


def add(cli: click.Group) -> None:
    cli.add_command(policy)


def _number_or_default(_ctx: click.Context, _param: click.Parameter, value: str) -> int | str:
    if value == DEFAULT:
        return value
    if not value.isdecimal():
        raise click.BadParameter(f"{value!r} is neither a version number nor `{DEFAULT}`")
    return int(value)


@click.group()
def policy() -> None:
    """Documents that an operator may change: price list, terms, content rules.

    Every version is kept, with who, when and digest. A change reaches all gates within a second; a document with
    a mistake is refused and what was in force stays in force.
    """


@policy.command("list")
@json_option
@click.pass_obj
def list_(app: Application, as_json: bool) -> None:
    """Show which versions are in force, for all tenants and for single ones."""
    policies = app.services.policies
    names = {one.id: one.name for one in app.services.accounts.tenants()}
    versions = {(one.name, one.version): one for one in policies.history()}
    rows = []
    for one in policies.in_force():
        stored = versions[one.name, one.version]
        if one.tenant_id is None or one.tenant_id in names:
            tenant = names[one.tenant_id] if one.tenant_id is not None else None
            rows.append({"policy": one.name, "tenant": tenant, **_version(stored, short=not as_json)})
    show(as_json, rows, empty="no policy is in force")


@policy.command("show")
@click.argument("name")
@click.option("--version", "number", type=click.IntRange(1), help="This version. Default: the one in force.")
@tenant_option
@json_option
@click.pass_obj
def show_(app: Application, name: str, number: int | None, tenant: str | None, as_json: bool) -> None:
    """Print a document, as `policy apply` takes it."""
    stored = app.services.policies.version(name, number, _tenant(app, tenant))
    if as_json:
        show_json({"policy": name, **_version(stored), "text": stored.text})
    else:
        click.echo(stored.text, nl=not stored.text.endswith("\n"))


@policy.command("check")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="FILE is a document of this policy. Default: the name of a YAML file, as in plans.yaml.")
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Say what the rules of FILE would make of this content.",
)
@click.option("--tenant", type=TenantName(), help="Explain by the rules of this tenant.")
@json_option
@click.pass_obj
def check(
    app: Application, file: Path, name: str | None, against: Path | None, tenant: str | None, as_json: bool
) -> None:
    """Check a policy document, or explain what the rules make of a content. Changes nothing.

    \b
    kurado policy check content.yaml                       is the document valid?
    kurado policy check content.yaml --against photo.jpg   each of its rules, applied to photo.jpg
    kurado policy check photo.jpg                          each rule in force, applied to photo.jpg

    The exit status is 1 when the document has a mistake.
    """
    policies = app.services.policies
    if name is None and file.suffix in YAML_SUFFIXES and file.stem in policies.kinds:
        name = file.stem
    if name is None and against is not None:
        raise click.UsageError(f"{file.name} is not named like a policy: say which one it is with --name")
    values = None
    if name is not None:
        values = {name: policies.check(name, _read(file))}
        if against is None:
            _valid(name, file, as_json)
            return
    elif file.suffix in YAML_SUFFIXES:
        click.echo(f"{file} is judged as a content; if it is a policy, say which one with --name", err=True)
    lines = policies.explain(against or file, _tenant(app, tenant), values)
    if as_json:
        show_json({"file": str(against or file), "lines": lines})
    else:
        for line in lines or ["no policy has rules about content"]:
            click.echo(line)
        if lines:
            click.echo("(no virus scanner was asked: uploads pass other plugins too)")


def _valid(name: str, file: Path, as_json: bool) -> None:
    if as_json:
        show_json({"policy": name, "file": str(file), "valid": True})
    else:
        click.echo(f"{file} is a valid {name} policy")


@policy.command("apply")
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@tenant_option
@json_option
@click.pass_obj
def apply(app: Application, name: str, file: Path, tenant: str | None, as_json: bool) -> None:
    """Store a document as a new version and put it in force.

    FILE `-` reads it from the input. With --tenant it is in force for that tenant only.
    """
    stored = app.services.policies.apply(name, _read(file), app.who, _tenant(app, tenant))
    _in_force(stored, tenant, as_json)


@policy.command("assign")
@click.argument("tenant", type=TenantName())
@click.argument("name")
@click.argument("version", callback=_number_or_default)
@json_option
@click.pass_obj
def assign(app: Application, tenant: str, name: str, version: int | str, as_json: bool) -> None:
    """Put a stored version in force for one tenant.

    VERSION `default` gives it what all have. `kurado policy apply` without --tenant changes what all have; the text of
    an old version brings it back.
    """
    one = app.services.accounts.tenant(tenant)
    policies = app.services.policies
    if isinstance(version, int):
        stored = policies.assign(name, version, app.who, one)
    else:
        policies.unassign(name, one, app.who)
        stored = policies.version(name)
    _in_force(stored, tenant, as_json)


@policy.command("history")
@click.argument("name", required=False)
@json_option
@click.pass_obj
def history(app: Application, name: str | None, as_json: bool) -> None:
    """Show all versions of one policy or of all: who stored them, and when."""
    rows = [{"policy": one.name, **_version(one, short=not as_json)} for one in app.services.policies.history(name)]
    show(as_json, rows, empty="no versions yet")


def _in_force(stored: PolicyVersion, tenant: str | None, as_json: bool) -> None:
    if as_json:
        show_json({"policy": stored.name, "tenant": tenant, **_version(stored)})
    else:
        click.echo(f"version {stored.version} of {stored.name} is in force for {tenant or 'all tenants'}")
        if tenant is None and stored.name in (*AGREED, "plans"):
            click.echo(
                "customers under contract keep what they agreed to until they are told: kurado terms revise", err=True
            )


def _version(stored: PolicyVersion, *, short: bool = False) -> dict[str, Any]:
    digest = stored.digest[:12] if short else stored.digest
    return {"version": stored.version, "digest": digest, "who": stored.who, "at": iso(stored.at)}


def _tenant(app: Application, name: str | None) -> Tenant | None:
    return app.services.accounts.tenant(name) if name else None


def _read(file: Path) -> str:
    try:
        if str(file) == "-":
            text: str = sys.stdin.buffer.read().decode()
            return text
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(f"{file} is not UTF-8 at byte {error.start}") from error
