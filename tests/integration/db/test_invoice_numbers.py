"""Numbers of invoices on both databases: two gateways close at once, and there is no gap and nothing twice."""

from __future__ import annotations

import threading
from datetime import date
from pathlib import Path

from gateway import config
from gateway.daemon import open_deployment
from gateway.service.services import Services
from gateway.testing.contracts import ANN, ISSUER, begin, on
from gateway.testing.space import Clock, open_space


def test_two_gateways_that_close_at_once_leave_no_gap_and_issue_nothing_twice(url: str, tmp_path: Path) -> None:
    names = ("one", "two", "three")
    with open_space(tmp_path, plugins=["contract_state"], clock=Clock(), database=url) as space:
        space.services.policies.apply("issuer", ISSUER, "ann")
        for name in names:
            begin(space, name, date(2027, 4, 5))
        on(space, date(2027, 7, 21))
        with open_deployment(config.load(space.deployment.config.file, {}), clock=space.clock) as other:

            def close(services: Services) -> None:
                list(services.billing.closing.close(date(2027, 6, 21), ANN))

            sides = (space.services, other.services, space.services, other.services)
            threads = [threading.Thread(target=close, args=(side,)) for side in sides]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            found = other.services.billing.invoices.all()
        assert [one.number for one in found] == [f"KRD-{place:06d}" for place in range(1, 4 * len(names) + 1)]
        assert len({(one.contract, one.key) for one in found}) == len(found)
        assert space.services.audit.verify()[2] is None
