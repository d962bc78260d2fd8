"""What the replica can attest of a day's backup (RULES SLA-DP-02, D-59): complete, and compared with the source."""

from __future__ import annotations

from gateway.hooks import PluginContext
from plugins._replica import Replica
from plugins._replica_checks import verify


def attested(context: PluginContext, replica: Replica, max_lag_ms: int) -> dict[int, str]:
    """Tenant id → evidence, of those whose replica is complete (what waits is younger than ``max_lag_ms``) and shows no
    difference from the source. The same words for all of one look, so that they are one act."""
    findings = verify(context, replica, quick=True)
    now = context.clock()
    progress = context.services.snapshots.progress(context.name)
    names = {one.tenant for one in progress}
    wrong = {problem.partition(":")[0] for problem in findings.problems}
    if not wrong <= names:
        return {}  # a blob, an act or a paper: nobody can say whose backup lacks it
    evidence = f"compared with the source: {findings.blobs} blobs, {findings.events} events, {findings.acts} acts"
    return {
        one.tenant_id: evidence
        for one in progress
        if one.tenant not in wrong and (one.oldest_at is None or now - one.oldest_at <= max_lag_ms)
    }
