"""Two persons: the second is another one, and proves it where gateway.yaml lists who may approve."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import ConfigError, load
from gateway.domain.acts import ActorRole
from gateway.domain.errors import ActRefused
from gateway.service.approvers import Approvers
from gateway.service.contracts import Actor
from gateway.service.passwords import hash_password
from gateway.testing.space import open_space

ANN = Actor("ann", ActorRole.OPERATOR)


def test_only_who_is_listed_and_knows_the_passphrase_approves() -> None:
    approvers = Approvers({"bob": hash_password("correct horse")})
    assert approvers.approver("ann", "bob", "correct horse", "PRV-03") == Actor("bob", ActorRole.APPROVER)
    for name, passphrase in ((None, None), ("bob", "wrong"), ("bob", None), ("eve", "correct horse")):
        with pytest.raises(ActRefused) as refused:
            approvers.approver("carl", name, passphrase, "PRV-03")
        assert refused.value.clause == "PRV-03"


def test_where_nobody_is_listed_it_is_the_login_and_no_other_name() -> None:
    assert Approvers({}).approver("ann", None, None, "ANT-01").name == "ann"
    with pytest.raises(ActRefused):
        Approvers({}).approver("ann", "bob", "x", "ANT-01")


def test_who_asked_does_not_approve_under_the_listed_name_either(tmp_path: Path) -> None:
    with open_space(tmp_path) as space:
        space.put("/a", b"x")
        one = space.services.breakglass.request(space.caller.tenant, [("a",)], "legal", "order 7", 1, ANN)
        second = Approvers({"ann": hash_password("correct horse")}).approver("ann", "ann", "correct horse", "PRV-03")
        with pytest.raises(ActRefused, match="another person"):
            space.services.breakglass.approve(one.id, second)


def test_hours_and_grounds_are_those_of_the_policy(tmp_path: Path) -> None:
    with open_space(tmp_path) as space:
        space.put("/a", b"x")
        text = space.services.policies.version("privacy").text
        changed = text.replace("breakglass_max_hours: {value: 8", "breakglass_max_hours: {value: 2")
        both = "system_management_company, 9-2, "
        changed = changed.replace(f"content_grounds: {{value: [legal, {both}", "content_grounds: {value: [legal, ")
        space.services.policies.apply("privacy", changed, "ann")
        ask = space.services.breakglass.request
        with pytest.raises(ActRefused, match="1 to 2 hours"):
            ask(space.caller.tenant, [("a",)], "legal", "order 7", 3, ANN)
        with pytest.raises(ActRefused, match="one of legal, 9-3"):
            ask(space.caller.tenant, [("a",)], "9-2", "a suspicion", 1, ANN)
        assert ask(space.caller.tenant, [("a",)], "9-3", "a suspicion", 2, ANN).hours == 2


def test_the_list_in_gateway_yaml_holds_hashes(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    hashed = hash_password("correct horse")
    text = "version: 1\nplugins: []\nstorage: {backend: local}\napprovers:\n  bob: "
    file.write_text(text + f"'{hashed}'\n")
    assert load(file, {}).approvers == {"bob": hashed}
    file.write_text(text + "secret\n")
    with pytest.raises(ConfigError, match=r"approvers.*bob"):
        load(file, {})
