"""What a manifest may say."""

from pathlib import Path

import pytest

from assistant.errors import UnknownModel, WeightsError
from assistant.weights import manifest
from tests.weights.conftest import PAYLOAD, entry, write_manifest

WHEEL = '{ kind = "wheel", package = "p", version = "1", member = "m" }'


def test_every_manifest_of_the_project_is_valid() -> None:
    models = manifest.load_all()
    assert {"smollm2-135m-instruct", "whisper-tiny.en", "kokoro"} <= {model.name for model in models}
    assert [model.name for model in models if model.needed]


def test_unknown_name_suggests_the_nearest(tmp_path: Path) -> None:
    write_manifest(tmp_path, "kokoro", entry("a.bin", PAYLOAD, WHEEL))
    with pytest.raises(UnknownModel, match="did you mean kokoro"):
        manifest.load("kokorro", tmp_path)


def test_unknown_file_names_what_there_is(tmp_path: Path) -> None:
    write_manifest(tmp_path, "m", entry("model.gguf", PAYLOAD, WHEEL))
    with pytest.raises(WeightsError, match=r"model\.gguf"):
        manifest.load("m", tmp_path).file("model.ggfu")


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        (entry("../a.bin", PAYLOAD, WHEEL), "must be relative"),
        (entry("/a.bin", PAYLOAD, WHEEL), "must be relative"),
        (entry("a.pkl", PAYLOAD, WHEEL), "may hold"),
        (entry("a.bin", PAYLOAD, WHEEL, sha256="12"), "64 lower-case"),
        (entry("a.bin", PAYLOAD, '{ kind = "ftp" }'), "none of"),
        (entry("a.bin", PAYLOAD, '{ kind = "wheel", package = "p", version = "1" }'), "'member' is missing"),
        (entry("a.bin", PAYLOAD, '{ kind = "local", path = "../x" }'), "must be relative"),
        (entry("a.bin", PAYLOAD, '{ kind = "joined", parts = [] }'), "at least one|empty"),
        (entry("a.bin", PAYLOAD, WHEEL) + "colour = 1\n", "unknown key 'colour'"),
        (entry("a.bin", b"", WHEEL), "size must be positive"),
        (entry("a.bin", PAYLOAD, ""), "at least one source"),
        ("[[file]\n", "not valid TOML"),
    ],
)
def test_bad_manifest_is_refused_with_its_file_and_reason(tmp_path: Path, file: str, complaint: str) -> None:
    write_manifest(tmp_path, "m", file)
    with pytest.raises(WeightsError, match=complaint) as caught:
        manifest.load("m", tmp_path)
    assert "m.toml" in str(caught.value)


def test_foreign_tensors_are_for_judges_and_never_for_the_assistant(tmp_path: Path) -> None:
    write_manifest(tmp_path, "j", entry("a.pth", PAYLOAD, WHEEL), role="judge")
    assert manifest.load("j", tmp_path).files[0].name == "a.pth"
    write_manifest(tmp_path, "m", entry("a.pth", PAYLOAD, WHEEL), role="model")
    with pytest.raises(WeightsError, match="may hold"):
        manifest.load("m", tmp_path)
