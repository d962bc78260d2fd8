"""``init``: the files to begin with."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

import click

from gateway.commands.app import json_option, show_json

SAMPLE = "sample.yaml"
CONFIG_FILE = "gateway.yaml"


def add(cli: click.Group) -> None:
    cli.add_command(init)


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@json_option
def init(folder: Path, as_json: bool) -> None:
    """Write gateway.yaml and a folder of policies into DIR.

    Nothing is overwritten: if one of the files is there already, none is written. The policies are the defaults of this
    version; the first start stores them in the database, afterwards `kurado policy apply` changes them.
    """
    contents = _documents(folder)
    there = [file for file in contents if file.exists() or file.is_symlink()]
    if there:
        raise click.ClickException(f"{there[0]} is there already; nothing was written")
    for file, text in contents.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640), "w", encoding="utf-8") as new:
            new.write(text)
    if as_json:
        show_json([str(file) for file in contents])
        return
    for file in contents:
        click.echo(f"wrote {file}")
    config = folder / CONFIG_FILE
    click.echo(f"\nNext:\n  kurado --config {config} doctor\n  kurado --config {config} tenant add NAME")
    click.echo(f"  kurado --config {config} user add NAME LOGIN\n  kurado --config {config} serve")


def _documents(folder: Path) -> dict[Path, str]:
    from gateway.policyfiles import SUFFIX, packaged_documents

    sample = files("gateway").joinpath(SAMPLE).read_text("utf-8")
    documents = {folder / CONFIG_FILE: sample}
    for name, text in sorted(packaged_documents().items()):
        documents[folder / "policies" / (name + SUFFIX)] = text
    return documents
