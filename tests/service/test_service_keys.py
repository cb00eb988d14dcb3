"""API keys: made, stored, found, revoked, unreadable; and what a service without keys refuses."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import vecver
from vecver.cli import main
from vecver.errors import ConflictError, IntegrityError, InvalidInputError

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")

from fastapi.testclient import TestClient
from vecver_service.app import create_app
from vecver_service.settings import ServiceSettings
from vecver_service.state.keys import Keys

Json = dict[str, Any]


@pytest.fixture(params=["keys.json", "service.sqlite"])
def key_path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Where keys are stored: a file that VECVER_KEYS names, or the service's database."""
    return tmp_path / str(request.param)


def test_a_key_is_shown_once_and_only_its_digest_is_kept(key_path: Path) -> None:
    keys = Keys(key_path)
    assert not keys.needed() and not key_path.exists(), "reading makes nothing"
    key, token = keys.add("ci", ["d:write", "*:read"])
    for path in (one for one in key_path.parent.iterdir() if one.is_file()):
        assert token.split("_", 2)[2].encode() not in path.read_bytes()
        assert path.name.endswith(".lock") or path.stat().st_mode & 0o077 == 0
    assert token.split("_", 2)[2] not in repr(keys.all())
    assert keys.find(token) == key and Keys(key_path).find(token) == key
    for wrong in (
        "",
        token[:-1],
        token + "x",
        token.swapcase(),
        f"vv_{key.id}_{'x' * 43}",
        "é" * 55,
        "vv_00000000_" + "a" * 43,
    ):
        assert keys.find(wrong) is None
    Keys(key_path).revoke(key.id)
    assert keys.find(token) is None and keys.needed() and Keys(key_path).needed()


def test_each_change_of_keys_is_seen_by_every_service_at_its_next_request(key_path: Path) -> None:
    changing, serving = Keys(key_path), Keys(key_path)
    for _ in range(50):
        key, token = changing.add("ci", ["*:read"])
        assert serving.find(token) == key
        changing.revoke(key.id)
        assert serving.find(token) is None


def test_a_revocation_that_was_killed_before_it_was_announced_is_seen_in_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changing, serving = Keys(tmp_path / "service.sqlite"), Keys(tmp_path / "service.sqlite")
    key, token = changing.add("ci", ["*:read"])
    assert serving.find(token)
    monkeypatch.setattr("os.utime", lambda *_, **__: None)
    changing.revoke(key.id)
    time.sleep(1)
    assert serving.find(token) is None


def test_a_scope_includes_the_lower_scopes_of_its_dataset_only(tmp_path: Path) -> None:
    from vecver_service.state.keys import Caller

    caller = Caller("1", "ci", ("a:write", "b:read", "c:admin"))
    allowed = {(s, d) for s in ("read", "write", "admin") for d in ("a", "b", "c", "d", "*") if caller.may(s, d)}
    assert allowed == {("read", "a"), ("write", "a"), ("read", "b"), *((s, "c") for s in ("read", "write", "admin"))}
    assert Caller("1", "ci", ("*:read",)).may("read", "anything") and not Caller("1", "ci", ("*:read",)).may(
        "write", "x"
    )


@pytest.mark.parametrize("scopes", [[], ["d"], ["d:"], [":read"], ["d:own"], ["read"]])
def test_an_unknown_scope_is_refused(key_path: Path, scopes: list[str]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Keys(key_path).add("ci", scopes)
    assert caught.value.code == "invalid_scope" and not key_path.exists()


def test_unreadable_keys_let_nobody_in(tmp_path: Path, client: TestClient) -> None:
    (tmp_path / "keys.json").write_text("{")
    with pytest.raises(IntegrityError):
        Keys(tmp_path / "keys.json").find("vv_")
    repository = client.app.state.deps.repository  # type: ignore[attr-defined]
    with pytest.raises(IntegrityError, match="API keys"):  # an older vecver's, to be moved to the database
        create_app(repository, ServiceSettings(state=str(tmp_path)))
    closed = create_app(repository, ServiceSettings(state=str(tmp_path / "other"), keys=str(tmp_path / "keys.json")))
    with TestClient(closed) as other:
        assert other.get("/v1/datasets").status_code == 500


def test_a_service_stays_closed_after_its_last_key_is_revoked_or_lost(tmp_path: Path) -> None:
    repository = vecver.open(tmp_path / "kb", create=True)
    keys = Keys(tmp_path / "state/service.sqlite")
    key, token = keys.add("ops", ["*:admin"])
    assert keys.path.parent.stat().st_mode & 0o077 == 0, "uploads and answers lie there"
    with TestClient(create_app(repository, ServiceSettings(state=str(tmp_path / "state")))) as client:
        assert client.get("/v1", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        keys.revoke(key.id)
        assert client.get("/v1").status_code == 401
        assert client.get("/v1", headers={"Authorization": f"Bearer {token}"}).status_code == 401
        keys.path.unlink()
        assert client.get("/v1").status_code == 401


def test_the_command_line_makes_lists_and_revokes_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECVER_REPO", str(tmp_path / "kb"))

    def run(*words: str) -> Any:
        return CliRunner().invoke(main, words, catch_exceptions=False)

    assert "no keys" in run("key", "list").output
    made = json.loads(run("key", "add", "ci", "--scope", "d:read", "--json").output)
    assert Keys(tmp_path / "kb.service/service.sqlite").find(made["key"])
    assert made["id"] in run("key", "list").output and made["key"] not in run("key", "list").output
    assert run("key", "revoke", made["id"]).exit_code == 0 and run("key", "revoke", made["id"]).exit_code == 3


def test_two_repositories_do_not_share_a_state_folder(tmp_path: Path) -> None:
    """One service would run the other's jobs in its own repository."""
    settings = ServiceSettings(state=str(tmp_path / "state"), no_auth=True)
    one, other = (vecver.open(tmp_path / name, create=True) for name in ("a", "b"))
    create_app(one, settings)
    with pytest.raises(ConflictError, match="another repository"):
        create_app(other, settings)
    create_app(vecver.open(tmp_path / "a"), settings)


def test_a_service_on_a_public_address_needs_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECVER_REPO", str(tmp_path / "kb"))
    refused = CliRunner().invoke(main, ["serve", "--host", "0.0.0.0"])
    assert refused.exit_code == 2 and "no API key" in refused.output


def test_unreadable_keys_are_reported_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECVER_REPO", str(tmp_path / "kb"))
    monkeypatch.setenv("VECVER_KEYS", str(tmp_path))
    refused = CliRunner().invoke(main, ["serve"])
    assert refused.exit_code == 5 and "API keys cannot be read" in refused.output
