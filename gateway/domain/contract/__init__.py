"""The terms of service as pure functions (docs/rules.md): no clock, no I/O, JST dates, whole yen.

Every function takes frozen values and returns frozen values; a request that the rules refuse raises
:class:`~gateway.domain.contract.values.RuleError` with the code of the refusal.
"""
