"""Reading suites and prompts files: what is accepted, and that whatever is wrong is named by file and line."""

from __future__ import annotations

import json

import pytest

from wanbench.errors import UsageError
from wanbench.prompts.suite import load_sidecar, load_suite, load_video_lines, named_suite


@pytest.fixture
def write(tmp_path):
    def file(content: str | bytes, name: str = "p.jsonl"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return file


def test_a_suite_is_hashed_and_keeps_its_order(write):
    path = write(
        '{"id": "b-1", "text": "two"}\n\n{"id": "a-1", "text": {"zh": "一", "en": "one"}, "subset": "s"}\n', "mine.jsonl"
    )
    suite = load_suite(str(path))
    assert suite.name == "mine"
    assert [(p.id, p.text, p.subset) for p in suite.prompts.values()] == [("b-1", "two", None), ("a-1", "one", "s")]
    assert suite.hash == load_suite(str(path)).hash
    path.write_text('{"id": "b-1", "text": "other"}\n')
    assert suite.hash != load_suite(str(path)).hash


def test_only_the_text_is_required(write):
    suite = load_suite(str(write('{"text": "one"}\n{"text": "two", "dimension": "smoothness"}\n', "mine.jsonl")))
    assert list(suite.prompts) == ["mine-001", "smoothness-002"]
    assert suite.prompts["mine-001"].dimension is None


def test_a_suite_may_be_csv_and_open_with_a_byte_order_mark(write):
    suite = load_suite(str(write(b'\xef\xbb\xbfid,text,dimension\nq,"a, b",smoothness\n', "p.csv")))
    assert [(p.id, p.text, p.dimension) for p in suite.prompts.values()] == [("q", "a, b", "smoothness")]


def test_an_unknown_suite_names_the_known(tmp_path):
    for missing in (tmp_path / "gone.jsonl", tmp_path):
        with pytest.raises(UsageError, match=r"cannot be read: .*; known names are smoke, mini, full"):
            load_suite(str(missing))


DEEP = "[" * 100_000
WRONG_SUITES = {
    '{"id": "a"}': "line 1: a line of a suite needs `text`",
    '{"text": "ok"}\n{"text": 7}': "line 2: text: 7 is neither a string nor a JSON object",
    '{"text": "ok"}\n{"text": " "}': "line 2: text: ' ' is not a text that is not empty",
    '{"id": "a", "text": "x"}\n{"id": "a", "text": "y"}': "line 2: the id 'a' is there twice",
    '{"id": 3, "text": "x"}': "line 1: a prompt's id must be a string, not 3",
    '{"text": "x", "dimension": "beauty"}': "line 1: dimension: 'beauty' is not one of ['large_motion_generation'",
    '{"text": "x"}\nnot json': "line 2 is not valid JSON",
    '{"text": "\\ud800"}': "line 1 is not valid JSON",
    f'{{"text": {DEEP}': "line 1 is not valid JSON",
    "[1]": "line 1 is not a JSON object",
    "\n\n": "is empty",
}


@pytest.mark.parametrize(("content", "complaint"), WRONG_SUITES.items(), ids=[str(k) for k in range(len(WRONG_SUITES))])
def test_wrong_suites(write, content, complaint):
    path = write(content)
    with pytest.raises(UsageError) as caught:
        load_suite(str(path))
    assert complaint in str(caught.value)
    assert str(path) in str(caught.value)


WRONG_PROMPTS = {
    "a": ('{"video": "x.mp4"}', "p.jsonl", "line 1: a line needs `prompt_id` or `prompt` beside `video`"),
    "b": ('{"prompt": "x"}', "p.jsonl", "line 1: a line needs `video`"),
    "c": ('{"video": "x", "prompt": "p", "seed": "two"}', "p.jsonl", "line 1: `seed` must be a whole number, not 'two'"),
    "d": ('{"video": "x", "prompt_id": 17}', "p.jsonl", "line 1: a prompt's id must be a string, not 17"),
    "e": ("video,prompt\nx.mp4,p\nx.mp4,p,q\n", "p.csv", "line 3 has more cells than the first line has names"),
    "f": ('video,prompt\n"x.mp4,p\n', "p.csv", "line 2 is not valid CSV"),
    "g": (f"video,prompt\nx.mp4,{'y' * 200_000}\n", "p.csv", "line 2 is not valid CSV: field larger than field limit"),
    "h": ("file;prompt\nx;y\n", "p.csv", "line 2: a line needs `video`"),
    "i": (b'{"video": "x", "prompt": "\xff"}', "p.jsonl", "line 1 is not UTF-8 text"),
    "j": ('{"video": "x", "prompt": "p", "seed": NaN}', "p.jsonl", "line 1 is not valid JSON"),
}


@pytest.mark.parametrize("case", WRONG_PROMPTS)
def test_wrong_prompts_files(write, case):
    content, name, complaint = WRONG_PROMPTS[case]
    path = write(content, name)
    with pytest.raises(UsageError) as caught:
        load_video_lines(path)
    assert complaint in str(caught.value)
    assert str(path) in str(caught.value)


def test_unreadable_prompts_files(tmp_path):
    for path in (tmp_path, tmp_path / "gone.csv"):
        with pytest.raises(UsageError, match=r"the prompts file .* cannot be read"):
            load_video_lines(path)


def test_csv_cells(write):
    path = write(
        'video,prompt_id,prompt,seed,objects\r\na.mp4,p,,3,\r\nb.mp4,,"two\nlines",,"[{""name"": ""cat""}]"\r\n', "p.csv"
    )
    first, second = load_video_lines(path)
    assert (first.prompt_id, first.prompt, first.seed) == ("p", None, 3)
    assert second.prompt is not None
    assert (second.prompt_id, second.prompt.text, second.seed) == (None, "two\nlines", None)
    assert second.prompt.fields["objects"] == [{"name": "cat"}]


def test_sidecars(write):
    assert load_sidecar(write('{"fps": 16}', "x.json"), "x.mp4") is None  # no prompt, so not meant for us
    line = load_sidecar(write(json.dumps({"prompt": "p", "id": "a", "seed": 2, "dimension": "smoothness"}), "x.json"), "x.mp4")
    assert line is not None
    assert line.prompt is not None
    assert (line.prompt_id, line.prompt.dimension, line.seed) == ("a", "smoothness", 2)
    for content, complaint in (
        ("[]", "is not a JSON object"),
        ("{", "is not valid JSON"),
        ('{"id": 5}', "must be a string, not 5"),
    ):
        with pytest.raises(UsageError, match=complaint):
            load_sidecar(write(content, "x.json"), "x.mp4")


def test_one_listing_names_one_suite(write):
    assert named_suite(write('{"video": "x", "prompt": "p"}\n')) is None
    with pytest.raises(UsageError, match="names several suites: full, mini; choose one with --suite"):
        named_suite(write('{"suite": "mini"}\n{"suite": "full"}\n'))
