"""Foreign files to tensors and arrays: torch checkpoints, joblib and plain pickles, numpy arrays. No code runs.

joblib's layout is a pickle in which each array is a `NumpyArrayWrapper` followed by the array's bytes; it is read here
without joblib or scikit-learn (after joblib/numpy_pickle.py, layout of versions 0.10 and on).
"""

from __future__ import annotations

import io
import math
import pickle
import warnings
import zlib
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.torch import load_file
from torch._utils import _rebuild_parameter, _rebuild_tensor, _rebuild_tensor_v2

from most.errors import MostError
from most.speech.foreign.inert import Foreign, ForeignArray, InertUnpickler, Refused, decode_array

MAX_BYTES = 4 << 30
"""A compressed file that grows over this is no k-means model."""
_OTHER_COMPRESSION = {b"BZ": "bz2", b"\xfd7zXZ": "xz", b"\x5d\x00": "lzma", b"\x04\x22\x4d\x18": "lz4"}


def existing_file(field: str, path: str | Path) -> Path:
    """`path`, which must be a file.

    Raises:
        MostError: it is not.
    """
    path = Path(path)
    if not path.is_file():
        raise MostError(field, path, "is a folder; name the file in it" if path.is_dir() else "no such file")
    return path


@contextmanager
def _refusals(path: Path, kind: str):
    """Whatever goes wrong with a file's bytes becomes one error that names the file: anything can be in them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except MostError:
        raise
    except Refused as e:
        raise MostError(
            "checkpoint", path,
            f"refused: it asks for {e}, and no code of a file is run here; if you trust it, load it with the program "
            "that wrote it and save tensors and plain dicts only",
        ) from None  # fmt: skip
    except Exception as e:
        reason = f"{type(e).__name__}: {str(e).strip()}".splitlines()[0]
        raise MostError("checkpoint", path, f"is no {kind}, or is damaged or cut short ({reason})") from e


class _TorchUnpickler(InertUnpickler):
    calls: ClassVar = {
        **InertUnpickler.calls,
        "torch._utils._rebuild_tensor": _rebuild_tensor,
        "torch._utils._rebuild_tensor_v2": _rebuild_tensor_v2,
        "torch._utils._rebuild_parameter": _rebuild_parameter,
        "torch.Size": torch.Size,
        "torch.device": torch.device,
    }

    def find_class(self, module: str, name: str) -> Any:
        constant = vars(torch).get(name) if module == "torch" else None
        return constant if isinstance(constant, torch.dtype) else super().find_class(module, name)


_INERT_PICKLE = SimpleNamespace(
    __name__="most.speech.foreign",
    Unpickler=_TorchUnpickler,
    load=lambda file, **settings: _TorchUnpickler(file, **settings).load(),
)


def read_torch(path: str | Path) -> Any:
    """What a torch checkpoint (zip or the older layout) or a safetensors file holds, on the CPU.

    `weights_only=True` where that is enough; where the file also holds settings of fairseq, omegaconf or argparse, a
    reader that turns those into inert records (`inert.plain` makes dicts of them).

    Raises:
        MostError: no such file, not a checkpoint, damaged, or one that names anything else; the name is given.
    """
    path = existing_file("checkpoint", path)
    with _refusals(path, "torch checkpoint"):
        if path.suffix == ".safetensors":
            return load_file(path)
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            # Only a pickle that names more than tensors gets here: TorchScript and tar files end in a RuntimeError.
            return torch.load(path, map_location="cpu", weights_only=False, pickle_module=_INERT_PICKLE)


class _JoblibUnpickler(InertUnpickler):
    inert_packages = (*InertUnpickler.inert_packages, "sklearn.", "joblib.numpy_pickle.NumpyArrayWrapper")
    dispatch: ClassVar = dict(InertUnpickler.dispatch)

    def load_build(self) -> None:
        super().load_build()
        built = self.stack[-1]
        if isinstance(built, Foreign) and built.path.endswith("joblib.numpy_pickle.NumpyArrayWrapper"):
            self.stack[-1] = self._array(built.state)

    def _array(self, state: dict[str, Any]) -> ForeignArray:
        if state.get("numpy_array_alignment_bytes") is not None:
            self.file.read(self.file.read(1)[0])
        size = state["dtype"].resolve().itemsize * math.prod(int(n) for n in state["shape"])
        array = ForeignArray()
        array.value = decode_array(self.file.read(size), state["dtype"], state["shape"], state["order"] == "F")
        return array

    dispatch[pickle.BUILD[0]] = load_build


def _unpacked(path: Path) -> bytes:
    raw = path.read_bytes()
    for magic, name in _OTHER_COMPRESSION.items():
        if raw.startswith(magic):
            raise MostError("k-means", path, f"is {name}-compressed; use joblib.dump(model, path, compress=3)")
    if raw.startswith(b"ZF"):
        raise MostError("k-means", path, "is of joblib before 0.10; load it there and save cluster_centers_ as .npy")
    if not raw.startswith((b"\x78", b"\x1f\x8b")):
        return raw
    stream = zlib.decompressobj(wbits=47)  # zlib or gzip, whichever its header says
    data = stream.decompress(raw, MAX_BYTES)
    if not stream.eof:
        raise MostError("k-means", path, f"is cut short, or over {MAX_BYTES >> 30} GiB")
    return data


def read_joblib(path: str | Path) -> Any:
    """What `joblib.dump` or `pickle.dump` wrote of scikit-learn estimators and arrays of numbers.

    Returns:
        `Foreign` records for objects (their attributes in `state`), `ForeignArray` for arrays.

    Raises:
        MostError: no such file, no pickle, damaged, or one that names anything else; the name is given.
    """
    path = existing_file("k-means", path)
    with _refusals(path, "joblib or pickle file"):
        return _JoblibUnpickler(io.BytesIO(_unpacked(path))).load()


def read_npy(path: str | Path) -> np.ndarray:
    """A `.npy` array of numbers.

    Raises:
        MostError: no such file, not that format, or an array of objects (which would be a pickle).
    """
    path = existing_file("k-means", path)
    with _refusals(path, ".npy array of numbers"):
        return np.load(path, allow_pickle=False)


READERS: dict[str, Callable[[str | Path], Any]] = {
    ".npy": read_npy,
    ".pt": read_torch,
    ".pth": read_torch,
    ".ckpt": read_torch,
    ".safetensors": read_torch,
}
"""Suffix -> reader; every other file is taken for joblib's or pickle's."""
