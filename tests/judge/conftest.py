"""One small model of each kind, written when it is first asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from .tiny import write_model


class Models(dict[str, Path]):
    """Kind -> folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __missing__(self, kind: str) -> Path:
        self[kind] = write_model(self._folder / kind, kind)
        return self[kind]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    torch.set_num_threads(1)
    return Models(tmp_path_factory.mktemp("judges"))


@pytest.fixture(scope="session")
def tiny(models: Models) -> Path:
    """The folder of a Qwen2-VL."""
    return models["qwen2_vl"]
