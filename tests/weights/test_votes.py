"""Reading human comparisons: the columns, the turning of pairs, and every way in which a line can be wrong."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from wanbench.errors import UsageError
from wanbench.weights.votes import code, read_votes

HEAD = "candidate_a,candidate_b,prompt_id,preference"


def written(path: Path, *lines: str, head: str = HEAD) -> Path:
    file = path / "human.csv"
    file.write_text("\n".join([head, *lines]) + "\n")
    return file


def test_a_pair_is_turned_into_the_order_of_the_alphabet(tmp_path: Path) -> None:
    head = f"{HEAD},score_a,score_b,annotator"
    file = written(tmp_path, "x,y,p,a,4,2,ann", "y,x,p,a,5,1,bob", "y,x,q,tie,3,3,bob", head=head)
    votes = read_votes(file).votes
    assert [(v.a, v.b, v.preference, v.scores, v.annotator, v.line) for v in votes] == [
        ("x", "y", "a", (4, 2), "ann", 2),
        ("x", "y", "b", (1, 5), "bob", 3),
        ("x", "y", "tie", (3, 3), "bob", 4),
    ]
    assert read_votes(file).sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_heads_as_people_write_them(tmp_path: Path) -> None:
    file = written(tmp_path, "", 'm, "n, too" ,p,TIE', "", head="\ufeffModel A,b,Prompt, Preference ".replace("\ufeff", ""))
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b', "n, too" ', b',"n, too"').replace(b"\n", b"\r\n"))
    (vote,) = read_votes(file).votes
    assert (vote.a, vote.b, vote.prompt, vote.preference, vote.annotator, vote.aspect, vote.line) == (
        "m", "n, too", "p", "tie", None, "overall", 3
    )  # fmt: skip


@pytest.mark.parametrize(
    ("head", "complaint"),
    [
        ("candidate_a,candidate_b,preference", "has no column prompt_id; it needs"),
        ("", "has no column candidate_a, candidate_b, prompt_id, preference"),
        (f"{HEAD},prompt", "two columns prompt_id"),
        (f"{HEAD},score_a", "needs both or neither"),
    ],
)
def test_wrong_heads(tmp_path: Path, head: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        read_votes(written(tmp_path, "x,y,p,a,1,2", head=head))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("x,y,p", "3 cells for 8 columns"),
        ("x,x,p,a,,,ann,look", "x is compared with itself"),
        ("x,,p,a,,,ann,look", "candidate_b is empty"),
        ("x,y,,a,,,ann,look", "prompt_id is empty"),
        ("x,y,p,a,,, ,look", "annotator is empty"),
        ("x,y,p,a,,,ann,", "aspect is empty"),
        ("x,y,p,x,,,ann,look", "preference must be a, b or tie, not 'x'"),
        ("x,y,p,a,4,,ann,look", "must both be numbers, not '4' and ''"),
        ("x,y,p,a,nan,1,ann,look", "must be finite"),
        ("x,y,p,a,1,4,ann,look", "a is preferred, but has the lower score"),
        ("x,y,p,b,4,1,ann,look", "b is preferred, but has the lower score"),
        ("y,x,first,tie,,,ann,look", "ann has compared x and y on first already, in line 2"),
        ('x,y,"p,a,,,ann,look', "line 3: unexpected end of data"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    head = f"{HEAD},score_a,score_b,annotator,aspect"
    file = written(tmp_path, "x,y,first,a,,,ann,look", line, head=head)
    with pytest.raises(UsageError, match=complaint) as raised:
        read_votes(file)
    assert f"{file} line 3" in str(raised.value)


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_votes(tmp_path / "gone.csv")
    with pytest.raises(UsageError, match="holds no comparison"):
        read_votes(written(tmp_path))
    (tmp_path / "human.csv").write_bytes(b"candidate_a\xff")
    with pytest.raises(UsageError, match="is not UTF-8 text"):
        read_votes(tmp_path / "human.csv")


def test_the_same_annotator_may_judge_another_aspect(tmp_path: Path) -> None:
    file = written(tmp_path, "x,y,p,a,ann,motion", "x,y,p,b,ann,look", head=f"{HEAD},annotator,aspect")
    found = read_votes(file)
    assert found.aspects == ["motion", "look"]
    assert [v.preference for v in found.about("look")] == ["b"]
    with pytest.raises(UsageError, match="--aspect takes motion, look"):
        found.about("overall")
    one = read_votes(written(tmp_path, "x,y,p,a,ann,motion", head=f"{HEAD},annotator,aspect"))
    assert len(one.about("overall")) == 1


def test_votes_as_numbers_do_not_depend_on_the_order_of_lines(tmp_path: Path) -> None:
    lines = ["x,y,p,a,4,2", "z,x,q,a,5,1", "y,x,q,tie,3,3"]
    first, second = (
        code(read_votes(written(tmp_path, *order, head=f"{HEAD},score_a,score_b")).votes) for order in (lines, lines[::-1])
    )
    assert first.pairs == second.pairs == [("x", "y"), ("x", "z")]
    assert first.value.tolist() == second.value.tolist() == [2, 0, -4]
    assert first.valued_by == "scores"
    assert first.prompt.tolist() == second.prompt.tolist() == [0, 1, 1]


def test_scores_count_only_where_every_vote_has_them(tmp_path: Path) -> None:
    coded = code(read_votes(written(tmp_path, "x,y,p,a,4,2", "x,y,q,b,,", head=f"{HEAD},score_a,score_b")).votes)
    assert (coded.valued_by, coded.value.tolist()) == ("preference", [1, -1])
