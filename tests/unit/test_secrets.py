"""Secrets at rest: keys with ids, what opens what, and what is said where a key is lost."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest

import settings
from connections import secrets
from connections.secrets import Box, Lost, NoKey, parse
from errors import BadSetting

A, B = "a" * 32, "b" * 40


def test_sealed_opens_and_tells_its_key() -> None:
    box = Box(parse(f"one:{A}"))
    sealed = box.seal("connection:1", "password", "hunter2 ünï")
    assert sealed["key"] == "one"
    assert box.open("connection:1", "password", sealed) == "hunter2 ünï"
    assert "hunter2" not in str(sealed) and b"hunter2" not in base64.b64decode(sealed["data"])
    assert box.seal("connection:1", "password", "hunter2 ünï") != sealed  # a nonce of its own each time


def test_the_first_key_seals_and_all_open() -> None:
    old = Box(parse(f"one:{A}"))
    both = Box(parse(f"two:{B}\none:{A}"))
    sealed = old.seal("x", "p", "v")
    assert both.open("x", "p", sealed) == "v"
    assert both.seal("x", "p", "v")["key"] == "two"


def test_a_lost_key_is_named() -> None:
    sealed = Box(parse(f"one:{A}")).seal("x", "password", "v")
    with pytest.raises(Lost, match="'one', which DLV does not have") as e:
        Box(parse(f"two:{B}")).open("x", "password", sealed)
    assert (e.value.key, e.value.field) == ("one", "password")
    with pytest.raises(Lost, match="not the key it was sealed with"):
        Box(parse(f"one:{B}")).open("x", "password", sealed)
    assert set(Box().lost("x", {"password": sealed})) == {"password"}
    with pytest.raises(NoKey):
        Box().seal("x", "p", "v")


@pytest.mark.parametrize(
    "owner, name", [("connection:2", "password"), ("connection:1", "token"), ("channel:1", "password")]
)
def test_a_secret_opens_nowhere_but_where_it_was_sealed_for(owner: str, name: str) -> None:
    box = Box(parse(f"one:{A}"))
    sealed = box.seal("connection:1", "password", "v")
    with pytest.raises(Lost):
        box.open(owner, name, sealed)


@pytest.mark.parametrize("data", ["", "AA==", "not base64", base64.b64encode(b"x" * 40).decode()])
def test_what_is_no_sealed_secret_is_lost_and_no_fault(data: str) -> None:
    with pytest.raises(Lost):
        Box(parse(f"one:{A}")).open("x", "p", {"key": "one", "data": data})


@pytest.mark.parametrize("text", [A, f":{A}", f"o ne:{A}", f"one:{'k' * 31}", f"one:{A} one:{B}", f"a/b:{A}"])
def test_wrong_keys_are_refused_without_telling_them(text: str) -> None:
    with pytest.raises(BadSetting) as e:
        parse(text)
    assert A not in str(e.value) and "k" * 31 not in str(e.value)
    assert e.value.field == "DLV_SECRETS_KEYS"


def test_neither_keys_nor_settings_show_them() -> None:
    s = settings.load({"DLV_SECRETS_KEYS": f"one:{A}"})
    assert A not in repr(s) and A not in repr(secrets.box(s)) and A not in repr(secrets.box(s).keys.keys())


def test_keys_of_a_file_are_read_each_time(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    s = settings.load({"DLV_SECRETS_KEYS_FILE": str(path)})
    with pytest.raises(BadSetting, match="DLV_SECRETS_KEYS_FILE"):
        secrets.box(s)
    path.write_text(f"one:{A}\n")
    assert secrets.box(s).first == "one"
    path.write_text(f"two:{B}\none:{A}\n")
    assert list(secrets.box(s).keys) == ["two", "one"]


def test_a_new_key_never_has_the_id_of_a_lost_one() -> None:
    at = datetime(2026, 11, 27, tzinfo=UTC)
    ids = {next(iter(parse(secrets.new_key(at)))) for _ in range(50)}
    assert len(ids) == 50 and all(i.startswith("20261127-") for i in ids)
