"""``board post|retract|show|write``."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.board.words import PHASES, STATES
from gateway.commands.acting import actor, jst
from gateway.commands.app import Application, json_option, show


def add(cli: click.Group) -> None:
    cli.add_command(board)


@click.group()
def board() -> None:
    """The System Information board and status site: written by the steward, served at /status/ and from its folder."""


def _text(given: str | None, file: Path | None) -> str:
    if given is not None:
        return given
    return file.read_text("utf-8") if file else ""


@board.command("post")
@click.option("--title-ja", required=True)
@click.option("--title-en", required=True)
@click.option("--text-ja", help="The text; paragraphs are separated by empty lines.")
@click.option("--text-en")
@click.option("--file-ja", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The text from a file.")
@click.option("--file-en", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--mail/--no-mail", default=True, show_default=True, help="Also to every customer in use.")
@click.pass_obj
def post(
    app: Application,
    title_ja: str,
    title_en: str,
    text_ja: str | None,
    text_en: str | None,
    file_ja: Path | None,
    file_en: Path | None,
    mail: bool,
) -> None:
    """Tell all customers something. It is public: name no customer.

    Revisions, an end of the service and a transfer of the business have commands of their own, and post themselves.
    """
    texts = {"text_ja": _text(text_ja, file_ja), "text_en": _text(text_en, file_en)}
    params = {"title_ja": title_ja, "title_en": title_en, **texts}
    number = app.services.notices.book.announce(actor(app), params, by_mail=mail)
    click.echo(f"announcement {number} is recorded; the steward posts it")


@board.command("retract")
@click.argument("announcement")
@click.option("--reason", required=True)
@click.pass_obj
def retract(app: Application, announcement: str, reason: str) -> None:
    """Take an announcement from the board. It stays on record, and what was mailed stays mailed."""
    app.services.notices.book.retract(actor(app), announcement, reason)
    click.echo(f"announcement {announcement} is taken from the board")


@board.command("show")
@json_option
@click.pass_obj
def show_(app: Application, as_json: bool) -> None:
    """Show what the board shows now."""
    found = app.services.board.board()
    rows = [
        {
            "entry": one.id,
            "phase": PHASES[one.phase][1],
            "title": one.title[1],
            "from": jst(one.start),
            "to": jst(one.end),
            "posted": jst(one.published_at),
        }
        for one in found.entries
    ]
    if not as_json:
        click.echo(STATES[found.state][1])
    show(as_json, rows, empty="nothing is posted")


@board.command("write")
@click.pass_obj
def write(app: Application) -> None:
    """Write the board now. The steward does so by itself, at every change and once a minute."""
    writer = app.services.board
    writer.run(anyway=True)
    click.echo(f"written to {writer.folder}")
