"""Imports run one way: a file may import only from the layers under its own, and the half that counts never meets torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import wanbench

ROOT = Path(wanbench.__file__).parent

LAYERS: list[set[str]] = [
    # words and facts
    {"errors", "types", "published", "clip", "decoding.structure", "cli.interrupts"},
    {"scenes.backdrop", "scenes.damage", "scenes.priority"},
    {"expectations"},
    {"fourteen", "stats", "networks", "download", "checkpoint_table", "record", "training.labels", "comparison.conditions"},
    {"execution.*", "decoding.video", "vbench"},
    {"checkpoints", "exporting", "chat", "decoding.prepare", "scenes.sprite", "scenes.encode"},
    {"generator.*"},
    {"controls.verdict", "controls.record", "controls.derive", "fid"},
    # scores, and what may be said of two
    {"prompts.diversity", "prompts.rules", "prompts.lines"},
    {"prompts.suite"},
    {"weights.*"},
    {"scoring", "evaluation.samples", "prompts.*", "decoding.process", "scenes.render", "metrics.nets._*", "judge.*"},
    {"comparison.*"},
    # dimensions, and reports
    {"dimension", "reports.*", "demo"},
    {"judge.choice", "judge.audit", "making.*"},
    {"metrics.nets.*", "metrics._dis", "metrics._spread"},
    {"metrics._*", "training.artifacts"},
    {"metrics.*"},
    # a run: planned, measured, dealt to workers
    {"evaluation.evidence", "evaluation.plan"},
    {"evaluation.stopping"},
    {"evaluation.worker", "doctor"},
    {"evaluation.runner", "inspection", "controls.measure", "fid_sets"},
    {"evaluation.outcome", "controls.crew"},
    {"hooks.*"},
    {"evaluation.measuring"},
    {"evaluation.commission", "auditing", "controls.conduct"},
    {"making.forecast"},
    {"evaluation.running"},
    {"evaluation.ordering"},
    {"api"},
    # the door
    {"cli.*", "pytest_plugin"},
    {"cli.app"},
    {"__main__"},
]
"""Lowest first; the longest pattern that fits decides."""

PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
WITHIN = {*PACKAGES} - {"evaluation", "decoding", "training"}
"""Packages whose files may import each other inside one layer, as long as there is no circle."""

LIGHT = """stats, scoring, record, exporting, published, vbench, evaluation.samples, prompts.suite, prompts.coverage,
    reports.page, reports.board_page, reports.board_text, reports.terminal,
    comparison.conditions, comparison.sides, comparison.paired, comparison.comparing, comparison.as_json, comparison.baseline,
    comparison.policy, comparison.gating, comparison.sequential,
    weights.weighting, weights.admissible, weights.results, weights.votes, weights.preferences, weights.fitting"""


def modules() -> dict[str, Path]:
    """Name without the leading `wanbench.` -> file; the packages' own files left out."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in sorted(ROOT.rglob("*.py"))
        if path.name != "__init__.py"
    }


def imports(path: Path) -> Iterator[str]:
    """Modules of ours that a file imports, in any spelling, wherever in the file."""
    known = modules()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [str(node.module)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (short for name in names if (short := name.removeprefix("wanbench.")) in known and name != short)


def layer(module: str) -> int:
    """Height of a module. The longest pattern that fits decides."""
    fits = [
        (len(pattern), height)
        for height, patterns in enumerate(LAYERS)
        for pattern in patterns
        if module == pattern or (pattern.endswith("*") and module.startswith(pattern[:-1]))
    ]
    assert fits, f"{module} is in no layer: decide where it belongs"
    return max(fits)[1]


@pytest.mark.parametrize("module", list(modules()))
def test_imports_only_from_below(module: str) -> None:
    for imported in set(imports(modules()[module])):
        inside = layer(imported) == layer(module) and imported.split(".")[0] == module.split(".")[0] in WITHIN
        assert layer(imported) < layer(module) or inside, f"{module} imports {imported}, which does not lie under it"


def test_the_generator_stands_alone() -> None:
    """It knows only errors and the store of checkpoints; who makes videos and the commands know it."""
    for module, path in modules().items():
        for imported in set(imports(path)):
            inside = module.startswith("generator."), imported.startswith("generator.")
            assert inside != (True, False) or imported in {"errors", "checkpoints"}, f"{module} imports {imported}"
            assert inside != (False, True) or module.startswith(("cli.", "making.")), f"{module} imports {imported}"


def test_the_generator_package_alone_needs_no_torch() -> None:
    code = "import wanbench.generator, wanbench.generator.configurations, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_there_is_no_circle() -> None:
    edges = {module: set(imports(path)) for module, path in modules().items()}
    while edges:
        free = {module for module, below in edges.items() if not below & edges.keys()}
        assert free, f"these import each other in a circle: {', '.join(sorted(edges))}"
        edges = {module: below for module, below in edges.items() if module not in free}


def test_every_layer_names_something() -> None:
    for pattern in set().union(*LAYERS):
        assert any(m == pattern or (pattern.endswith("*") and m.startswith(pattern[:-1])) for m in modules()), pattern


def test_the_half_that_counts_meets_neither_torch_nor_a_decoder() -> None:
    wanted = ", ".join(f"wanbench.{name.strip()}" for name in LIGHT.split(","))
    heavy = "{'torch', 'cv2', 'av', 'torchvision', 'transformers', 'pandas'}"
    code = f"import {wanted}, sys; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_listing_dimensions_needs_no_torch_and_no_decoder() -> None:
    code = "import sys; from wanbench.dimension import load_all; load_all(); print(sorted({'torch', 'av'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
