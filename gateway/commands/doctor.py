"""``doctor``: examines everything that the daemon stands on."""

from __future__ import annotations

import logging
import sys

import click

from gateway import daemon
from gateway.commands.app import Application, json_option, quiet, show_json, told
from gateway.config import ConfigError, check_certificate
from gateway.db.schema import SchemaError
from gateway.domain.errors import KuradoError
from gateway.hooks import HealthFact
from gateway.pluginhost import PluginError
from gateway.service.health import ERROR, OK, WARNING

_MARKS = {OK: ("ok", "green"), WARNING: ("look", "yellow"), ERROR: ("BAD", "red")}


def add(cli: click.Group) -> None:
    cli.add_command(doctor)


@click.command()
@json_option
@click.pass_obj
def doctor(app: Application, as_json: bool) -> None:
    """Examine database, storage, flushing, disk space, clock, and what the plugins depend on.

    Works beside a running daemon and without one. The exit status is 0 when all is well or only deserves a look, 1 when
    something must be put right.
    """
    with quiet(logging.WARNING):  # what plugins would log is what the facts say
        facts = examine(app)
    if as_json:
        show_json([{"name": f.name, "level": f.level, "message": f.message, "value": f.value} for f in facts])
    else:
        width = max(len(fact.name) for fact in facts)
        for fact in facts:
            mark, colour = _MARKS[fact.level]
            click.echo(f"{click.style(f'{mark:>4}', fg=colour)}  {fact.name:<{width}}  {fact.message}")
    sys.exit(any(fact.level == ERROR for fact in facts))


def examine(app: Application) -> list[HealthFact]:
    """All facts; what stops the opening of a deployment is one of them."""
    try:
        config = app.config
        check_certificate(config)
    except ConfigError as error:
        return [HealthFact("configuration", ERROR, str(error))]
    facts = [HealthFact("configuration", OK, f"{config.file} is valid")]
    try:
        with daemon.open_deployment(config) as deployment:
            facts.append(HealthFact("schema", OK, "is the one that this version works with"))
            facts += deployment.services.health.examine()
            facts += policy_drift(deployment)
            facts += access_keys(deployment)
    except SchemaError as error:
        facts.append(HealthFact("schema", ERROR, str(error)))
    except PluginError as error:
        facts.append(HealthFact("plugins", ERROR, str(error)))
    except ConfigError as error:
        facts.append(HealthFact("configuration", ERROR, str(error)))
    except (KuradoError, OSError) as error:
        facts.append(HealthFact("opening", ERROR, told(error)))
    return facts


def access_keys(deployment: daemon.Deployment) -> list[HealthFact]:
    """Whether the master key is the one that the secrets of access keys were wrapped by; nothing without keys."""
    keys = deployment.services.accesskeys
    count = len(keys.all())
    try:
        unusable = keys.unusable()
    except KuradoError as error:
        return [HealthFact("access-keys", ERROR, told(error))]
    if unusable:
        message = f"{len(unusable)} of {count} were made under another master key: bring it back, or make new keys"
        return [HealthFact("access-keys", ERROR, message, float(len(unusable)))]
    return [HealthFact("access-keys", OK, f"{count} can be checked")] if count else []


def policy_drift(deployment: daemon.Deployment) -> list[HealthFact]:
    """Documents on disk that are not the version in force: an edited file does nothing until it is applied."""
    policies = deployment.services.policies
    facts = []
    for name, text in sorted(policies.defaults.items()):
        stored = policies.version(name)
        same = stored.text == text
        message = f"version {stored.version} is in force"
        if not same:
            message += "; the file on disk differs: kurado policy apply"
        facts.append(HealthFact(f"policy.{name}", OK if same else WARNING, message))
    return facts
