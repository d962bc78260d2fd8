"""Reading and giving out what the provider knows of a customer (RULES CUS-02, CUS-03, ACCT-04, PRV-01, PRV-05).

Application data is read for a purpose, and information goes to a third party on a ground of the terms; each is an act
before anything is shown.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.domain.acts import Act
from gateway.domain.contract.privacy import may_disclose, may_use
from gateway.service.contracts.book import Actor, ContractBook, require, rule_named

_RULES = {
    "account_info": "ACCT-04",
    "registered_data": "PRV-03",
    "customer_info": "CUS-03",
    "access_log": "PRV-05",
    "traffic_record": "PRV-05",
}


class Disclosures:
    def __init__(self, book: ContractBook) -> None:
        self._book = book

    def read(self, name: str, actor: Actor, purpose: str) -> Mapping[str, str]:
        """A customer's application data, for one purpose of §20(1). ActRefused CUS-02 for any other."""
        contract = self._book.get(name)
        values = self._book.values(contract)
        allowed = may_use(purpose, values)
        require(allowed, f"application data is used for {', '.join(values.purposes)} only", "CUS-02")
        self._note(name, contract.tenant_id, actor, "customer.read", "CUS-02", purpose, {"purpose": purpose})
        return self._book.db.read(lambda tx: tx.documents.customer(name))

    def disclose(
        self, name: str, actor: Actor, *, info: str, ground: str, item: int | None, to: str, reason: str
    ) -> str:
        """Records that information of a customer is given to a third party; returns the rule that allows it.

        ActRefused with that rule on a ground that the terms do not have. What is given out is taken from the commands
        that show it: content by break-glass alone.
        """
        contract = self._book.get(name)
        rule = _RULES.get(info, "CUS-03")
        with rule_named():
            allowed = may_disclose(info, ground, item, values=self._book.values(contract))
        require(allowed, f"{info} is not given out on the ground {ground!r}{f', item {item}' if item else ''}", rule)
        require(bool(to.strip() and reason.strip()), "name who gets it, and why", rule)
        told = f"9-{item}" if item else ground
        data = {"info": info, "to": to, "reason": reason}
        self._note(name, contract.tenant_id, actor, "disclosure.made", rule, told, data)
        return rule

    def _note(
        self, name: str, tenant_id: int, actor: Actor, kind: str, rule: str, ground: str, data: Mapping[str, object]
    ) -> None:
        act = Act(
            f"disclosure:{name}", kind, self._book.clock(), actor.name, str(actor.role), rule, tenant_id, ground,
            data={"contract": name, **data},
        )  # fmt: skip
        self._book.db.write(lambda tx: tx.acts.append(act)).result()
