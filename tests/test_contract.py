"""What every dimension owes the rest, whoever wrote it: asked of each one found in the folder, by every method it has.

Networks have small random parameters: what is asked is form, repeatability and honesty on hopeless clips, not quality.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import wanbench
from wanbench import checkpoints
from wanbench.clip import Clip
from wanbench.decoding.prepare import SETTINGS, prepare_frames
from wanbench.dimension import Dimension, Method, load_all
from wanbench.errors import UsageError
from wanbench.evaluation.plan import LIBRARIES
from wanbench.evaluation.worker import ClipTools
from wanbench.fourteen import FOURTEEN, PILLARS
from wanbench.judge.asking import Judge
from wanbench.judge.frames import LINES
from wanbench.judge.protocol import Frame as Shown
from wanbench.metrics.human_artifacts import PERSON
from wanbench.networks import NetworkPool, Placement
from wanbench.prompts.suite import parse_prompt
from wanbench.scenes import damage
from wanbench.scenes.encode import Frame, write_video
from wanbench.scenes.render import Scene, Subject, render
from wanbench.types import Prompt, Reading, Skipped

from .judge.lines import ONE, TWO
from .judge.scripted import Scripted, by_digest
from .reference_store import write_store

Timed = tuple[float, Frame]
ALL = load_all()
METHODS = [(d, m) for d in ALL.values() for m in d.methods]
PROMPT = Prompt(id=None, text="a quiet bay", fields={"camera": {"movement": "pan", "direction": "left"}, "style": "ink"})
JUDGED = {fields["text"]: Prompt(id=None, text=fields["text"], fields=fields) for fields in (ONE, TWO)}
"""Prompts with all that a judge is asked about; some dimensions want one object, others two."""
SMALL_HW = (48, 64)

each_dimension = pytest.mark.parametrize("dimension", ALL.values(), ids=list(ALL))
each_method = pytest.mark.parametrize(("dimension", "method"), METHODS, ids=[f"{d.id}-{m.profile}" for d, m in METHODS])


# ---- declarations ----


def file_of(dimension: Dimension) -> ModuleType:
    return importlib.import_module(dimension.measure.__module__)


@each_dimension
def test_declaration_is_whole(dimension: Dimension) -> None:
    assert dimension.id in FOURTEEN or dimension.id.startswith("x_")
    assert dimension.pillar == FOURTEEN.get(dimension.id, dimension.pillar)
    assert dimension.pillar in PILLARS
    assert dimension.version >= 1
    assert file_of(dimension).__name__.rpartition(".")[2] == dimension.id, "one dimension, one file, one name"
    assert dimension.summary
    doc = file_of(dimension).__doc__ or ""
    assert re.search(r"arXiv \d{4}\.\d{4,5}", doc) or re.search(r"\b[Oo]urs\b", doc), "where does it come from?"
    assert dimension.raw
    assert all(text.strip() for text in dimension.raw.values())


@each_dimension
def test_methods_can_be_told_apart(dimension: Dimension) -> None:
    """One method a profile; another method or setting is another fingerprint."""
    profiles = [m.profile for m in dimension.methods]
    assert len(profiles) == len(set(profiles))
    assert len({m.name for m in dimension.methods}) == len(dimension.methods)
    prints = {dimension.fingerprint(m, {}, "float32") for m in dimension.methods}
    assert len(prints) == len(dimension.methods)


@each_method
def test_method_is_whole(dimension: Dimension, method: Method) -> None:
    assert SETTINGS.items() <= method.settings.items(), "how frames are chosen and resized moves every number"
    json.dumps(dict(method.settings), allow_nan=False)
    assert method.extra is None or method.extra in LIBRARIES
    assert not method.networks or method.extra, "networks need an extra"
    assert method.profile == "reference" or not method.networks
    for network in method.networks:
        assert all(checkpoints.checkpoint(name) for name in network.checkpoints)


# ---- clips ----


def filmed(count: int = 5, size_HW: tuple[int, int] = SMALL_HW, **scene: Any) -> list[Timed]:
    return list(render(Scene(size_HW=size_HW, **scene), fps=8, seconds=count / 8, seed=1))


def plain(size_HW: tuple[int, int], values: list[int]) -> list[Timed]:
    return [(k / 8, np.full((*size_HW, 3), value, np.uint8)) for k, value in enumerate(values)]


def snow(count: int = 3) -> list[Timed]:
    rng = np.random.default_rng(0)
    return [(k / 8, rng.integers(0, 256, (*SMALL_HW, 3), dtype=np.uint8)) for k in range(count)]


HOPELESS: dict[str, Callable[[], list[Timed]]] = {
    "one frame": lambda: filmed(1),
    "two frames": lambda: filmed(2, movement="pan-left", speed=0.3),
    "frozen": lambda: list(damage.freeze(filmed(8))),
    "frozen for a moment": lambda: list(damage.freeze(filmed(2))),
    "1 x 1": lambda: plain((1, 1), [0, 80, 160, 240, 10]),
    "2 x 300": lambda: plain((2, 300), [0, 80, 160]),
    "16 x 16": lambda: [(t, np.ascontiguousarray(frame[:16, :16])) for t, frame in filmed(5, movement="pan-left", speed=0.3)],
    "black": lambda: plain(SMALL_HW, [0] * 5),
    "one black frame": lambda: plain(SMALL_HW, [0]),
    "black to white": lambda: plain(SMALL_HW, [0, 255, 0]),
    "white noise": snow,
    "a cut": lambda: filmed(1) + [(t + 1 / 8, 255 - frame) for t, frame in filmed(1)],
}
PROFILES = ("lite", "reference", "judge")
"""The third is no profile: what a judge measures, or helps to, without any network."""
NO_NETWORKS = NetworkPool({}, Placement(device="cpu", dtype="float32", batch_size=16))


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> NetworkPool:
    """Every network, small, in one thread."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("pyiqa")
    pytest.importorskip("ultralytics")
    torch.set_num_threads(1)
    folder = write_store(tmp_path_factory.mktemp("store")) / "checkpoints"
    names = {name for _, m in METHODS for network in m.networks for name in network.checkpoints}
    return NetworkPool({name: folder / name for name in names}, Placement(device="cpu", dtype="float32", batch_size=16))


def someone(frames: Sequence[Shown], prompt: str) -> float:
    """A judge with opinions, that always sees a person."""
    return 2.0 if PERSON.text in prompt else -2.0 if PERSON.contrary in prompt else by_digest(frames, prompt)


class Measuring:
    """Measures clips as a worker does, by the methods of one profile."""

    def __init__(self, profile: str, pool: NetworkPool) -> None:
        judged = profile == "judge"
        self.methods = {
            d.id: (d, m)
            for d, m in METHODS
            if (m.judge != "none" and m.profile in (None, "lite") if judged else m.profile == profile)
        }
        self._lines = sorted({n for _, m in self.methods.values() for n in m.grid_lines} | ({LINES} if judged else set()))
        self._pool = pool
        self._judge = Judge(Scripted(someone), "x", None) if judged else None

    def prompt(self, name: str) -> Prompt:
        """One that asks for all that the dimension wants."""
        if self._judge is None:
            return PROMPT
        return JUDGED[TWO["text"] if name in ("multiple_object_accuracy", "spatial_position_accuracy") else ONE["text"]]

    def clip(self, frames: list[Timed]) -> Clip:
        return prepare_frames(frames, self._lines)

    def one(self, name: str, clip: Clip, shared: dict[Any, Any], prompt: Prompt | None) -> Reading | Skipped:
        dimension, method = self.methods[name]
        return dimension.measure(clip, prompt, ClipTools(clip, method, self._pool, shared, self._judge))

    def all(self, clip: Clip, prompted: bool = True) -> dict[str, Reading | Skipped]:
        shared: dict[Any, Any] = {}
        return {name: self.one(name, clip, shared, self.prompt(name) if prompted else None) for name in self.methods}


@pytest.fixture(scope="module", params=PROFILES)
def measuring(request: pytest.FixtureRequest) -> Measuring:
    return Measuring(request.param, request.getfixturevalue("pool") if request.param == "reference" else NO_NETWORKS)


@pytest.fixture(scope="module")
def together(measuring: Measuring) -> tuple[Clip, dict[str, Reading | Skipped]]:
    """A good clip, and what all dimensions say of it."""
    subjects = (Subject(size=0.4, velocity_XY=(0.5, 0.1)),)
    clip = measuring.clip(filmed(size_HW=(64, 96), subjects=subjects, noise_sigma=2.0))
    return clip, measuring.all(clip)


# ---- what is given back ----


def check(dimension: Dimension, given: Reading | Skipped) -> None:
    """Form, range, and that each raw key is explained."""
    assert isinstance(given, Reading | Skipped), dimension.id
    if isinstance(given, Reading):
        assert isinstance(given.score, float), dimension.id
        assert 0.0 <= given.score <= 1.0, (dimension.id, given.score)
    else:
        assert given.reason.strip(), dimension.id
        assert "\n" not in given.reason
    if given.raw is None:
        return
    json.dumps(given.raw, allow_nan=False)
    undocumented = [key for key in keys(given.raw) if key not in dimension.raw]
    assert not undocumented, f"{dimension.id} does not say what {undocumented} are"


def keys(raw: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """`camera.movement` for what is nested; `evidence` is one key, explained as one."""
    for key, value in raw.items():
        if isinstance(value, Mapping) and key != "evidence":
            yield from keys(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def test_a_good_clip_is_measured(measuring: Measuring, together: tuple[Clip, dict[str, Reading | Skipped]]) -> None:
    """By every method of the profile, given a prompt that asks for everything."""
    _, given = together
    for name, reading in given.items():
        assert isinstance(reading, Reading), (name, reading)
        check(ALL[name], reading)
        assert {key.partition(".")[0] for key in reading.raw} <= {key.partition(".")[0] for key in ALL[name].raw}


def test_the_same_alone_again_and_in_any_order(measuring: Measuring, together: tuple[Clip, dict[str, Reading | Skipped]]) -> None:
    """Nothing depends on what else was measured on the clip, nor on having been asked before."""
    clip, given = together
    for name in measuring.methods:
        assert measuring.one(name, clip, {}, measuring.prompt(name)) == given[name], name
    shared: dict[Any, Any] = {}
    for name in reversed(measuring.methods):
        assert measuring.one(name, clip, shared, measuring.prompt(name)) == given[name], name


@pytest.mark.parametrize("kind", HOPELESS)
def test_hopeless_clips_are_measured_or_skipped(measuring: Measuring, kind: str) -> None:
    clip = measuring.clip(HOPELESS[kind]())
    for prompted in (True, False):
        for name, given in measuring.all(clip, prompted).items():
            check(ALL[name], given)


SPARSE: list[dict[str, Any]] = [
    {"camera": "aerial"},
    {"camera": "tracking"},
    {"objects": [{"name": "a", "count": 1}]},
    {"objects": [{"name": "猫"}], "distractors": ["a"]},
    {"objects": [{"name": "a", "count": 1}, {"name": "a", "count": 2}], "distractors": ["a", "b"]},
    {"objects": [{"name": '"}', "count": 10**9}], "distractors": ["\\", "\nx"]},
    {"relation": {"subject": "a", "predicate": "next to", "object": "a"}},
    {"questions": [{"q": "?", "negation": "?", "expect": "no"}]},
    {"questions": [{"q": "?", "negation": "?", "expect": "no", "about": a} for a in ("event", "motion", "style", "action")]},
]
WRONG: list[dict[str, Any]] = [
    {"objects": 3},
    {"style": []},
    {"relation": "on"},
    {"relation": {"subject": "a", "predicate": "around", "object": "b"}},
    {"camera": {"movement": 5}},
    {"questions": [{"q": "Is it so?", "expect": "yes"}]},
    {"questions": [{"q": "Is it so?", "negation": "Is it otherwise?", "expect": "maybe"}]},
    {"objects": [{"name": "a", "count": "two"}]},
]


@pytest.mark.parametrize("fields", WRONG, ids=[json.dumps(f)[:40] for f in WRONG])
def test_fields_of_the_wrong_kind_reach_no_dimension(fields: dict[str, Any]) -> None:
    """They are refused where prompts are read, with the line's name."""
    with pytest.raises(UsageError, match=r"^a line: "):
        parse_prompt({"text": "x", **fields}, "a line")


def test_prompts_that_say_little_are_read_or_skipped(measuring: Measuring) -> None:
    """Blank, in another script, endless, with fields that are there and say nothing: never an exception."""
    clip = measuring.clip(filmed(2))
    prompts = [
        Prompt(id="x-1", text=None),
        Prompt(id=None, text=" "),
        Prompt(id=None, text="猫が海辺を歩く 🐈 \u202e"),
        Prompt(id=None, text="a very long walk " * 400),
        *(parse_prompt({"text": "x", **fields}, "a line") for fields in SPARSE),
    ]
    shared: dict[Any, Any] = {}
    for prompt, name in itertools.product(prompts, measuring.methods):
        check(ALL[name], measuring.one(name, clip, shared, prompt))


def test_pixels_are_left_alone(measuring: Measuring) -> None:
    """A clip's memory is shared by all dimensions, and read-only in a worker."""
    clip = measuring.clip(filmed(2))
    arrays = [clip.frames, clip.thumbnails, clip.times, clip.grid, *clip.views.values()]
    for array in arrays:
        array.flags.writeable = False
    before = [array.copy() for array in arrays]
    measuring.all(clip)
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


# ---- worse under damage ----


def flickering(frames: list[Timed]) -> list[Timed]:
    return list(damage.flicker(frames, amplitude=0.2, rng=np.random.default_rng(0)))


def noisy(frames: list[Timed]) -> list[Timed]:
    return list(damage.noise(frames, sigma=12.0, rng=np.random.default_rng(0)))


def frozen(frames: list[Timed]) -> list[Timed]:
    return list(damage.freeze(frames))


def backwards(frames: list[Timed]) -> list[Timed]:
    return list(damage.reverse(frames))


def another_scene(frames: list[Timed]) -> list[Timed]:
    """From the middle on its negative, upside down."""
    half = frames[len(frames) // 2][0]
    return [(t, f if t < half else np.ascontiguousarray(255 - f[::-1])) for t, f in frames]


STILL = Scene(size_HW=(120, 160), noise_sigma=1.0)
PAN = Scene(size_HW=(120, 160), movement="pan-left", speed=0.3)
DAMAGES: list[tuple[str, str, Scene, Callable[[list[Timed]], list[Timed]]]] = [
    ("pixel_level_stability", "lite", STILL, flickering),
    ("pixel_level_stability", "lite", STILL, noisy),
    ("large_motion_generation", "lite", PAN, frozen),
    ("camera_control", "lite", PAN, backwards),
    ("id_consistency", "reference", STILL, another_scene),
]
"""Dimension, profile, a scene it likes, and what must cost it; only what holds whatever the networks have learnt."""


@pytest.mark.parametrize(("name", "profile", "scene", "spoil"), DAMAGES, ids=[f"{d[0]}-{d[3].__name__}" for d in DAMAGES])
def test_obvious_damage_costs(name: str, profile: str, scene: Scene, spoil: Any, request: pytest.FixtureRequest) -> None:
    measuring = Measuring(profile, request.getfixturevalue("pool") if profile == "reference" else NO_NETWORKS)
    good = list(render(scene, fps=8, seconds=1.0, seed=2))
    intact, spoilt = (measuring.one(name, measuring.clip(frames), {}, PROMPT) for frames in (good, spoil(good)))
    assert isinstance(intact, Reading)
    assert isinstance(spoilt, Reading)
    assert spoilt.score < intact.score - 1e-4


# ---- a fifteenth dimension ----

BRIGHTNESS = '''"""Brightness: the mean of all pixels (ours, for a test)."""

from wanbench.decoding import prepare
from wanbench.dimension import Method, dimension
from wanbench.types import Reading


@dimension(
    id="x_brightness",
    pillar="image",
    version=1,
    methods=(Method(name="mean", profile="lite", settings=dict(prepare.SETTINGS)),),
    raw={"mean_255": "mean of all pixels and channels"},
)
def measure(clip, prompt, tools):
    mean = float(clip.frames.mean())
    return Reading(score=mean / 255, raw={"mean_255": round(mean, 3)})
'''


def test_a_fifteenth_dimension_is_one_file(tmp_path: Path) -> None:
    """Dropped into a copy of the package: planned, measured by a worker, summarised and reported, with nothing else edited."""
    copy = tmp_path / "lib" / "wanbench"
    shutil.copytree(Path(wanbench.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "metrics" / "x_brightness.py").write_text(BRIGHTNESS)
    grey = [np.full((64, 96, 3), value, np.uint8) for value in (50, 100, 150)]
    write_video(tmp_path / "grey.mp4", grey, fps=8)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WANBENCH_")}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "wanbench", "score", "grey.mp4", "--profile", "lite", "--out", "run", "--json",
         "--dimensions", "x_brightness,camera_control"],
        cwd=tmp_path, env={**kept, "PYTHONPATH": str(copy.parent)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["summary"]["candidates"][tmp_path.name]["dimensions"]
    assert list(found) == ["camera_control", "x_brightness"]
    assert found["x_brightness"]["score"] == pytest.approx(100 / 255, abs=0.01)
    record = [json.loads(line) for line in (tmp_path / "run" / "measurements.jsonl").read_text().splitlines()]
    row = next(line for line in record if line["dimension"] == "x_brightness")
    assert row["method"] == "mean"
    assert row["raw"]["mean_255"] == pytest.approx(100, abs=2)
    assert "X brightness" in (tmp_path / "run" / "report.html").read_text()
