"""Dates on the command line."""

from __future__ import annotations

from datetime import date
from typing import Any

import click

from gateway.domain.calendar import CalendarError, parse_date


def jst_date(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    """Callback of an option: ``YYYY-MM-DD``, a JST day, as a date."""
    if value is None or isinstance(value, date):
        return value
    try:
        return parse_date(value)
    except CalendarError as error:
        raise click.BadParameter(str(error), context, parameter) from None
