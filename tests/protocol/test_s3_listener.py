"""The S3 listener lives as long as the daemon: over gates that die and configurations that change."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import requests
import yaml

from gateway.testing.s3 import S3_CONFIG, S3Access, access
from gateway.testing.server import start_gateway
from gateway.testing.waiting import until


def status(s3: S3Access, region: str) -> int:
    try:
        return s3.signed("GET", "/", region=region).status
    except OSError:
        return 0


def test_a_gate_that_dies_and_a_reload_keep_the_listener(tmp_path: Path) -> None:
    with start_gateway(tmp_path, config=S3_CONFIG) as gateway:
        s3 = access(gateway)
        assert "s3 http://127.0.0.1:" in gateway.log()
        [gate] = gateway.pids("gate")
        os.kill(gate, signal.SIGKILL)
        until(lambda: gateway.pids("gate") not in ([gate], []))
        until(lambda: status(s3, "us-east-1") == 200)

        file = tmp_path / "gateway.yaml"
        config = yaml.safe_load(file.read_text())
        config["s3"] = {"region": "eu-central-1"}
        file.write_text(yaml.safe_dump(config))
        assert gateway.process is not None
        os.kill(gateway.process.pid, signal.SIGHUP)
        until(lambda: status(s3, "eu-central-1") == 200)
        until(lambda: status(s3, "us-east-1") == 400)
        config["listen"]["s3"] = "127.0.0.1:1"
        file.write_text(yaml.safe_dump(config))
        os.kill(gateway.process.pid, signal.SIGHUP)
        until(lambda: "addresses cannot change" in gateway.log())
        assert status(s3, "eu-central-1") == 200
        assert requests.get(gateway.base_url, timeout=120).status_code == 200


def test_without_listen_s3_nothing_of_it_is_served(tmp_path: Path) -> None:
    with start_gateway(tmp_path) as gateway:
        assert gateway.s3_url == ""
        assert " s3 " not in gateway.log()
