"""Checkpoints of the generators: pulled by name only, and with the shards that their index names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wanbench import checkpoints
from wanbench.checkpoint_table import TABLE, WAN
from wanbench.errors import UsageError
from wanbench.generator.models import MODELS
from wanbench.judge.choice import NAMES as JUDGES

NAME = "wan2.2-t2v-a14b"
INDEX = "diffusion_pytorch_model.safetensors.index.json"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository on a hub of this machine's own, two shards for each of two networks; the store is empty."""
    monkeypatch.setenv("WANBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_ENDPOINT", (tmp_path / "hub").as_uri())
    repository = tmp_path / "hub" / str(TABLE[NAME].repository) / "resolve" / "main"
    for file in TABLE[NAME].required:
        path = repository / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.path.encode())
    for expert in ("low_noise_model", "high_noise_model"):
        (repository / expert / INDEX).write_text(json.dumps({"weight_map": {"a": "x-1.safetensors", "b": "x-2.safetensors"}}))
        for shard in ("x-1.safetensors", "x-2.safetensors"):
            (repository / expert / shard).write_bytes(expert.encode())
    return repository


def test_every_released_model_has_an_entry() -> None:
    assert {entry.name: entry.repository for entry in WAN} == {name: model.repository for name, model in MODELS.items()}
    assert all(entry.on_request and not entry.pinned for entry in WAN)
    assert [entry.name for entry in TABLE.values() if entry.on_request] == [*(entry.name for entry in WAN), *JUDGES]


def test_shards_are_pulled_once_their_index_is_there(hub: Path) -> None:
    pulled = {path.relative_to(checkpoints.folder(NAME)).as_posix() for path in checkpoints.pull(NAME)}
    assert pulled == {path.relative_to(hub).as_posix() for path in hub.rglob("*") if path.is_file()}
    assert not checkpoints.missing([NAME])
    assert checkpoints.pull(NAME) == []


def test_a_lost_shard_is_missing_and_pulled_again(hub: Path) -> None:
    checkpoints.pull(NAME)
    before = checkpoints.checksums([NAME])
    shard = checkpoints.folder(NAME) / "high_noise_model" / "x-2.safetensors"
    shard.unlink()
    assert checkpoints.missing([NAME]) == [NAME]
    assert checkpoints.pull(NAME) == [shard]
    shard.write_bytes(b"another")
    assert checkpoints.checksums([NAME]) != before


@pytest.mark.parametrize(
    ("content", "says"),
    [("{}", "is not an index of shards"), ('{"weight_map": {"a": "../../x"}}', "outside its folder")],
)
def test_a_wrong_index_is_named(hub: Path, content: str, says: str) -> None:
    (hub / "low_noise_model" / INDEX).write_text(content)
    with pytest.raises(UsageError, match=says) as refused:
        checkpoints.pull(NAME)
    assert f"low_noise_model/{INDEX}" in str(refused.value)
    assert not (checkpoints.home() / "x").exists()
