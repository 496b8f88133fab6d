"""The Python call: the same run, the same text of errors, and frames."""

from __future__ import annotations

import dataclasses
import html.parser
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import wanbench
from wanbench.api import Listener
from wanbench.cli.app import app
from wanbench.errors import MissingCheckpoints, OutputError, RunLocked, UsageError
from wanbench.record import RunDirectory

from .cli.command import LITE, Wanbench, check_run, untimed, write_clips


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("api") / "clips", 3)


@pytest.fixture(scope="module")
def run(clips, tmp_path_factory):
    """A finished run, made by the call."""
    heard = {"hashing": [], "progress": [], "started": [], "warning": []}
    listener = Listener(
        hashing=lambda done, total: heard["hashing"].append((done, total)),
        progress=lambda progress: heard["progress"].append((progress.done, progress.total)),
        warning=heard["warning"].append,
        started=heard["started"].append,
    )
    out = tmp_path_factory.mktemp("run") / "r"
    run = wanbench.score(clips, profile="lite", out=out, workers=1, listener=listener)
    assert heard == {
        "hashing": [(1, 3), (2, 3), (3, 3)],
        "progress": [(0, 3), (1, 3), (2, 3), (3, 3)],
        "started": [out],
        "warning": [],
    }
    return run


def test_the_call_makes_the_run_that_the_command_makes(run, clips, tmp_path):
    check_run(run.path)
    assert Wanbench(tmp_path, tmp_path / "home")("score", clips, "--profile", "lite", "--out", "r").code == 0
    assert untimed(tmp_path / "r") == untimed(run.path)
    assert json.loads((tmp_path / "r" / "summary.json").read_bytes()) == run.summary
    assert run.info["status"] == "complete"
    assert run.errors == []


def test_frames(run):
    loaded = wanbench.load(run.path)
    rows = loaded.measurements()
    assert len(rows) == 3 * 14
    assert set(rows["candidate"]) == {"clips"}
    assert rows[rows["status"] == "ok"]["score"].notna().all()
    scores = loaded.scores().set_index(["candidate", "dimension"])
    entry = run.summary["candidates"]["clips"]["dimensions"][LITE[0]]
    assert scores.loc[("clips", LITE[0]), "score"] == entry["score"]
    assert list(scores.columns)[:3] == ["score", "low", "high"]
    assert loaded == wanbench.load(str(run.path))


def test_errors_are_exceptions_with_the_text_of_the_command(run, clips, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANBENCH_HOME", str(tmp_path / "home"))
    command = Wanbench(tmp_path, tmp_path / "home")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for arguments, options in (
        (["gone"], {}),
        (["empty"], {"profile": "lite"}),
        ([clips], {}),
        ([clips], {"profile": "lite", "dimensions": ["beauty"]}),
        ([clips], {"profile": "lite", "out": "file"}),
        ([clips], {"profile": "lite", "suite": "nosuch"}),
    ):
        words = [w for k, v in options.items() for w in (f"--{k}", ",".join(v) if isinstance(v, list) else v)]
        with pytest.raises(UsageError) as caught:
            wanbench.score(*arguments, **options)
        assert command("score", *arguments, *words).complaint == f"wanbench: {' '.join(str(caught.value).split())}"
    with pytest.raises(MissingCheckpoints):
        wanbench.score(clips)
    with RunDirectory(run.path), pytest.raises(RunLocked):
        wanbench.score(clips, profile="lite", out=run.path)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"profile": "medium"}, "unknown profile 'medium'"),
        ({"dtype": "int8"}, "unknown dtype 'int8'"),
        ({"workers": 0}, "--workers must be at least 1"),
        ({"limit": -1}, "--limit must be at least 1"),
        ({"dimensions": []}, "no dimension is named"),
    ],
)
def test_wrong_options(clips, options, complaint):
    with pytest.raises(UsageError, match=complaint):
        wanbench.score(clips, **{"profile": "lite", **options})
    with pytest.raises(UsageError, match="nothing to score"):
        wanbench.score(profile="lite")


def test_loading_what_is_no_finished_run(tmp_path, run):
    with pytest.raises(UsageError, match=r"is .* a wanbench run"):
        wanbench.load(tmp_path)
    (tmp_path / "run.json").write_bytes((run.path / "run.json").read_bytes())
    with pytest.raises(UsageError, match=r"summary\.json does not exist"):
        wanbench.load(tmp_path)


def test_a_script_without_a_main_guard_works(clips, tmp_path):
    (tmp_path / "script.py").write_text(
        f"import wanbench\nrun = wanbench.score({str(clips)!r}, profile='lite', out='r', dimensions=[{LITE[0]!r}])\n"
        "print(run.scores()['n'].sum())\n"
    )
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "3"), done.stderr


def test_files_of_the_working_folder_are_not_imported_by_workers(clips, tmp_path):
    for name in ("cv2", "av", "numpy", "random"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong file')\n")
    ended = Wanbench(tmp_path, tmp_path / "home")("score", clips, "--profile", "lite", "--dimensions", LITE[0], "--out", "r")
    assert ended.code == 0, ended


def test_nothing_public_shares_its_name_with_a_module():
    folder = Path(wanbench.__file__).parent
    modules = {p.stem for p in folder.glob("*.py")} | {p.name for p in folder.iterdir() if (p / "__init__.py").exists()}
    assert not modules & set(wanbench.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = wanbench.nonsense


def test_output_that_cannot_be_written_is_an_output_error(clips, tmp_path):
    (tmp_path / "r" / "report.html").mkdir(parents=True)
    (tmp_path / "r" / "run.json").mkdir()
    with pytest.raises((UsageError, OutputError), match=r"run\.json"):
        wanbench.score(clips, profile="lite", out=tmp_path / "r")


def test_run_is_the_run_of_the_command(tmp_path, monkeypatch):
    """From a model's name to a report, by the call and by the command: the same run, found again by either."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANBENCH_HOME", str(tmp_path / "home"))
    run = wanbench.run("wan-tiny", suite="smoke", profile="lite", limit=2, size=(64, 96), frames=5, steps=1, device="cpu")
    check_run(run.path)
    assert run.info["candidates"]["wan-tiny"]["settings"]["size"] == [64, 96]
    assert run.path == Path("runs") / f"wan-tiny-{run.info['plan']['hash']}"
    words = ["--suite", "smoke", "--profile", "lite", "--limit", "2", "--size", "96x64", "--frames", "5", "--steps", "1"]
    again = Wanbench(tmp_path, tmp_path / "home")("run", "--model", "wan-tiny", "--device", "cpu", *words)
    assert again.code == 0, again
    assert "is finished" in again.err, "the command finds the run of the call"


def test_run_takes_the_options_of_the_command():
    """Every option of `wanbench run` is a keyword of the same name; only what concerns a terminal is left out."""
    from wanbench.evaluation.ordering import order
    from wanbench.making.keywords import word
    from wanbench.making.makers import ASIDE, MakerOptions

    command = typer.main.get_command(app).commands["run"]
    options = {parameter.name for parameter in command.params} - {"help"}
    keywords = set(inspect.signature(wanbench.run).parameters) - {"command", "listener", "of_model"}
    ordered = set(inspect.signature(order).parameters) - {"of_model"}
    assert keywords - ordered == {"size"}, "all reach the one function that settles a run"
    assert ordered <= keywords
    of_model = {word(field.name) for field in dataclasses.fields(MakerOptions)} - set(ASIDE)
    assert options - keywords - of_model == {"dry_run", "json", "quiet", "verbose", "no_progress"}
    assert keywords <= options
    scoring = {parameter.name for parameter in typer.main.get_command(app).commands["score"].params} - {"help"}
    named = set(inspect.signature(wanbench.score).parameters) - {"command", "listener"}
    assert scoring ^ named == {"json", "quiet", "verbose", "no_progress"}


def test_run_refuses_what_the_command_refuses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANBENCH_HOME", str(tmp_path / "home"))
    for options, complaint in (
        ({"stepz": 3}, "unknown option 'stepz'; those of a model are size, .*steps.*vae_tile"),
        ({"suite": "nosuch"}, "nosuch"),
        ({"log_to": ["nowhere"]}, "--log-to takes"),
        ({"baseline": "b.json"}, "--baseline and --policy belong to --sequential"),
        ({"limit": 0}, "--limit must be at least 1"),
        ({"seed": -1}, "a seed is a whole number from 0 up, not -1"),
        ({"size": "832x480"}, r"a size is \(height, width\) in pixels"),
        ({"guidance": "strong"}, "--guidance takes a number, or two .*, not 'strong'"),
        ({"guidance_passes": "sideways"}, "--guidance-passes is auto, together, apart, not 'sideways'"),
        ({"seeds": ["0"]}, "seeds are different whole numbers from 0 up"),
        ({"image": "gone.png"}, "^1 images were given"),
        ({"lora": "gone.safetensors:0.8"}, "gone.safetensors"),
        ({"dimensions": "beauty"}, "unknown dimension 'beauty'"),
    ):
        with pytest.raises(UsageError, match=complaint):
            wanbench.forecast("wan-tiny", **{"suite": "smoke", "profile": "lite", **options})
        with pytest.raises(UsageError, match=complaint):
            wanbench.run("wan-tiny", **{"suite": "smoke", "profile": "lite", **options})
    with pytest.raises(UsageError, match="no-such-model"):
        wanbench.run("no-such-model", suite="smoke", profile="lite")
    assert not (tmp_path / "runs").exists()


def test_options_of_a_model_are_what_the_command_makes_of_them():
    from wanbench.cli.model_options import ModelOptions, PassesName
    from wanbench.making.keywords import maker_options

    assert maker_options({"guidance_passes": "auto"}) == maker_options({}) == ModelOptions().for_maker(dtype=None)
    asked = ModelOptions(
        size="96x64",
        guidance="3,4",
        image=[Path("a.png")],
        video=Path("v.mp4"),
        mask=Path("m.png"),
        lora=["s.safetensors:0.8"],
        guidance_passes=PassesName.APART,
    )
    told = {"size": [64, 96], "guidance": [3, 4], "image": "a.png", "video": "v.mp4", "mask": "m.png",
            "lora": "s.safetensors:0.8", "guidance_passes": "apart"}  # fmt: skip
    assert maker_options(told) == asked.for_maker(dtype=None)
    assert maker_options({**told, "image": ["a.png"], "lora": ["s.safetensors:0.8"]}) == asked.for_maker(dtype=None)


def test_the_forecast_is_that_of_a_dry_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANBENCH_HOME", str(tmp_path / "home"))
    found = wanbench.forecast(
        "wan-tiny", suite="smoke", profile="lite", limit=2, size=(64, 96), frames=5, steps=1, device="cpu", seeds=[0, 1]
    )
    words = ["--suite", "smoke", "--profile", "lite", "--limit", "2", "--size", "96x64", "--frames", "5", "--steps", "1"]
    dry = Wanbench(tmp_path, tmp_path / "home")(
        "run", "--model", "wan-tiny", "--device", "cpu", "--seeds", "0,1", *words, "--dry-run", "--json"
    )
    assert (found.videos, found.prompts) == (4, 2)
    moving = {"disk_free_bytes", "probed", "seconds_a_video", "device_hours"}
    assert {k: v for k, v in dry.json.items() if k not in moving} == {
        k: list(v) if isinstance(v, tuple) else v for k, v in found.to_json().items() if k not in moving
    }
    assert not (tmp_path / "runs").exists()


def test_a_run_shows_itself(run, clips, tmp_path):
    printed = str(run)
    assert printed.splitlines()[0].split() == ["Dimension", "Score", "95", "%", "interval", "n", "skipped", "errors"]
    assert printed.splitlines()[-1] == f"report: {run.path / 'report.html'}"
    score = run.summary["candidates"]["clips"]["dimensions"][LITE[0]]["score"]
    assert f"{score:.3f}" in printed
    assert "\x1b" not in printed
    assert repr(run) == f"Run(path={run.path!r})"


def test_a_notebook_shows_a_table_that_names_cannot_break(run, tmp_path):
    hostile = "<script>alert(1)</script>&\"'"
    summary = json.loads(json.dumps(run.summary))
    summary["candidates"][hostile] = summary["candidates"]["clips"]
    shown = dataclasses.replace(run, summary=summary, path=tmp_path / "<b>")._repr_html_()
    table = html.parser.HTMLParser()
    tags: list[str] = []
    table.handle_starttag = lambda tag, attributes: tags.append(tag)
    texts: list[str] = []
    table.handle_data = texts.append
    table.feed(shown)
    assert set(tags) == {"table", "thead", "tbody", "tr", "th", "td", "div", "span"}
    assert hostile in texts
    found = summary["candidates"]["clips"]["dimensions"][LITE[0]]
    assert f"{found['score']:.3f} " in texts
    assert f"[{found['low']:.3f}–{found['high']:.3f}]" in texts
    assert not re.search(r"(src|href|class|id)=", shown), "nothing to fetch, nothing that another page's style reaches"


def test_a_finished_score_shows_the_weighted_score(run):
    summary = json.loads(json.dumps(run.summary))
    weighted = {"score": 0.7154, "low": 0.7, "high": 0.73, "weights": "table2", "complete": True}
    summary["candidates"]["clips"] |= {"weighted": weighted}
    del summary["candidates"]["clips"]["partial"]
    shown = dataclasses.replace(run, summary=summary)
    assert "Weighted score" in shown._repr_html_()
    assert "0.715 " in shown._repr_html_()
    assert "weighted score 0.715 [0.700–0.730], weights table2" in str(shown)
