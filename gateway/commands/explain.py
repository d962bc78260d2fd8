"""``explain``: the rule, its clause, and the figures behind an invoice line, a refusal or an act."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from gateway.commands.acting import jst
from gateway.commands.app import Application, json_option, show_json
from gateway.domain.contract.explaining import values_behind
from gateway.domain.contract.values import SEED, ContractValues
from gateway.domain.errors import NotFound
from gateway.rules import rulebook

if TYPE_CHECKING:
    from gateway.domain.rulebook import Rule
    from gateway.service.explaining import Explained

_RULE = re.compile(r"[A-Za-z]+(-[A-Za-z]+)?-\d+")
_INSTANTS = ("at", "start", "end", "suspended_from", "suspended_to")
_WIDTH = 9


def add(cli: click.Group) -> None:
    cli.add_command(explain)


@click.command("explain")
@click.argument("what")
@json_option
@click.pass_obj
def explain(app: Application, what: str, as_json: bool) -> None:
    """Say which rule stands behind WHAT, where it is in the terms, and which figures were used.

    \b
    kurado explain KRD-000001       an invoice, line by line
    kurado explain KRD-000001/2     its second line
    kurado explain 17               a refusal, by its number in `kurado refusals list`
    kurado explain act:42           an act, by its number in a contract's history or the audit log
    kurado explain END-03           a rule; D-49 the rule that holds a decision
    """
    if _RULE.fullmatch(what) and (rule := _rule(what)) is not None:
        _print_rule(app, rule, as_json)
        return
    found = _found(app, what)
    if as_json:
        show_json(_data(app, found))
    else:
        for line in _lines(app, found):
            click.echo(line)


def _rule(what: str) -> Rule | None:
    try:
        return rulebook().get(what)
    except NotFound:
        return None


def _found(app: Application, what: str) -> Explained:
    explaining = app.services.contracts.explaining
    kind, _, number = what.rpartition(":")
    if kind in ("", "refusal") and number.isdecimal():
        app.note("refusals.read", f"refusal:{number}", "PRV-01")
        return explaining.refusal(int(number))
    if kind == "act" and number.isdecimal():
        return explaining.act(int(number))
    invoice, _, line = what.removeprefix("invoice:").partition("/")
    if line and not line.isdecimal():
        raise click.UsageError(f"{line!r} is no number of a line")
    try:
        return explaining.invoice(invoice, int(line) if line else None)
    except NotFound as error:
        raise NotFound(f"{error.message}; and it is no rule, no number of a refusal, and no act:NUMBER") from None


# -- for programs -----------------------------------------------------------------------------------------------------


def _data(app: Application, found: Explained) -> dict[str, Any]:
    values = app.services.policies.values_of(found.contract, found.day)
    data: dict[str, Any] = {
        "what": found.what,
        "rules": [_rule_data(rule, values) for rule in rulebook().named_in(found.rules)],
        "figures": _plain(found.figures),
    }
    if found.parts:
        data["parts"] = [_data(app, part) for part in found.parts]
    return data


def _rule_data(rule: Rule, values: ContractValues) -> dict[str, Any]:
    return {
        "rule": rule.id,
        "title": rule.title,
        "clause": rule.clause or None,
        "section": rule.section,
        "text": rule.text,
        "values": {
            path: {"value": _plain(value), "clause": clause}
            for path, (value, clause) in values_behind(rule.id, values).items()
        },
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: jst(one) if _is_instant(key, one) else _plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if hasattr(value, "basis_points"):
        return {"since": value.since.isoformat(), "basis_points": value.basis_points}
    return value.isoformat() if isinstance(value, date) else value


def _is_instant(key: str, value: object) -> bool:
    return (key in _INSTANTS or key.endswith("_at")) and isinstance(value, int) and value > 10**11


# -- for people -------------------------------------------------------------------------------------------------------


def _print_rule(app: Application, rule: Rule, as_json: bool) -> None:
    from gateway.config import ConfigError

    try:
        values = app.services.policies.values()
    except ConfigError:  # a rule can be read anywhere
        values = SEED
    if as_json:
        show_json(_rule_data(rule, values))
    else:
        for line in _rule_lines(rule, values):
            click.echo(line)


def _lines(app: Application, found: Explained) -> Iterator[str]:
    yield found.what
    data = _data(app, found)
    values = app.services.policies.values_of(found.contract, found.day)
    for rule in rulebook().named_in(found.rules):
        yield from _rule_lines(rule, values)
    if not rulebook().named_in(found.rules):
        yield f"{'rule':<{_WIDTH}} {found.rules or 'no rule of the terms: a limit of the protocol or of this gateway'}"
    for key, value in data["figures"].items():
        yield f"{'figure':<{_WIDTH}} {key.replace('_', ' ')}: {_text(value)}"
    for part in found.parts:
        yield ""
        yield from _lines(app, part)


def _rule_lines(rule: Rule, values: ContractValues) -> Iterator[str]:
    yield f"{'rule':<{_WIDTH}} {rule.id} {rule.title}".rstrip()
    yield f"{'clause':<{_WIDTH}} {rule.clause or rule.section}"
    yield f"{'says':<{_WIDTH}} {rule.text}"
    for path, (value, clause) in values_behind(rule.id, values).items():
        yield f"{'value':<{_WIDTH}} {path}: {_text(_plain(value))}" + (f" ({clause})" if clause else "")


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(one)}" for key, one in value.items() if one not in (None, ""))
    if isinstance(value, list):
        return ", ".join(_text(one) for one in value)
    return "none" if value is None else str(value)
