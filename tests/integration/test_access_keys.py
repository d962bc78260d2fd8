"""Access keys: wrapped at rest, audited, ended with their user, unusable without the master key."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.blobstore import Rewrapped
from gateway.commands.doctor import access_keys
from gateway.domain.errors import NotFound, Unauthenticated
from gateway.testing.space import Space, open_space


@pytest.fixture
def space(tmp_path: Path) -> object:
    with open_space(tmp_path) as opened:
        yield opened


def test_a_key_signs_for_its_user_and_its_secret_is_nowhere_in_the_clear(space: Space, tmp_path: Path) -> None:
    keys = space.services.accesskeys
    key, secret = keys.create("studio", "ann", "operator")
    signer = keys.signer(key.id)
    assert (signer.secret, signer.user.login, signer.tenant.name) == (secret, "ann", "studio")
    assert keys.cached(key.id) == signer
    assert (tmp_path / "data" / "master.key").stat().st_mode & 0o777 == 0o600
    for file in (tmp_path / "data").rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes(), file
    [act] = space.services.db.read(lambda tx: tx.acts.of_subject(f"key:{key.id}"))
    assert (act.kind, act.actor, act.tenant_id) == ("key.created", "operator", space.caller.tenant.id)


def test_a_key_ends_when_it_or_its_user_is_disabled_or_its_tenant_removed(space: Space) -> None:
    keys, accounts = space.services.accesskeys, space.services.accounts
    key, _ = keys.create("studio", "ann", "operator")

    def is_known() -> bool:
        space.clock.forward(1)
        space.services.directory.refresh()
        try:
            return keys.signer(key.id).key_id == key.id
        except Unauthenticated:
            return False

    assert is_known()
    keys.set_disabled(key.id, True, "operator")
    assert not is_known()
    assert [one.disabled for one in keys.all("studio")] == [True]
    keys.set_disabled(key.id, False, "operator")
    assert is_known()
    accounts.set_disabled("studio", "ann", True)
    assert not is_known()
    accounts.set_disabled("studio", "ann", False)
    assert is_known()
    accounts.remove("studio")
    assert not is_known()


def test_nobody_gets_a_key_for_nobody(space: Space) -> None:
    keys = space.services.accesskeys
    for tenant, login in (("studio", "nobody"), ("nothing", "ann")):
        with pytest.raises(NotFound):
            keys.create(tenant, login, "operator")
    with pytest.raises(NotFound):
        keys.set_disabled("KU123", True, "operator")
    for key_id in ("KU123", "", "key:KU123", "KU\x00", "K" * 500):
        with pytest.raises(Unauthenticated):
            keys.signer(key_id)


def test_with_another_master_key_old_keys_are_as_unknown_as_any(tmp_path: Path) -> None:
    with open_space(tmp_path) as space:
        key, _ = space.services.accesskeys.create("studio", "ann", "operator")
    (tmp_path / "data" / "master.key").write_text("ab" * 32 + "\n")
    with open_space(tmp_path) as space:
        with pytest.raises(Unauthenticated):
            space.services.accesskeys.signer(key.id)
        assert [one.id for one in space.services.accesskeys.unusable()] == [key.id]
        newer, secret = space.services.accesskeys.create("studio", "ann", "operator")
        assert space.services.accesskeys.signer(newer.id).secret == secret


def test_doctor_tells_of_keys_that_nobody_can_use(tmp_path: Path) -> None:
    with open_space(tmp_path) as space:
        assert access_keys(space.deployment) == []
        space.services.accesskeys.create("studio", "ann", "operator")
        assert [one.level for one in access_keys(space.deployment)] == ["ok"]
    (tmp_path / "data" / "master.key").write_text("ab" * 32 + "\n")
    with open_space(tmp_path) as space:
        [fact] = access_keys(space.deployment)
        assert (fact.level, fact.value) == ("error", 1.0)
    (tmp_path / "data" / "master.key").write_text("no key")
    with open_space(tmp_path) as space:
        [fact] = access_keys(space.deployment)
        assert "master key" in fact.message


def test_secrets_are_wrapped_anew_by_another_master_key_and_stay_the_same(tmp_path: Path) -> None:
    with open_space(tmp_path) as space:
        keys = space.services.accesskeys
        made = [keys.create("studio", "ann", "operator") for _ in range(3)]
        keys.set_disabled(made[2][0].id, True, "operator")
    (tmp_path / "new.key").write_text("cd" * 32)
    both = {"master_key": {"file": "new.key"}, "previous_master_key": {"file": "data/master.key"}}
    with open_space(tmp_path, settings=both) as space:
        keys = space.services.accesskeys
        assert [keys.signer(key.id).secret for key, _ in made[:2]] == [secret for _, secret in made[:2]]
        done = space.services.rewrapping.run("ann")
        assert done == {"access keys": Rewrapped(wrapped=3)}
        assert space.services.rewrapping.run("ann") == {"access keys": Rewrapped(kept=3)}
        acts = space.services.db.read(lambda tx: tx.acts.of_subject(f"key:{made[0][0].id}"))
        assert [(act.kind, act.actor) for act in acts] == [("key.created", "operator"), ("key.rewrapped", "ann")]
        assert made[0][1] not in repr(acts)
    (tmp_path / "data" / "master.key").unlink()
    with open_space(tmp_path, settings={"master_key": both["master_key"]}) as space:
        keys = space.services.accesskeys
        assert [keys.signer(key.id).secret for key, _ in made[:2]] == [secret for _, secret in made[:2]]
        with pytest.raises(Unauthenticated):
            keys.signer(made[2][0].id)
        keys.set_disabled(made[2][0].id, False, "operator")
        space.services.directory.refresh()
        assert keys.signer(made[2][0].id).secret == made[2][1]
