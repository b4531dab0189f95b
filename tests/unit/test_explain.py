"""What ``tidemark settings --explain`` says of each setting."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemark.explain import SettingInfo, explain, meanings, unit_of
from tidemark.settings import load_settings, read_settings_file


def explained(
    file: Path | None = None, env: dict[str, str] | None = None, **given: dict[str, object]
) -> dict[str, SettingInfo]:
    found = explain(
        load_settings(file, **given),
        given=given,
        env=env or {},
        in_file=read_settings_file(file) if file else {},
        file_name=str(file),
    )
    return {one.name: one for one in found}


def test_every_setting_has_a_meaning() -> None:
    assert [name for name, text in meanings().items() if not text] == []


def test_what_nobody_set_is_a_default() -> None:
    found = explained()
    assert {one.source for one in found.values()} == {"default"}
    assert [one.name for one in found.values() if one.value != one.default] == []
    assert found["kafka.commit_seconds"].unit == "s"
    assert found["kafka.commit_seconds"].default == 0.5
    assert found["actions.view.strength"].value == 0.3
    assert "s, −1 to 1" in found["actions.view.strength"].meaning


def test_sources_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "t.toml"
    file.write_text(
        '[kafka]\nbootstrap = "a:1"\ngroup = "file"\ncommit_seconds = 2\n'
        "[actions.wishlist]\nweight = 2\n"
    )
    env = {"TIDEMARK_KAFKA__GROUP": "variable", "TIDEMARK_TOPICS": '{"items": "things"}'}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    found = explained(file, env, kafka={"bootstrap": "b:2"})
    assert (found["kafka.bootstrap"].value, found["kafka.bootstrap"].source) == (
        "b:2",
        "command line",
    )
    assert found["kafka.group"].value == "variable"
    assert found["kafka.group"].source == "environment variable TIDEMARK_KAFKA__GROUP"
    assert found["kafka.commit_seconds"].source == f"file {file}"
    assert found["kafka.commit_seconds"].value == 2
    assert found["topics.items"].source == "environment variable TIDEMARK_TOPICS"
    assert found["topics.profiles"].source == "default"
    assert found["actions.wishlist.weight"].source == f"file {file}"
    assert found["actions.wishlist.weight"].default == 1.0
    assert found["actions.wishlist.strength"].source == "default"


def test_secrets_are_not_among_the_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_CLIENT__TOKEN", "tdmk_secret")
    monkeypatch.setenv("TIDEMARK_RETRIEVAL__MILVUS_TOKEN", "root:secret")
    monkeypatch.setenv("TIDEMARK_KAFKA__SECURITY__PASSWORD", "secret")
    env = {"TIDEMARK_CLIENT__TOKEN": "tdmk_secret"}
    found = explained(env=env)
    assert "secret" not in str([(one.value, one.default) for one in found.values()])
    assert found["client.token"].source == "environment variable TIDEMARK_CLIENT__TOKEN"


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("kafka.commit_seconds", "s"),
        ("encoder.disk_cache_mebibytes", "MiB"),
        ("limits.message_bytes", "bytes"),
        ("limits.event_ids", "events"),
        ("encoder.max_tokens", "tokens"),
        ("retrieval.tokens", None),
        ("policy.k", None),
        ("topics.actions", None),
        ("encoder.truncate_dim", "components"),
        ("kafka.bootstrap", None),
    ],
)
def test_units(name: str, unit: str | None) -> None:
    assert unit_of(name) == unit
