"""``kurado terms``: the rules of the terms of service, asked from outside."""

from __future__ import annotations

import sys

import click


def add(cli: click.Group) -> None:
    """Adds the group."""
    cli.add_command(terms)


@click.group()
def terms() -> None:
    """The terms of service as executable rules."""


@terms.command(name="eval")
def eval_() -> None:
    """Answers requests to the rules, one JSON object per line.

    Reads {"fn": NAME, "input": {...}} lines from standard input and writes one answer per line, in order; a request
    that the rules refuse is answered {"error": CODE}. The functions are those that invoices, contracts and access
    decisions use. Needs no configuration.

    \b
    Example:
      echo '{"fn": "plan_fees", "input": {"capacity_fee": 30000, "option_fee": 5000}}' | kurado terms eval
    """
    from gateway.termseval import evaluate_lines

    for answer in evaluate_lines(sys.stdin):
        click.echo(answer)
