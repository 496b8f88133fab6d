"""`wanbench checkpoints`: the table, the store, and commands that never touch the network here."""

from __future__ import annotations

from pathlib import Path

from wanbench.checkpoint_table import TABLE

from .command import Wanbench


def test_list_names_source_size_licence_and_whether_it_is_there(wanbench: Wanbench) -> None:
    ended = wanbench("checkpoints", "list", "--json")
    assert ended.code == 0
    rows = {row["name"]: row for row in ended.json}
    assert set(rows) == set(TABLE)
    for row in rows.values():
        assert row["licence"]
        assert row["source"]
        assert row["present"] is False
        assert all(file["sha256"] is None or len(file["sha256"]) in range(8, 65) for file in row["files"])
    assert any("large_motion_generation" in row["needed_by"] for row in rows.values())
    words = wanbench("checkpoints", "list")
    assert words.code == 0
    assert ("unpinned" in words.out) == any(not entry.pinned and not entry.made_by for entry in TABLE.values())
    assert all(name in words.out for name in rows)
    assert str(Path(wanbench.env["WANBENCH_HOME"]) / "checkpoints") in words.out


def test_path_is_where_a_file_put_by_hand_is_found(wanbench: Wanbench) -> None:
    name = next(n for n, entry in TABLE.items() if not entry.made_by)
    folder = Path(wanbench("checkpoints", "path", name).out.strip())
    assert folder.is_relative_to(wanbench.env["WANBENCH_HOME"])
    for file in TABLE[name].required:
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.path).write_bytes(b"mine")
    assert {r["name"]: r["present"] for r in wanbench("checkpoints", "list", "--json").json}[name] is True
    states = wanbench("checkpoints", "verify", name, "--json")
    pinned = all(file.sha256 for file in TABLE[name].required)
    assert {s["state"] for s in states.json} == ({"wrong"} if pinned else {"unpinned"})
    assert states.code == (2 if pinned else 0)
    if pinned:
        assert states.err.splitlines()[-1].endswith(f"run `wanbench checkpoints pull {name}`")


def test_an_empty_store_verifies_and_says_absent(wanbench: Wanbench) -> None:
    ended = wanbench("checkpoints", "verify")
    assert ended.code == 0
    assert {line.split()[0] for line in ended.out.splitlines()} == {"absent"}


def test_wrong_use(wanbench: Wanbench) -> None:
    for command in ("path", "verify", "pull"):
        ended = wanbench("checkpoints", command, "nosuch")
        assert ended.code == 2
        assert "no checkpoint is called 'nosuch': there are" in ended.complaint
    name = next(n for n, entry in TABLE.items() if not entry.made_by)
    ended = wanbench("checkpoints", "pull", name, "--offline")
    assert ended.code == 2
    assert "--offline forbids fetching it: put it there by hand from https://" in ended.complaint
    made = next((n for n, entry in TABLE.items() if entry.made_by), None)
    if made:
        ended = wanbench("checkpoints", "pull", made)
        assert ended.code == 2
        assert "make it with `wanbench " in ended.complaint
