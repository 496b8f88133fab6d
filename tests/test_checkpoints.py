"""The table of checkpoints, the store, fetching from a real server on this machine, and loading that refuses misfits."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import pickle
import re
import subprocess
import sys
import threading

import pytest

from wanbench import checkpoints
from wanbench.checkpoint_table import TABLE, Checkpoint, CheckpointFile
from wanbench.errors import MissingCheckpoints, OutputError, UsageError

DATA = b"parameters" * 1000
SIZE = len(DATA)
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("WANBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("WANBENCH_ANY_CHECKPOINT", raising=False)
    return tmp_path / "home" / "checkpoints"


@pytest.fixture
def put(store):
    def write(name, path, data=DATA):
        (store / name / path).parent.mkdir(parents=True, exist_ok=True)
        (store / name / path).write_bytes(data)
        return store / name / path

    return write


@pytest.fixture
def server():
    """(address, answers): path -> (status, body, promised length)."""
    answers = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, body, promised = answers.get(self.path, (404, b"", 0))
            self.send_response(status)
            self.send_header("Content-Length", str(promised))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}", answers
        httpd.shutdown()


@pytest.fixture
def toy(monkeypatch):
    """Puts an entry `toy` of two files into the table: a pinned one that another may lie instead of, and an optional one."""

    def make(url=None, sha256=SHA256, size=SIZE, **kw):
        entry = Checkpoint(
            name="toy",
            purpose="a toy",
            licence="MIT",
            files=(
                CheckpointFile(path="toy.bin", sha256=sha256, bytes=size, url=url),
                CheckpointFile(path="toy.safetensors", sha256=None, bytes=None, instead_of="toy.bin"),
                CheckpointFile(path="toy.json", sha256=None, bytes=None, optional=True),
            ),
            **kw,
        )
        monkeypatch.setitem(TABLE, "toy", entry)
        return entry

    return make


def files_in(folder):
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


# ---- the table ----


@pytest.mark.parametrize("entry", TABLE.values(), ids=lambda e: e.name)
def test_entries_are_whole(entry):
    assert TABLE[entry.name] is entry
    assert entry.purpose
    assert entry.licence
    assert entry.required
    assert entry.revision is None or re.fullmatch(r"[0-9a-f]{40}", entry.revision)
    for file in entry.files:
        assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{8,64}", file.sha256)
        assert file.instead_of is None or file.instead_of in {f.path for f in entry.required}
    for file in entry.required:
        assert (entry.url(file) or "https://").startswith("https://")
        assert (entry.url(file) is None) == (entry.made_by is not None)


def test_checksums_agree_with_the_digits_that_file_names_carry():
    """torchvision and pyiqa write the first eight digits of the SHA-256 into the name."""
    carried = {
        f.path: (m[1], f.sha256) for e in TABLE.values() for f in e.files if (m := re.search(r"-([0-9a-f]{8})\.pth$", f.path))
    }
    assert len(carried) >= 2
    assert all(digest.startswith(digits) for digits, digest in carried.values())


def test_hub_addresses_hold_the_revision(monkeypatch):
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    clip = TABLE["clip-vit-l14"]
    assert (
        clip.url(clip.files[0]) == f"https://huggingface.co/{clip.repository}/resolve/{clip.revision}/open_clip_model.safetensors"
    )
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.test/")
    assert clip.url(clip.files[0]).startswith("http://mirror.test/timm/")


def test_unpinned_is_said(toy):
    assert toy(url="http://x.test").pinned
    assert not toy(url="http://x.test", sha256=None).pinned
    assert not toy(repository="a/b").pinned
    assert toy(repository="a/b", revision="0" * 40).pinned
    assert toy(size=None).bytes is None
    assert toy().bytes == len(DATA)


def test_importing_needs_no_torch():
    code = "import sys, wanbench.checkpoints; assert not {'torch', 'huggingface_hub', 'safetensors'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- the store ----


def test_home(monkeypatch, tmp_path):
    monkeypatch.setenv("WANBENCH_HOME", str(tmp_path))
    assert checkpoints.folder("raft-large") == tmp_path / "checkpoints" / "raft-large"
    monkeypatch.delenv("WANBENCH_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert checkpoints.home() == tmp_path / ".cache" / "wanbench"


def test_an_unknown_name_is_refused_with_the_known_ones(store):
    with pytest.raises(UsageError, match=r"'rafft'.*raft-large"):
        checkpoints.folder("rafft")


def test_missing_names_files_sizes_command_and_lite(store, put, toy):
    toy()
    names = ["raft-large", "dino-vitb16", "toy", "raft-large"]
    put("dino-vitb16", "config.json")
    assert checkpoints.missing(names) == ["raft-large", "dino-vitb16", "toy"]
    for ask in (checkpoints.require, checkpoints.checksums):
        with pytest.raises(MissingCheckpoints) as caught:
            ask(names)
        line = str(caught.value)
        assert "raft-large/raft_large_C_T_SKHT_V2-ff5fadd5.pth (21 MB)" in line
        assert "dino-vitb16/pytorch_model.bin (size unknown)" in line
        assert "config.json" not in line
        assert "toy/toy.bin (10.0 kB)" in line
        assert "`wanbench checkpoints pull raft-large dino-vitb16 toy`" in line
        assert "--profile lite" in line
        assert "\n" not in line
        assert caught.value.exit_code == 2


def test_missing_names_the_command_that_makes_a_file(store, toy):
    toy(made_by="wanbench train toys DATA")
    with pytest.raises(MissingCheckpoints, match="wanbench train toys DATA") as caught:
        checkpoints.require(["toy"])
    assert "pull" not in str(caught.value)


def test_files_put_by_hand_are_accepted(put, toy):
    toy()
    path = put("toy", "toy.bin")
    assert checkpoints.require(["toy"]) == {"toy": path.parent}
    assert checkpoints.checksums(["toy"]) == {"toy": SHA256}
    assert [s.state for s in checkpoints.verify("toy")] == ["ok"]


def test_a_wrong_file_is_refused_unless_asked_for(put, toy, monkeypatch):
    toy()
    path = put("toy", "toy.bin", b"other")
    assert [s.state for s in checkpoints.verify("toy")] == ["wrong"]
    with pytest.raises(UsageError, match=r"toy\.bin is not the published file.*pull toy") as caught:
        checkpoints.require(["toy"])
    assert not isinstance(caught.value, MissingCheckpoints)
    monkeypatch.setenv("WANBENCH_ANY_CHECKPOINT", "1")
    assert checkpoints.require(["toy"]) == {"toy": path.parent}
    assert checkpoints.checksums(["toy"]) == {"toy": hashlib.sha256(b"other").hexdigest()}


def test_leading_digits_are_checked(put, toy):
    toy(sha256=SHA256[:8])
    put("toy", "toy.bin")
    assert [s.state for s in checkpoints.verify("toy")] == ["ok"]
    put("toy", "toy.bin", b"other")
    assert [s.state for s in checkpoints.verify("toy")] == ["wrong"]


def test_a_file_may_lie_instead_of_another(put, toy, store):
    toy()
    path = put("toy", "toy.safetensors")
    assert checkpoints.missing(["toy"]) == []
    assert checkpoints.locate("toy", "toy.bin", store / "toy") == path
    assert [(s.path.name, s.state) for s in checkpoints.verify("toy")] == [("toy.safetensors", "unpinned")]
    put("toy", "toy.bin")
    assert checkpoints.locate("toy", "toy.bin", store / "toy").name == "toy.bin"
    put("toy", "toy.safetensors", b"no longer used")
    assert checkpoints.checksums(["toy"]) == {"toy": SHA256}


def test_several_files_have_one_checksum_that_each_moves(put, toy):
    toy()
    put("toy", "toy.bin")
    seen = {checkpoints.checksums(["toy"])["toy"]}
    for options in (b"{}", b"{ }"):
        put("toy", "toy.json", options)
        seen.add(checkpoints.checksums(["toy"])["toy"])
    assert len(seen) == 3


def test_absent_files_are_listed(store, toy):
    toy()
    (state,) = checkpoints.verify("toy")
    assert (state.path, state.state, state.digest) == (store / "toy" / "toy.bin", "absent", None)


def test_digests_are_remembered_until_the_file_changes(put, toy):
    toy()
    path = put("toy", "toy.bin")
    assert checkpoints.checksums(["toy"])["toy"] == SHA256
    memory = path.parent / checkpoints.DIGESTS_FILE
    known = json.loads(memory.read_text())
    known["toy.bin"][2] = "0" * 64
    memory.write_text(json.dumps(known))
    assert checkpoints.checksums(["toy"])["toy"] == "0" * 64  # read, not hashed again
    os.utime(path, ns=(0, 0))
    assert checkpoints.checksums(["toy"])["toy"] == SHA256
    memory.write_text("{ torn")
    assert checkpoints.checksums(["toy"])["toy"] == SHA256
    assert files_in(path.parent) == [checkpoints.DIGESTS_FILE, "toy.bin"]


# ---- fetching ----


def test_pull_fetches_once_and_reports_progress(server, store, toy):
    address, answers = server
    answers["/toy"] = (200, DATA, len(DATA))
    toy(url=f"{address}/toy")
    seen = []
    assert checkpoints.pull("toy", progress=lambda *p: seen.append(p)) == [store / "toy" / "toy.bin"]
    assert (store / "toy" / "toy.bin").read_bytes() == DATA
    assert seen[-1] == ("toy.bin", len(DATA), len(DATA))
    answers.clear()
    assert checkpoints.pull("toy") == []
    assert checkpoints.pull("toy", offline=True) == []


def test_pull_mends_a_wrong_file(server, put, toy):
    address, answers = server
    answers["/toy"] = (200, DATA, len(DATA))
    toy(url=f"{address}/toy")
    path = put("toy", "toy.bin", b"other")
    assert checkpoints.pull("toy") == [path]
    assert path.read_bytes() == DATA


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, b"other" * 2000, 10_000), "another file"),
        ((200, DATA + b"more", len(DATA) + 4), "another file"),
        ((200, DATA[:500], len(DATA)), "cannot fetch"),
        ((404, b"", 0), "Not Found"),
        ((500, b"", 0), "cannot fetch"),
    ],
)
def test_what_does_not_arrive_whole_is_not_kept(server, store, toy, answer, words):
    address, answers = server
    answers["/toy"] = answer
    toy(url=f"{address}/toy")
    with pytest.raises(UsageError, match=words) as caught:
        checkpoints.pull("toy")
    assert "\n" not in str(caught.value)
    assert f"{address}/toy" in str(caught.value)
    assert files_in(store / "toy") == []


def test_a_wrong_file_stays_when_the_new_one_does_not_arrive(server, put, toy):
    toy(url=f"{server[0]}/absent")
    path = put("toy", "toy.bin", b"other")
    with pytest.raises(UsageError):
        checkpoints.pull("toy")
    assert path.read_bytes() == b"other"


def test_without_a_network_the_line_says_where_to_put_the_file(store, toy):
    toy(url="http://127.0.0.1:9/toy")
    with pytest.raises(UsageError, match=rf"cannot fetch http.*{re.escape(str(store / 'toy' / 'toy.bin'))}"):
        checkpoints.pull("toy")


def test_offline_asks_no_server(store, toy, monkeypatch):
    toy(url="http://127.0.0.1:9/toy")
    monkeypatch.setattr("wanbench.download.urllib.request.urlopen", lambda *a, **k: pytest.fail("touched the network"))
    with pytest.raises(UsageError, match="--offline"):
        checkpoints.pull("toy", offline=True)


def test_what_only_the_user_can_make_is_not_fetched(store, toy):
    toy(made_by="wanbench train toys DATA")
    with pytest.raises(UsageError, match="wanbench train toys DATA"):
        checkpoints.pull("toy")


def test_a_store_that_cannot_be_written_is_an_output_error(server, tmp_path, toy, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("WANBENCH_HOME", str(tmp_path / "file"))
    server[1]["/toy"] = (200, DATA, len(DATA))
    toy(url=f"{server[0]}/toy")
    with pytest.raises(OutputError, match="WANBENCH_HOME"):
        checkpoints.pull("toy")


# ---- loading ----


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def test_both_formats_load(tmp_path, torch):
    tensors = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(3)}
    torch.save(tensors, tmp_path / "x.pth")
    torch.save({"params": tensors}, tmp_path / "wrapped.pth")
    pytest.importorskip("safetensors.torch").save_file(tensors, tmp_path / "x.safetensors")
    for name in ("x.pth", "wrapped.pth", "x.safetensors"):
        loaded = checkpoints.load_tensors(tmp_path / name)
        assert sorted(loaded) == ["a", "b"]
        assert all(torch.equal(loaded[n], tensors[n]) for n in tensors)


class Bomb:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (os.mkdir, (str(self.mark),))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_pickled_code_is_never_run(tmp_path, torch):
    mark = tmp_path / "executed"
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"a": Bomb(mark)}))
    torch.save({"a": Bomb(mark)}, tmp_path / "zipped.pth")
    for name in ("plain.pth", "zipped.pth"):
        with pytest.raises(UsageError, match=name) as caught:
            checkpoints.load_tensors(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert not mark.exists()
    pickle.loads((tmp_path / "plain.pth").read_bytes())
    assert mark.exists()  # the bomb was live


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_damaged_files_are_one_line(tmp_path, torch, suffix):
    path = tmp_path / f"x{suffix}"
    if suffix == ".pth":
        torch.save({"a": torch.arange(1000.0)}, path)
    else:
        pytest.importorskip("safetensors.torch").save_file({"a": torch.arange(1000.0)}, path)
    whole = path.read_bytes()
    for damaged in (
        b"",
        b"\x80",
        whole[:10],
        whole[: len(whole) // 2],
        b"<html>" + whole,
        hashlib.shake_256(b"noise").digest(500),
    ):
        path.write_bytes(damaged)
        with pytest.raises(UsageError, match=re.escape(str(path))) as caught:
            checkpoints.load_tensors(path)
        assert "\n" not in str(caught.value)


def test_anything_but_named_tensors_is_refused(tmp_path, torch):
    for value in ([torch.zeros(2)], {"a": torch.zeros(2), "b": "text"}, {"only": {"a": 1.0}}):
        torch.save(value, tmp_path / "x.pth")
        with pytest.raises(UsageError, match=r"x\.pth holds something else"):
            checkpoints.load_tensors(tmp_path / "x.pth")


def test_strict_loading_says_all_that_differs(tmp_path, torch):
    module = torch.nn.Linear(3, 2)
    tensors = {"weight": torch.zeros(2, 4), "extra1": torch.zeros(1), **{f"z{i}": torch.zeros(1) for i in range(9)}}
    with pytest.raises(UsageError) as caught:
        checkpoints.load_strictly(module, tensors, tmp_path / "x.pth")
    line = str(caught.value)
    assert "x.pth does not fit Linear" in line
    assert "1 missing (bias)" in line
    assert "10 unexpected (extra1, z0, z1, ...)" in line
    assert "1 misshaped (weight (2, 4) for (2, 3))" in line
    right = {"weight": torch.ones(2, 3), "bias": torch.full((2,), 2.0)}
    checkpoints.load_strictly(module, right, tmp_path / "x.pth")
    assert torch.equal(module.weight, right["weight"])
    assert torch.equal(module.bias, right["bias"])
