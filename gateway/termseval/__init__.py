"""The JSON form of the rules: ``{"fn", "input"}`` in, the answer out, as the test vectors define it.

No rule is applied here: each entry reads the input, calls the function of ``gateway.domain.contract`` (or the billing
calendar) that the product uses, and writes its answer. Errors of reading are BAD_DATE, BAD_TIME and MONEY_INVALID.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping

from gateway.domain.calendar import CalendarError
from gateway.termseval import contracts, levels
from gateway.termseval.values import Answer, Input

log = logging.getLogger("kurado.terms")

_NONSENSE = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What reading a line of any shape may raise; all else is a fault of ours, and logged as one."""

FUNCTIONS: Mapping[str, Callable[[Input], Answer]] = {
    function.__name__: function
    for function in (
        contracts.billing_calendar,
        contracts.billing_period_of,
        contracts.contract_term,
        contracts.contract_status,
        contracts.notice_deadline,
        contracts.earliest_event,
        contracts.notice_effect,
        contracts.terms_in_force,
        contracts.maintenance_calendar,
        contracts.plan_fees,
        contracts.plan_change,
        contracts.cancellation,
        contracts.invoices,
        contracts.discontinuation,
        levels.outage_accounting,
        levels.sla_credit,
        levels.claim_check,
        levels.provider_termination,
        levels.disclosure,
        levels.refuse_data,
        levels.channel_scope,
        levels.access_decision,
    )
}


def evaluate(fn: str, given: Input) -> Answer:
    """The answer of one function; ``{"error": CODE}`` where the rules refuse."""
    if fn not in FUNCTIONS:
        return {"error": "FUNCTION_UNKNOWN"}
    try:
        return FUNCTIONS[fn](given)
    except CalendarError as error:
        return {"error": error.code}
    except OverflowError:
        return {"error": "BAD_DATE"}  # the answer would lie outside the calendar of years


def evaluate_lines(lines: Iterable[str | bytes]) -> Iterator[str]:
    """One JSON answer (in ASCII) for each non-empty line, in order. A line that is no request answers REQUEST_INVALID,
    whatever is wrong with it: the lines after it are answered all the same."""
    for line in lines:
        if not line.strip():
            continue
        try:
            request = json.loads(line)
            fn, given = request["fn"], request["input"]
            answer = evaluate(fn, given)
        except Exception as error:  # a foreign line: any shape of nonsense
            if not isinstance(error, _NONSENSE):
                log.exception("a rule failed")
            answer = {"error": "REQUEST_INVALID", "reason": f"{type(error).__name__}: {error}"}
        yield json.dumps(answer)
