"""wanbench: the open Wan-Bench. Public calls are imported when first used, so that `import wanbench` costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wanbench.api import Run, forecast, load, run, score

__version__ = "0.1.0"
__all__ = ["Run", "__version__", "forecast", "load", "run", "score"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from wanbench import api

        return getattr(api, name)
    raise AttributeError(f"module 'wanbench' has no attribute {name!r}")
