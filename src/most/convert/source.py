"""A source checkpoint: where each tensor's bytes lie. Headers are read and checked here, no tensor is loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from most.errors import MostError

ITEM_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "F32": 4, "I64": 8, "F64": 8
}  # fmt: skip
"""safetensors' names of the dtypes that weights come in, and their sizes."""

METADATA_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "LICENSE*", "README.md")


@dataclass(frozen=True)
class StoredTensor:
    """A tensor's place: `n_bytes` at `offset` of `file`."""

    name: str
    file: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int
    n_bytes: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one row along the first dimension."""
        return self.n_bytes // self.shape[0]


@dataclass(frozen=True)
class Source:
    """A checkpoint folder: its config, its tensors by name, and the revision it came from (None for a local folder)."""

    folder: Path
    config: Any
    tensors: dict[str, StoredTensor]
    revision: str | None = None


def open_source(source: str | Path, revision: str | None = None) -> Source:
    """Open a local folder, or download a hub id's safetensors first.

    Raises:
        MostError: no such folder or id, an architecture transformers does not know, quantised weights, or shards that
            are missing, truncated or corrupt.
    """
    folder, commit = _folder(source, revision)
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise MostError("source", folder, "holds no config.json; give the folder of a checkpoint")
    try:
        config = AutoConfig.from_pretrained(folder)
    except Exception as e:  # transformers raises many kinds
        reason = str(e).strip().splitlines() or [type(e).__name__]
        raise MostError("source", folder, f"has a config.json that transformers refuses ({reason[0]})") from e
    quantised = getattr(config, "quantization_config", None)
    if quantised:
        method = quantised.get("quant_method") if isinstance(quantised, dict) else quantised
        raise MostError("source.quantization_config", method, "weights are quantised; give the bf16 or fp32 checkpoint")
    return Source(folder, config, read_tensors(folder), commit)


def read_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Every tensor of a folder's safetensors files, by name, in the files' order.

    Raises:
        MostError: no safetensors, a shard that the index names is missing, or a file that is no whole safetensors.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        except (ValueError, KeyError, TypeError) as e:
            raise MostError("source", index, f"is no index of safetensors ({e!r}); copy it again") from e
        files = [folder / name for name in sorted(set(weight_map.values()))]
        if missing := [f.name for f in files if not f.is_file()]:
            remedy = f"{len(missing)} of {len(files)} shards are missing, such as {missing[0]}; copy the whole folder"
            raise MostError("source", folder, remedy)
    else:
        files, weight_map = sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("*.safetensors")), None
    if not files:
        other = next(iter(sorted(folder.glob("*.bin")) + sorted(folder.glob("*.pt"))), None)
        remedy = f"holds {other.name}, a pickle, which is not read" if other else "holds no weights"
        raise MostError("source", folder, f"{remedy}; give a safetensors checkpoint")
    tensors: dict[str, StoredTensor] = {}
    for file in files:
        for tensor in read_header(file):
            if tensor.name in tensors:
                raise MostError("source", file, f"and {tensors[tensor.name].file.name} both hold {tensor.name}")
            tensors[tensor.name] = tensor
    if weight_map is not None and (lost := sorted(set(weight_map) - set(tensors))):
        raise MostError("source", index, f"names {len(lost)} tensors that no shard holds, such as {lost[0]}")
    return tensors


def read_header(file: Path) -> list[StoredTensor]:
    """The tensors of one safetensors file, in the order of their bytes.

    Raises:
        MostError: the file is truncated or corrupt, or holds a dtype that is not copied.
    """
    size = file.stat().st_size
    try:
        with file.open("rb") as f:
            length = int.from_bytes(f.read(8), "little")
            if not 2 <= length <= size - 8:
                raise ValueError(f"its header would be {length} of its {size} bytes")
            header = json.loads(f.read(length))
        header.pop("__metadata__", None)
        rows = sorted(header.items(), key=lambda row: row[1]["data_offsets"])
        start = 8 + length
        out, end = [], 0
        for name, row in rows:
            begin, stop = row["data_offsets"]
            shape, dtype = tuple(row["shape"]), row["dtype"]
            if dtype not in ITEM_BYTES:
                raise MostError(
                    "source", f"{name} in {file.name}", f"has dtype {dtype}; give bf16, fp16 or fp32 weights"
                )
            if begin != end or stop - begin != _count(shape) * ITEM_BYTES[dtype]:
                raise ValueError(f"the bytes of {name} are not where its shape says")
            out.append(StoredTensor(name, file, dtype, shape, start + begin, stop - begin))
            end = stop
        if start + end != size:
            raise ValueError(f"it should have {start + end} bytes and has {size}")
    except MostError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as e:
        raise MostError("source", file, f"is no whole safetensors file: {e}; copy it again") from e
    return out


def _count(shape: Sequence[int]) -> int:
    n = 1
    for size in shape:
        n *= size
    return n


def _folder(source: str | Path, revision: str | None) -> tuple[Path, str | None]:
    path = Path(source)
    if path.exists():
        if revision is not None:
            raise MostError("revision", revision, f"{path} is a local folder; leave the revision out")
        return path, None
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", str(source)):
        raise MostError("source", source, "is no folder here and no hub id")
    from huggingface_hub import snapshot_download

    try:
        patterns = ["*.safetensors", *METADATA_FILES]
        folder = Path(snapshot_download(str(source), revision=revision, allow_patterns=patterns))
    except Exception as e:  # the hub client raises many kinds
        raise MostError("source", source, "is no folder here, and no hub id that can be reached") from e
    return folder, folder.name
