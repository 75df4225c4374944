from __future__ import annotations

import io
import os
import pickle
import zipfile
from typing import TYPE_CHECKING

import pytest

from runtime import model_files
from runtime.errors import RefusedError

if TYPE_CHECKING:
    from pathlib import Path


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch /tmp/never",)


def array(descr: str) -> bytes:
    """Write NumPy's .npy format, version 1."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 8


def archive(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for name, content in members.items():
            made.writestr(name.replace("_", "."), content)
    return stream.getvalue()


PLAIN = {
    "m.npz": archive(a_npy=array("'<f8'"), b_npy=array("[('x', '<i4'), ('y', '<f4')]")),
    "m.npy": array("'<f8'"),
    "m.json": b'{"a": 1}',
    "MLmodel": b"flavors: {}",
    "m.safetensors": b"\x08\0\0\0\0\0\0\0{}      ",
    "m.onnx": b"\x08\x07\x12\x07pytorch",
}
RISKY = {
    "m.pkl": pickle.dumps(Evil()),
    "m.joblib": b"x\x9cabc",
    "m.pt": archive(data_pkl=pickle.dumps(Evil())),
    "m.h5": b"\x89HDF\r\n\x1a\n",
    "m.json": pickle.dumps(Evil()),
    "m.txt": b"a\xff\0b",
    "m.npz": archive(a_npy=array("'|O'")),
    "n.npz": archive(a_npy=array("[('x', '|O')]")),
    "o.npz": archive(a_npy=array("'<f8'"), b_pkl=pickle.dumps(1)),
    "p.npz": b"PK not really",
    "m.npy": array("'|O'"),
    "n.npy": pickle.dumps(Evil()),
    "m.onnx": b"...location\x12\x0e../../etc/pass",
    "m.safetensors": pickle.dumps(Evil()),
    "loader.py": b"import os",
    "unknown": b"cos\nsystem\n(S'true'\ntR.",
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_data_needs_no_trust(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(PLAIN[name])
    model_files.check(tmp_path)


@pytest.mark.parametrize("name", RISKY)
def test_what_may_hold_code_is_refused_unless_trusted_by_its_hash(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(RISKY[name])
    digest = model_files.fingerprint(tmp_path / name)
    with pytest.raises(RefusedError, match=f"(?s){name}.*--trust {digest[:16]}"):
        model_files.check(tmp_path)
    for wrong in (digest[:11], "0" * 64):
        with pytest.raises(RefusedError):
            model_files.check(tmp_path, [wrong])
    model_files.check(tmp_path, [digest[:16]])


def test_links_in_a_model_are_refused_whatever_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "m.json").symlink_to("/etc/passwd")
    with pytest.raises(RefusedError, match=r"m\.json in the model is a link"):
        model_files.check(tmp_path)
