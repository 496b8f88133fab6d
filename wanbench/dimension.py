"""How a dimension is declared and found: `@dimension` in one file under `wanbench/metrics`, and nothing else to edit.

Listing dimensions imports their files but no network, no decoder and no torch: heavy libraries are imported inside functions.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from wanbench.expectations import Expectation
from wanbench.types import Pillar, Profile, Prompt, Reading, Skipped

if TYPE_CHECKING:
    from wanbench.clip import Clip
    from wanbench.judge.asking import Judge
    from wanbench.networks import Network

T = TypeVar("T")
FINGERPRINT_HEX_DIGITS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """One way of measuring a dimension."""

    name: str
    """Such as `raft`, `dis`, `dino-vitb16`."""
    profile: Profile | None
    """Where it measures; None: in every profile."""
    networks: tuple[Network[Any], ...] = ()
    """Networks this method asks `Tools.network` for; their checkpoints must be present before any work."""
    grid_lines: tuple[int, ...] = ()
    """Short sides, in pixels, at which it wants grid frames beside the working frames that every clip has."""
    settings: Mapping[str, str | int | float] = field(default_factory=dict)
    """Every constant that can move the number: part of the fingerprint."""
    extra: str | None = None
    """The install extra whose libraries it needs, such as `score`."""
    prompt_needs: str | None = None
    """What the prompt must carry, in words for the skip reason; None when the picture alone is measured."""
    judge: Literal["none", "helps", "needed"] = "none"
    """`helps`: some prompts need a judge, others do without; `needed`: nothing is measured without one."""

    def label(self, judge: Mapping[str, Any] | None) -> str:
        """What the record calls it: with the judge's help it is another method."""
        return f"{self.name}+judge" if judge is not None and self.judge == "helps" else self.name


class Tools(Protocol):
    """What a dimension may use: its method, networks built once, and features computed once per clip."""

    @property
    def method(self) -> Method: ...

    def network(self, network: Network[T]) -> T:
        """The loaded network, built at its first use and kept."""
        ...

    def share(self, feature: Callable[[Clip, Tools], T]) -> T:
        """`feature(clip, tools)`, computed once per clip however many dimensions ask for it."""
        ...

    @property
    def judge(self) -> Judge | None:
        """The vision-language model of this run, if it has one; always there for methods that need it."""
        ...


Measure = Callable[["Clip", "Prompt | None", Tools], "Reading | Skipped"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Dimension:
    """A dimension: what it is called, how it can be measured, and the function that does."""

    id: str
    pillar: Pillar
    version: int
    """Raised with any change of formula: results of different versions are never averaged or compared."""
    methods: tuple[Method, ...]
    raw: Mapping[str, str]
    """Key of `raw` -> what it is; every key ends in its unit."""
    measure: Measure
    summary: str
    """First line of the file's docstring."""
    controls: tuple[Expectation, ...] = ()
    """What `wanbench controls` must find, declared before results are known; it moves no number and is in no fingerprint."""

    def method_for(self, profile: Profile) -> Method | None:
        """The first method of the profile that needs no judge."""
        return next((m for m in self.methods if m.profile in (profile, None) and m.judge != "needed"), None)

    def method_named(self, name: str) -> Method:
        return next(m for m in self.methods if m.name == name)

    def fingerprint(
        self, method: Method, checksums: Mapping[str, str], dtype: str, judge: Mapping[str, Any] | None = None
    ) -> str:
        """A short digest of all that can move a number: version, method, settings, checkpoints' SHA-256, dtype, judge."""
        return digest(self.circumstances(method, checksums, dtype, judge))

    def circumstances(
        self, method: Method, checksums: Mapping[str, str], dtype: str, judge: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """What `fingerprint` is the digest of, as written into `run.json`; `judge` is what can move a judge's answers."""
        asked = {"judge": dict(judge)} if judge is not None and method.judge != "none" else {}
        return {
            "dimension": self.id,
            "version": self.version,
            "method": method.label(judge),
            "settings": dict(sorted(method.settings.items())),
            "checkpoints": dict(sorted(checksums.items())),
            "dtype": dtype if method.networks else "float32",
            **asked,
        }


def digest(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:FINGERPRINT_HEX_DIGITS]


_DECLARED: dict[str, Dimension] = {}


def dimension(
    *,
    id: str,
    pillar: Pillar,
    version: int,
    methods: tuple[Method, ...],
    raw: Mapping[str, str],
    controls: tuple[Expectation, ...] = (),
) -> Callable[[Measure], Measure]:
    """Declare the decorated function as the measurement of dimension `id`; the file's docstring says what and from where."""

    def declare(measure: Measure) -> Measure:
        if id in _DECLARED and _DECLARED[id].measure.__module__ != measure.__module__:
            raise ValueError(f"dimension {id} is declared in {_DECLARED[id].measure.__module__} and {measure.__module__}")
        doc = importlib.import_module(measure.__module__).__doc__ or ""
        _DECLARED[id] = Dimension(
            id=id,
            pillar=pillar,
            version=version,
            methods=methods,
            raw=raw,
            measure=measure,
            summary=doc.strip().split("\n")[0],
            controls=controls,
        )
        return measure

    return declare


def load_all() -> dict[str, Dimension]:
    """Every dimension declared under `wanbench/metrics`, found by scanning the folder."""
    import wanbench.metrics as package

    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_") and not module.ispkg:
            importlib.import_module(f"wanbench.metrics.{module.name}")
    return dict(_DECLARED)
