"""``outbox list|retry|skip|forget``: events that a subscriber has not handled yet."""

from __future__ import annotations

import click

from gateway.commands.acting import actor
from gateway.commands.app import Application, json_option, show


def add(cli: click.Group) -> None:
    cli.add_command(outbox)


@click.group()
def outbox() -> None:
    """Look after events that a plugin has not handled yet."""


@outbox.command("list")
@json_option
@click.pass_obj
def list_(app: Application, as_json: bool) -> None:
    """Show what each plugin still has before it, and what is parked.

    An event that fails ten times is parked: nothing after it is delivered to that plugin for that tenant until `outbox
    retry` or `outbox skip`. Trouble with a replica or database is waited out and never parks anything.
    """
    now = app.clock()
    lines = app.services.outbox.backlog()
    show(
        as_json,
        [
            {
                "subscriber": line.subscriber,
                "tenant": line.tenant,
                "state": "parked" if line.parked else "waiting" if line.attempts else "due",
                "events": line.last_seq - line.seq,
                "next_event": line.seq + 1,
                "age_seconds": None if line.oldest_at is None else max(0, now - line.oldest_at) // 1000,
                "attempts": line.attempts,
                "error": line.error,
            }
            for line in lines
        ],
        empty="every event was handled",
    )


@outbox.command()
@click.argument("subscriber")
@click.argument("tenant")
@click.pass_obj
def retry(app: Application, subscriber: str, tenant: str) -> None:
    """Take a parked or waiting log up again at once."""
    cursor = app.services.outbox.retry(subscriber, tenant)
    click.echo(f"{subscriber} goes on with event {cursor.seq + 1} of {tenant}")


@outbox.command()
@click.argument("subscriber")
@click.argument("tenant")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def skip(app: Application, subscriber: str, tenant: str, yes: bool) -> None:
    """Leave out the one event that a plugin cannot handle, and go on with the next.

    A replica misses that change until `replica resync`; metering misses its figures until the tenant's next event.
    """
    event = app.services.outbox.next_event(subscriber, tenant)
    if not yes:
        ask = f"{subscriber} will never see event {event.seq} ({event.kind}) of {tenant}. Skip it?"
        click.confirm(ask, abort=True, err=True)
    cursor = app.services.outbox.skip(subscriber, tenant, event.seq)
    app.services.audit.note(actor(app), "outbox.skipped", f"outbox:{subscriber}:{tenant}:{cursor.seq}", "P-6")
    click.echo(f"{subscriber} skipped event {cursor.seq} of {tenant}")


@outbox.command()
@click.argument("subscriber")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def forget(app: Application, subscriber: str, yes: bool) -> None:
    """Stop keeping events for a plugin that was removed from gateway.yaml."""
    app.services.outbox.check_forgotten(subscriber)
    if not yes:
        click.confirm("A plugin that comes back begins with the events that are left. Forget it?", abort=True, err=True)
    app.services.outbox.forget(subscriber)
    app.services.audit.note(actor(app), "outbox.forgotten", f"outbox:{subscriber}", "P-6")
    click.echo(f"events are no longer kept for {subscriber}")
