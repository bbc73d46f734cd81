"""Which model a file belongs to."""

import pytest

from replguard.weights import naming


@pytest.mark.parametrize(
    ("path", "form", "alone", "model"),
    [
        ("/models/llama-70b/model-00001-of-00030.safetensors", "safetensors", False, "llama-70b"),
        ("/models/llama-70b/model.safetensors", "safetensors", False, "llama-70b"),
        ("/srv/phi.gguf", "gguf", True, "phi"),
        ("/srv/gguf/phi-q4-00001-of-00003.gguf", "gguf", False, "phi-q4"),
        ("/h/.cache/huggingface/hub/models--org--name/snapshots/abc/x.safetensors", "safetensors", False, "org/name"),
        ("/h/hub/models--org--name/blobs/0a1b", "safetensors", True, "org/name"),
        ("/srv/ckpt.data-00000-of-00002", "tensorflow", True, "ckpt"),
        ("/srv/adapter", None, True, "adapter"),
        ("/model.bin", "pytorch", False, "model"),
    ],
)
def test_a_model_is_what_one_index_or_folder_names(path: str, form: str | None, alone: bool, model: str) -> None:
    """Shards share a name; a file that is configured alone is a model by itself."""
    assert naming.model_of(path, form, alone=alone) == model


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("model.safetensors.index.json", "model"),
        ("model-00002-of-00003.safetensors", "model"),
        ("ckpt-10.index", "ckpt-10"),
        (".index", ".index"),
        ("x", "x"),
    ],
)
def test_a_stem_has_neither_ending_nor_shard(name: str, stem: str) -> None:
    """And is never empty."""
    assert naming.stem(name) == stem


def test_files_without_a_mark_belong_to_what_names_them() -> None:
    """TensorFlow's shards and ONNX's external data."""
    known = {"ckpt.index": "tensorflow", "m.onnx": "onnx", "other.index": "numpy"}
    assert naming.belongs("ckpt.data-00000-of-00001", known) == "tensorflow"
    assert naming.belongs("m.onnx_data", known) == "onnx"
    assert naming.belongs("m.onnx.txt", known) is None
    assert naming.belongs("other.data-00000-of-00001", known) is None
