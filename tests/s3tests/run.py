"""Runs the cases of ceph/s3-tests that apply against a gateway of its own, and prints the table of docs/s3.md.

    python tests/s3tests/run.py CLONE [--python PYTHON] [CASES …]

CLONE is a clone of https://github.com/ceph/s3-tests; PYTHON one that has what its requirements.txt names (gevent and
tox are not needed) and pytest-timeout. Which cases are left out, and why, stands in left_out.txt; nothing of the suite
is part of this project. Ends with 1 when a smaller share of the cases passes than LEAST.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from gateway.testing.s3 import S3_CONFIG
from gateway.testing.server import LOGIN, TENANT, RunningGateway, start_gateway

HERE = Path(__file__).resolve().parent
CASES = ("s3tests/functional/test_s3.py", "s3tests/functional/test_headers.py")
LEAST = 0.97
_OPTIONS = ("-p", "selection", "-p", "no:cacheprovider", "-q", "--timeout", "180", "--tb", "short")


def main() -> int:
    parser = argparse.ArgumentParser(description="ceph/s3-tests against a gateway")
    parser.add_argument("clone", type=Path)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("cases", nargs="*", default=CASES)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.json"
        with start_gateway(Path(folder) / "gateway", gates=2, config=S3_CONFIG) as gateway:
            settings = Path(folder) / "s3tests.conf"
            settings.write_text(configuration(gateway))
            env = {
                **os.environ,
                "S3TEST_CONF": str(settings),
                "KURADO_LEFT_OUT": str(HERE / "left_out.txt"),
                "KURADO_RESULTS": str(results),
                "PYTHONPATH": os.pathsep.join([str(HERE), str(asked.clone.resolve())]),
            }
            command = [asked.python, "-m", "pytest", *_OPTIONS, *asked.cases]
            subprocess.run(command, cwd=asked.clone, env=env, check=False)
        return report(json.loads(results.read_text()))


def configuration(gateway: RunningGateway) -> str:
    """What the suite wants to know: every account of it is a tenant here."""
    address = urlsplit(gateway.s3_url)
    text = f"[DEFAULT]\nhost = {address.hostname}\nport = {address.port}\nis_secure = False\nssl_verify = False\n"
    text += "[fixtures]\nbucket prefix = kurado-{random}-\n" + _account(gateway, "s3 main", TENANT, LOGIN)
    for section in ("s3 alt", "s3 tenant", "iam", "iam root", "iam alt root"):
        name = section.replace(" ", "-")
        gateway.add_tenant(name, login=f"owner-{name}")
        text += _account(gateway, section, name, f"owner-{name}")
    return text


def _account(gateway: RunningGateway, section: str, tenant: str, login: str) -> str:
    key, secret = gateway.add_key(tenant, login)
    named = f"display_name = {tenant}\nuser_id = {tenant}\nemail = {tenant}@example.com\ntenant = {tenant}\n"
    return f"[{section}]\n{named}api_name =\naccess_key = {key}\nsecret_key = {secret}\n"


def report(results: dict[str, dict[str, str]]) -> int:
    """Prints what ran, what failed and what was left out."""
    ran = {name: outcome for name, outcome in results["outcomes"].items() if outcome != "skipped"}
    passed = [name for name, outcome in ran.items() if outcome == "passed"]
    print(f"\n| | cases |\n|---|---|\n| run | {len(ran)} |\n| passed | {len(passed)} |")
    for name in sorted(set(ran) - set(passed)):
        print(f"| failed: `{name}` | |")
    for reason, count in sorted(results["left_out"].items(), key=lambda one: -int(one[1])):
        print(f"| left out: {reason} | {count} |")
    return 0 if ran and len(passed) >= LEAST * len(ran) else 1


if __name__ == "__main__":
    raise SystemExit(main())
