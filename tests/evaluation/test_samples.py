"""Which files are samples, of which candidate, and for which prompt: every way the interface names, in its order."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from wanbench.errors import UsageError
from wanbench.evaluation.samples import EXTENSIONS, Found, candidates, find, suite_named_by
from wanbench.prompts.suite import load_suite

SUITE = [
    {"id": "camera_control-001", "dimension": "camera_control", "text": "A pan over a bay",
     "camera": {"movement": "pan", "direction": "left"}},
    {"id": "camera_control-001-2", "dimension": "camera_control", "text": "another"},
    {"id": "smoothness-007", "dimension": "smoothness", "text": {"en": "A cat / a dog", "zh": "猫"}},
    {"id": "smoothness-008", "dimension": "smoothness", "text": "x" * 300},
]  # fmt: skip


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in SUITE))
    return load_suite(str(path))


def put(folder: Path, *names: str, bytes_of=None) -> Path:
    """Files with different content, which need not be videos: nothing is decoded here."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(bytes_of if bytes_of is not None else os.fsencode(name))
    return folder


def search(*arguments, name=None, suite=None, prompts=None, limit=None) -> Found:
    chosen = candidates([str(a) for a in arguments], name)
    return find(chosen, suite=suite, prompts_file=prompts, limit=limit)


def prompts_of(found: Found) -> dict[str, tuple[str | None, str | None, int | None]]:
    """File name -> (prompt id, text, seed)."""
    return {s.path.name: (s.prompt_id, s.prompt.text if s.prompt else None, s.seed) for s in found.samples}


def named(*arguments, name=None) -> list[str]:
    return [c.name for c in candidates([str(a) for a in arguments], name)]


def test_plain_paths_are_one_candidate_named_by_option_or_first_folder(tmp_path):
    a, b = put(tmp_path / "alpha", "x.mp4"), put(tmp_path / "beta", "y.mp4")
    assert named(a, b) == ["alpha"]
    assert named(b, a) == ["beta"]
    assert named(a / "x.mp4", b) == ["beta"]
    assert named(a, b, name="mine") == ["mine"]
    assert named(b / "y.mp4", a / "x.mp4") == named(a / "x.mp4", b / "y.mp4") == ["alpha"]
    assert [s.path.name for s in search(a, b).samples] == ["x.mp4", "y.mp4"]


def test_named_candidates_and_equals_signs_in_paths(tmp_path):
    odd = put(tmp_path / "cfg=7", "x.mp4")
    assert named(f"m={odd}") == ["m"]
    assert search(f"m={odd}").samples[0].path == odd / "x.mp4"
    with pytest.raises(UsageError, match="a path that contains '=' needs a name of its own: NAME="):
        candidates([str(odd)], None)
    for argument in ("=x", "x="):
        with pytest.raises(UsageError, match="is not NAME=PATH"):
            candidates([argument], None)
    with pytest.raises(UsageError, match="--name"):
        candidates([f"m={odd}"], "other")


def test_what_does_not_exist_is_named(tmp_path):
    for missing in (tmp_path / "gone", "x" * 5000):
        with pytest.raises(UsageError, match="does not exist"):
            candidates([str(missing)], None)


def test_folders_are_searched_recursively_and_extensions_in_any_case(tmp_path):
    folder = put(
        tmp_path / "f", *(f"deep/er/{k}{e}" for k, e in enumerate(sorted(EXTENSIONS))), "A.MP4", "b.WebM", "c.txt", ".d.mp4"
    )
    names = {s.path.name for s in search(folder).samples}
    assert names == {f"{k}{e}" for k, e in enumerate(sorted(EXTENSIONS))} | {"A.MP4", "b.WebM"}
    assert [s.path.name for s in search(folder / "c.txt").samples] == ["c.txt"]  # named on the command line: taken


def test_nothing_to_score(tmp_path):
    with pytest.raises(UsageError, match=r"no video in .*f \(looked for .*\.mp4"):
        search(put(tmp_path / "f", "notes.txt"))


@pytest.mark.parametrize(
    "name",
    [
        "-leading.mp4",
        "sp ace & ünï 視頻 🎬 (1).mp4",
        "new\nline.mp4",
        os.fsdecode(b"not-utf8-\xff.mp4"),
        "quo'te\".mp4",
        "a=b.mp4",
    ],
)
def test_odd_names_are_samples_like_any_other(tmp_path, name):
    folder = put(tmp_path / "f", name)
    (sample,) = search(folder).samples
    assert sample.path == folder / name
    assert sample.sha256 == hashlib.sha256(os.fsencode(name)).hexdigest()


def test_the_order_of_arguments_does_not_matter(tmp_path):
    folder = put(tmp_path / "f", "b.mp4", "a.mp4", "c.mp4")
    files = [folder / n for n in ("c.mp4", "a.mp4", "b.mp4")]
    assert search(*files).samples == search(*reversed(files)).samples == search(folder).samples
    assert [s.path.name for s in search(folder, limit=2).samples] == ["a.mp4", "b.mp4"]


def test_equal_bytes_and_prompt_are_one_sample_and_said(tmp_path, suite):
    folder = put(tmp_path / "f", "a.mp4", "b.mp4", bytes_of=b"same")
    found = search(folder)
    assert [s.path.name for s in found.samples] == ["a.mp4"]
    assert found.warnings == (f"{folder / 'b.mp4'} holds the same bytes as {folder / 'a.mp4'}: one sample",)
    put(folder, "smoothness-007-0.mp4", "smoothness-007-1.mp4", "smoothness-008.mp4", bytes_of=b"same")
    assert len(search(folder, suite=suite).samples) == 4  # other prompt or seed: another sample
    assert len(search(f"x={folder}", f"y={folder}").samples) == 2


def test_the_same_file_twice_is_no_duplicate(tmp_path):
    folder = put(tmp_path / "f", "a.mp4")
    found = search(folder, folder / "a.mp4", tmp_path / "f" / ".." / "f")
    assert (len(found.samples), found.warnings) == (1, ())


def test_first_match_wins_in_the_stated_order(tmp_path, suite):
    folder = put(tmp_path / "f", "camera_control-001-5.mp4", "A pan over a bay-3.mp4")
    assert prompts_of(search(folder, suite=suite)) == {
        "camera_control-001-5.mp4": ("camera_control-001", "A pan over a bay", 5),
        "A pan over a bay-3.mp4": ("camera_control-001", "A pan over a bay", 3),
    }
    (folder / "camera_control-001-5.txt").write_text("from the text file\n")
    assert prompts_of(search(folder))["camera_control-001-5.mp4"][1] == "from the text file"
    (folder / "camera_control-001-5.json").write_text('{"prompt": "from the json file", "seed": 4}')
    assert prompts_of(search(folder))["camera_control-001-5.mp4"] == (None, "from the json file", 4)
    (folder / "prompts.jsonl").write_text('{"video": "camera_control-001-5.mp4", "prompt": "from the listing"}\n')
    assert prompts_of(search(folder))["camera_control-001-5.mp4"][1] == "from the listing"
    given = tmp_path / "given.csv"
    given.write_text("video,prompt,seed\ncamera_control-001-5.mp4,from the option,9\n")
    assert prompts_of(search(folder, prompts=given))["camera_control-001-5.mp4"] == (None, "from the option", 9)


def test_stems_take_the_longest_known_id(tmp_path, suite):
    folder = put(tmp_path / "f", "camera_control-001.mp4", "camera_control-001-2.mp4", "camera_control-001-2-3.mp4",
                 "camera_control-001-x.mp4", "camera_control-0010-1.mp4")  # fmt: skip
    found = search(folder, suite=suite)
    assert {name: (i, seed) for name, (i, _, seed) in prompts_of(found).items()} == {
        "camera_control-001.mp4": ("camera_control-001", None),
        "camera_control-001-2.mp4": ("camera_control-001-2", None),
        "camera_control-001-2-3.mp4": ("camera_control-001-2", 3),
        "camera_control-001-x.mp4": (None, None),
        "camera_control-0010-1.mp4": (None, None),
    }
    assert found.warnings == (
        "2 videos match no prompt of the suite own and are not scored: camera_control-001-x.mp4, camera_control-0010-1.mp4",
    )


def test_vbench_names_are_matched_as_a_file_name_can_hold_them(tmp_path, suite):
    folder = put(tmp_path / "f", "A cat   a dog-2.mp4", f"{'x' * 180}-0.mp4")
    assert {name: (i, seed) for name, (i, _, seed) in prompts_of(search(folder, suite=suite)).items()} == {
        "A cat   a dog-2.mp4": ("smoothness-007", 2),
        f"{'x' * 180}-0.mp4": ("smoothness-008", 0),
    }


def test_a_prompt_text_finds_the_suites_prompt(tmp_path, suite):
    folder = put(tmp_path / "f", "clip.mp4", "other.mp4")
    (folder / "clip.txt").write_text("A pan over a bay")
    given = tmp_path / "p.jsonl"
    given.write_text('{"video": "other.mp4", "prompt": "another", "seed": 1}\n')
    found = search(folder, suite=suite, prompts=given)
    assert prompts_of(found) == {
        "clip.mp4": ("camera_control-001", "A pan over a bay", None),
        "other.mp4": ("camera_control-001-2", "another", 1),
    }


def test_a_prompts_file_means_paths_and_not_just_names(tmp_path):
    """Two candidates with equal file names: a line for one is none for the other."""
    put(tmp_path / "v", "a/x.mp4", "b/x.mp4", "c/x.mp4")
    given = tmp_path / "elsewhere" / "p.csv"
    given.parent.mkdir()
    given.write_text("video,prompt\na/x.mp4,of a\nb/x.mp4,of b\n")
    found = search(tmp_path / "v", prompts=given)
    assert {s.path.parent.name: s.prompt.text if s.prompt else None for s in found.samples} == {
        "a": "of a",
        "b": "of b",
        "c": None,
    }
    assert found.warnings == ("1 videos have no prompt: x.mp4",)
    given.write_text("video,prompt\nx.mp4,of all\na/x.mp4,of a\n")
    assert [s.prompt.text for s in search(tmp_path / "v", prompts=given).samples] == ["of a", "of all", "of all"]
    given.write_text(f"video,prompt\n{tmp_path}/v/a/x.mp4,absolute\n../v/b/x.mp4,from the file\n")
    texts = [s.prompt.text if s.prompt else None for s in search(tmp_path / "v", prompts=given).samples]
    assert texts == ["absolute", "from the file", None]


def test_any_suite_field_of_a_prompts_file_arrives(tmp_path):
    folder = put(tmp_path / "f", "x.mp4")
    given = tmp_path / "p.csv"
    given.write_text('video,prompt_id,prompt,subset,camera\nx.mp4,p-1,"a, quoted",pan,"{""movement"": ""tracking""}"\n')
    (sample,) = search(folder, prompts=given).samples
    assert sample.prompt is not None
    assert (sample.prompt.id, sample.prompt.text, sample.prompt.subset) == ("p-1", "a, quoted", "pan")
    assert sample.prompt.fields["camera"] == {"movement": "tracking"}


def test_an_id_without_text_is_kept(tmp_path, suite):
    folder = put(tmp_path / "f", "x.mp4", "y.mp4")
    (folder / "prompts.jsonl").write_text(
        '{"video": "x.mp4", "prompt_id": "smoothness-007"}\n{"video": "y.mp4", "prompt_id": "q"}\n'
    )
    assert prompts_of(search(folder)) == {"x.mp4": ("smoothness-007", None, None), "y.mp4": ("q", None, None)}
    found = search(folder, suite=suite)
    assert prompts_of(found)["x.mp4"] == ("smoothness-007", "A cat / a dog", None)
    assert found.warnings == ("1 videos match no prompt of the suite own and are not scored: y.mp4",)


def test_a_listing_above_the_given_folder_is_none_of_ours(tmp_path):
    folder = put(tmp_path / "f", "sub/x.mp4")
    (tmp_path / "prompts.jsonl").write_text("this is not JSON\n")
    (folder / "prompts.jsonl").write_text('{"video": "sub/x.mp4", "prompt": "from the top"}\n')
    assert prompts_of(search(folder))["x.mp4"][1] == "from the top"
    assert prompts_of(search(folder / "sub"))["x.mp4"][1] is None
    assert prompts_of(search(folder / "sub" / "x.mp4"))["x.mp4"][1] is None


def test_the_suite_that_a_folder_names(tmp_path):
    one, two = put(tmp_path / "one", "x.mp4"), put(tmp_path / "two", "y.mp4")
    assert suite_named_by(candidates([str(one)], None)) is None
    (one / "prompts.jsonl").write_text('{"suite": "mini"}\n{"video": "x.mp4", "prompt": "p"}\n')
    assert suite_named_by(candidates([str(one)], None)) == suite_named_by(candidates([str(one / "x.mp4")], None)) == "mini"
    (two / "prompts.jsonl").write_text('{"suite": "own.jsonl", "video": "y.mp4", "prompt": "p"}\n')
    with pytest.raises(UsageError, match=r"different suites: mini, own\.jsonl"):
        suite_named_by(candidates([f"a={one}", f"b={two}"], None))
    (two / "own.jsonl").write_text('{"text": "p"}\n')
    assert suite_named_by(candidates([str(two)], None)) == str(two / "own.jsonl")


def test_unreadable_files_are_samples_with_a_reason(tmp_path):
    folder = put(tmp_path / "f", "a.mp4")
    os.mkfifo(folder / "pipe.mp4")
    (folder / "link.mp4").symlink_to("gone")
    found = search(folder)
    assert {p.name: r for p, r in found.unreadable.items()} == {
        "pipe.mp4": "cannot be read: not a regular file",
        "link.mp4": "cannot be read: No such file or directory",
    }
    assert [s.sha256 == "" for s in found.samples] == [False, True, True]


def test_equal_bytes_with_other_prompts_are_two_samples(tmp_path: Path) -> None:
    """And the plan of a run tells prompts apart by what they ask, whether or not they have ids."""
    for name in "ab":
        (tmp_path / f"{name}.mp4").write_bytes(b"the same")
    lines = [{"video": f"{n}.mp4", "text": "a hill", "camera": c} for n, c in (("a", "pan-left"), ("b", "pan-right"))]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = find(candidates([str(tmp_path)], "c"), suite=None, prompts_file=None, limit=None)
    assert [s.path.name for s in found.samples] == ["a.mp4", "b.mp4"]
    assert found.samples[0].prompt is not None
    assert found.samples[1].prompt is not None
    assert found.samples[0].prompt.content != found.samples[1].prompt.content
