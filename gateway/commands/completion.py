"""``completion``: the shell's side of completing commands, tenants and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


def add(cli: click.Group) -> None:
    cli.add_command(completion)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands, options and tenants.

    \b
    bash:  kurado completion bash > ~/.local/share/bash-completion/completions/kurado
    zsh:   kurado completion zsh > "${fpath[1]}/_kurado"
    fish:  kurado completion fish > ~/.config/fish/completions/kurado.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "kurado", "_KURADO_COMPLETE").source())
