"""``demo``: a gateway to try out, from nothing, with one command."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from gateway import config as configuration
from gateway import daemon
from gateway.commands.mounting import mount_help
from gateway.commands.serving import run_serve
from gateway.domain.errors import AlreadyExists
from gateway.domain.tenant import Role

TENANT = LOGIN = "demo"
PORT = 8080
_PASSWORD_FILE = "demo-password"  # noqa: S105 the name of a file
_KEY_FILE = "demo-access-key"
_CONFIG = """\
# Made by `kurado demo`: a gateway to try out. Content that no scanner could judge is let in and marked (demo: true),
# so do not keep anything of value here. `kurado init DIR` writes a configuration for real use.
version: 1
demo: true
data_dir: data
storage: {backend: local}
gates: 2
plugins:
  - name: contract_state
  - name: quota
  - name: content_policy
  - name: virus_scan
    on_error: mark
  - name: replication
    to: {backend: local, path: ../replica}
  - name: metering
  - name: billing_export
"""


def add(cli: click.Group) -> None:
    cli.add_command(demo)


@click.command()
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-data"),
    show_default=True,
    help="Where everything is kept; made if missing, gone on with otherwise.",
)
@click.option("--port", type=click.IntRange(0, 65533), help="WebDAV on this port of 127.0.0.1, desk and S3 on the next "
              f"two; 0 takes free ones.  [default: {PORT}, or free ones if it is taken]")  # fmt: skip
def demo(folder: Path, port: int | None) -> None:
    """Make a gateway with a demo tenant in a folder of its own, say how to mount it, and serve until Ctrl-C.

    Uses a clamd of this machine if one answers. Otherwise content is marked as not scanned, and scanned later when a
    clamd appears.
    """
    file = _prepare_folder(folder)
    if port is None:
        port = _default_port()
    environ = {
        **os.environ,
        "KURADO_CONFIG": str(file),
        "KURADO_LISTEN_DAV": f"127.0.0.1:{port}",
        "KURADO_LISTEN_DESK": f"127.0.0.1:{port + 1 if port else 0}",
        "KURADO_LISTEN_S3": f"127.0.0.1:{port + 2 if port else 0}",
    }
    os.environ.update(environ)
    password = _password(folder)

    def when_ready(urls: Mapping[str, str]) -> None:
        click.echo(mount_help(urls, TENANT, LOGIN, password, _kept_key(folder)))

    with (folder / "kurado.log").open("a") as log_file:
        click.echo(f"starting; the log is {log_file.name}")
        status = run_serve(
            configuration.load(file, environ),
            lambda: configuration.load(file, environ),
            when_ready,
            reloads=False,
            prepare=lambda deployment: _prepare(deployment, folder, password),
            log_file=log_file,
        )
    sys.exit(status)


def _default_port() -> int:
    """PORT, or 0 where it or one of the two beside it is taken: a newcomer should not have to look for a free one."""
    for number in (PORT, PORT + 1, PORT + 2):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                click.echo(f"port {number} is taken: free ones are used")
                return 0
    return PORT


def _prepare_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "gateway.yaml"
    if not file.exists():
        file.write_text(_CONFIG)
    return file.absolute()


def _password(folder: Path) -> str:
    """The demo user's password, made at the first start and kept for the next ones."""
    file = folder / _PASSWORD_FILE
    if not file.exists():
        _keep(file, secrets.token_urlsafe(9))
    return file.read_text().strip()


def _keep(file: Path, secret: str) -> None:
    with os.fdopen(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as new:
        new.write(secret + "\n")


def _kept_key(folder: Path) -> tuple[str, str]:
    """The demo user's access key and its secret."""
    key, _, secret = (folder / _KEY_FILE).read_text().strip().partition(" ")
    return key, secret


def _prepare(deployment: daemon.Deployment, folder: Path, password: str) -> None:
    """The demo tenant, its user and access key, and a look at the scanner."""
    accounts = deployment.services.accounts
    with contextlib.suppress(AlreadyExists):
        accounts.add_tenant(TENANT, deployment.services.policies.get("plans").default, demo=True)
    try:
        accounts.add_user(TENANT, LOGIN, password, Role.OWNER)
    except AlreadyExists:
        accounts.set_password(TENANT, LOGIN, password)
    if not (folder / _KEY_FILE).exists():
        key, secret = deployment.services.accesskeys.create(TENANT, LOGIN, "demo")
        _keep(folder / _KEY_FILE, f"{key.id} {secret}")
    scanner = [fact for check in deployment.host.health_checks() if (fact := check()).name.startswith("virus_scan")]
    if any(fact.level == "error" for fact in scanner):
        click.secho(
            "WARNING: no virus scanner answers. Uploads are NOT scanned; they are let in and marked,\n"
            "         and scanned as soon as a clamd appears (Debian: apt install clamav-daemon).",
            fg="red",
            bold=True,
            err=True,
        )
