"""A pickle reader that runs nothing of the file: foreign objects become inert records, arrays are decoded from bytes.

The pickle machine is Python's own; every operation that could call, build or import something is replaced here. What a
pickle may name is listed (`_INERT`, and the table of each reader); any other name ends the reading.
"""

from __future__ import annotations

import math
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, ClassVar

import numpy as np

from most.errors import MostError

_MAX_DEPTH = 40


class Refused(Exception):
    """A pickle asks for what no reader here does; the message says what."""


class ForeignClass:
    """Stands for a class of which only the name is wanted."""

    def __init__(self, path: str) -> None:
        self.path = path


class Foreign:
    """Stands for an object of a foreign class: the arguments and the state that the pickle gave it."""

    def __init__(self, path: str, args: tuple[Any, ...] = ()) -> None:
        self.path, self.args = path, args
        self.state: dict[Any, Any] = {}
        self.items: list[Any] = []

    def __setitem__(self, key: Any, value: Any) -> None:
        self.state[key] = value

    def append(self, item: Any) -> None:
        self.items.append(item)

    add = append


class ForeignArray:
    """A numpy array while it is read; `value` is set once it is whole."""

    value: np.ndarray | None = None


class ForeignDtype:
    """A numpy dtype while it is read. Only plain numbers become one: a pickled dtype could claim bytes are pointers."""

    def __init__(self, name: Any, *_: Any) -> None:
        self.name, self.order = str(name), "="

    def resolve(self) -> np.dtype:
        try:
            dtype = np.dtype(self.name)
        except TypeError as e:
            raise Refused(f"an array of dtype {self.name!r}, which is not one of numbers") from e
        if dtype.kind not in "fiub":
            raise Refused(f"an array of dtype {self.name!r}, which is not one of numbers")
        return dtype.newbyteorder("<" if self.order == "<" else ">" if self.order == ">" else "=")


def decode_array(raw: bytes, dtype: Any, shape: Any, fortran: bool) -> np.ndarray:
    """Bytes to an array of the machine's byte order.

    Raises:
        Refused: anything but numbers.
        EOFError: too few bytes.
    """
    if not isinstance(dtype, ForeignDtype):
        raise Refused("an array without a dtype")
    kind, sizes = dtype.resolve(), tuple(int(n) for n in shape)
    if min(sizes, default=1) < 0 or len(raw) != math.prod(sizes) * kind.itemsize:
        raise EOFError(f"an array of shape {sizes} with {len(raw)} bytes")
    return np.frombuffer(raw, kind).reshape(sizes, order="F" if fortran else "C").astype(kind.newbyteorder("="))


def _scalar(dtype: Any, raw: Any = b"") -> Any:
    if isinstance(raw, bytes) and isinstance(dtype, ForeignDtype):
        return decode_array(raw, dtype, (), False).item()
    return Foreign("numpy.scalar", (dtype, raw))


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: Any) -> ForeignArray:
    if not isinstance(raw, bytes | bytearray):
        raise Refused("an array made of an object")
    array = ForeignArray()
    array.value = decode_array(bytes(raw), dtype, shape, order == "F")
    return array


def _encode(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise Refused(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


def _bytes(*args: Any) -> bytes:
    if args:
        raise Refused("bytes made of an object")
    return b""  # How older pickles write none.


_CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": OrderedDict,
    "builtins.set": set,
    "builtins.frozenset": frozenset,
    "builtins.bytes": _bytes,
    "_codecs.encode": _encode,
    "numpy.dtype": ForeignDtype,
    **{f"numpy.{core}.multiarray._reconstruct": lambda *_: ForeignArray() for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _from_buffer for core in ("core", "_core")},
}
"""Global -> what stands in for it when the pickle calls it."""

_INERT = frozenset(
    ["argparse.Namespace", "collections.defaultdict", "collections.Counter", "numpy.ndarray", "typing.Any"]
    + [f"builtins.{name}" for name in ("bool", "dict", "float", "int", "list", "object", "str", "tuple")]
    + [f"pathlib.{name}" for name in ("Path", "PosixPath", "PurePosixPath", "WindowsPath")]
)
_INERT_PACKAGES = ("fairseq.", "omegaconf.", "numpy.random.")


_Unpickler: Any = pickle._Unpickler  # type: ignore[attr-defined]
"""Python's own machine, in Python: the one in C cannot have its operations replaced."""


class InertUnpickler(_Unpickler):
    """See the head of this file.

    Args:
        file: positioned at a pickle.
    """

    calls: Mapping[str, Callable[..., Any]] = _CALLS
    inert_packages: tuple[str, ...] = _INERT_PACKAGES
    dispatch: ClassVar = dict(_Unpickler.dispatch)

    def __init__(self, file: BinaryIO, **settings: Any) -> None:
        super().__init__(file, **settings)
        self.file = file

    def find_class(self, module: str, name: str) -> Any:
        path = f"{module.replace('__builtin__', 'builtins')}.{name}"
        if path in self.calls:
            return self.calls[path]
        if path in _INERT or path.startswith(self.inert_packages):
            return ForeignClass(path)
        raise Refused(f"the global {path}")

    def _made(self, function: Any, args: Any) -> Any:
        if isinstance(function, ForeignClass):
            return Foreign(function.path, tuple(args))
        if not any(function is known for known in self.calls.values()):
            raise Refused(f"a call of {type(function).__name__} {str(function)[:80]}")
        return function(*args)

    def load_reduce(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = self._made(self.stack[-1], args)

    def load_newobj(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = self._made(self.stack[-1], args)

    def load_newobj_ex(self) -> None:
        settings, args = self.stack.pop(), self.stack.pop()
        made = self._made(self.stack[-1], args)
        if isinstance(made, Foreign):
            made.state.update(settings)
        self.stack[-1] = made

    def load_build(self) -> None:
        state, built = self.stack.pop(), self.stack[-1]
        if isinstance(built, Foreign):
            # `(state, slots)` is what an object with __slots__ gives; anything else is kept under one name.
            for part in state if isinstance(state, tuple) and len(state) == 2 else (state,):
                built.state.update(part if isinstance(part, dict) else {} if part is None else {"state": part})
        elif isinstance(built, ForeignDtype):
            if state[3] is not None or state[4] is not None:
                raise Refused("an array of records")
            built.order = state[1]
        elif isinstance(built, ForeignArray):
            _, shape, dtype, fortran, raw = state
            built.value = decode_array(raw, dtype, shape, fortran)
        elif not isinstance(built, OrderedDict):  # Whose state is bookkeeping: `_metadata` of a state dict.
            raise Refused(f"state for a {type(built).__name__}")

    def load_persistent(self) -> None:
        # torch hands storages over this way; its other kind, "module", looks up source files.
        name = self.stack.pop()
        if not (isinstance(name, tuple) and name and name[0] in ("storage", b"storage")):
            raise Refused("an outside object that is no tensor storage")
        self.append(self.persistent_load(name))

    for _code, _method in (
        (pickle.REDUCE, load_reduce), (pickle.NEWOBJ, load_newobj), (pickle.NEWOBJ_EX, load_newobj_ex),
        (pickle.BUILD, load_build), (pickle.BINPERSID, load_persistent),
    ):  # fmt: skip
        dispatch[_code[0]] = _method
    # Old ways to make objects, and names that a process registers for itself: nothing here writes them.
    for _code in (pickle.INST, pickle.OBJ, pickle.PERSID, pickle.EXT1, pickle.EXT2, pickle.EXT4):
        dispatch.pop(_code[0])


def plain(value: Any, depth: int = 0) -> Any:
    """Settings as Python values: namespaces and omegaconf containers become dicts and lists, enums their values.

    Raises:
        MostError: settings inside settings without end.
    """
    if depth > _MAX_DEPTH:
        raise MostError("settings", type(value).__name__, f"the file nests them over {_MAX_DEPTH} deep; it is damaged")
    if isinstance(value, Foreign):
        if "_content" in value.state:
            return plain(value.state["_content"], depth + 1)
        if "_val" in value.state:
            return plain(value.state["_val"], depth + 1)
        if len(value.args) == 1 and not value.state:
            return plain(value.args[0], depth + 1)
        return plain(value.state, depth + 1)
    if isinstance(value, Mapping):
        return {str(k): plain(v, depth + 1) for k, v in value.items()}
    return [plain(v, depth + 1) for v in value] if isinstance(value, list | tuple) else value
