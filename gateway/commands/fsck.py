"""``fsck``: compares database and storage."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from gateway.commands.acting import actor
from gateway.commands.app import Application, json_option, show_json


def add(cli: click.Group) -> None:
    cli.add_command(fsck)


@click.command()
@click.option("--repair", is_flag=True, help="Put right what can be put right without the replica.")
@click.option("--deep", is_flag=True, help="Read every blob and compare its digest.")
@json_option
@click.pass_obj
def fsck(app: Application, repair: bool, deep: bool, as_json: bool) -> None:
    """Compare what the database says with what is stored.

    Looks at the usage of each tenant against its files, blobs that are gone or have the wrong size, blobs that no file
    names, and what processes left that ended without stopping. May run beside a serving daemon. The exit status is 0
    when nothing is wrong or all of it was repaired.
    """
    findings = []
    for finding in app.services.fsck.run(repair=repair, deep=deep):
        findings.append(finding)
        if not as_json:
            done = " (repaired)" if finding.repaired else ""
            click.echo(f"{finding.kind}  {finding.subject}  {finding.message}{done}")
    left = [finding for finding in findings if not finding.repaired]
    if len(left) < len(findings):
        app.services.audit.note(actor(app), "fsck.repaired", f"fsck:{len(findings) - len(left)}", "P-6")
    if as_json:
        show_json([asdict(finding) for finding in findings])
    elif not findings:
        click.echo("database and storage agree")
    elif left and not repair:
        click.echo(f"{len(findings)} findings; `kurado fsck --repair` puts right what it can", err=True)
    sys.exit(bool(left))
