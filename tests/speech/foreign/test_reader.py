"""The readers run nothing of a file: for each format, one that would touch a file is refused and touches none."""

import argparse
import builtins
import io
import pickle
import struct
import tarfile
import zlib

import joblib
import numpy as np
import pytest
import torch

from most.errors import MostError
from most.speech.foreign.inert import Foreign, InertUnpickler, Refused, plain
from most.speech.foreign.reader import read_joblib, read_npy, read_torch


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "ran"


WRITERS = {
    "torch": (read_torch, lambda value, path: torch.save({"model": {"a": torch.ones(2)}, "x": value}, path)),
    "torch legacy": (
        read_torch,
        lambda value, path: torch.save({"x": value}, path, _use_new_zipfile_serialization=False),
    ),
    "raw pickle as torch": (read_torch, lambda value, path: path.write_bytes(pickle.dumps(value))),
    "pickle": (read_joblib, lambda value, path: path.write_bytes(pickle.dumps(value))),
    "joblib": (read_joblib, lambda value, path: joblib.dump({"a": np.ones(3), "x": value}, path)),
    "joblib zlib": (read_joblib, lambda value, path: joblib.dump({"x": value}, path, compress=3)),
    "joblib gzip": (read_joblib, lambda value, path: joblib.dump({"x": value}, path, compress=("gzip", 3))),
    "joblib array of objects": (read_joblib, lambda value, path: joblib.dump(np.array([value], dtype=object), path)),
}


@pytest.mark.parametrize("call", ["system", "eval"])
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_would_run_code_is_refused(name, call, evil, mark, tmp_path):
    read, write = WRITERS[name]
    thing = evil(mark) if call == "system" else evil(mark, builtins.eval)
    write(thing, tmp_path / "file")
    with pytest.raises(MostError) as e:
        read(tmp_path / "file")
    if "objects" not in name:
        assert ("posix.system" if call == "system" else "builtins.eval") in str(e.value)
    assert "objects" not in name or "dtype 'O" in str(e.value)
    assert not mark.exists()


def test_the_malice_is_real(evil, mark):
    pickle.loads(pickle.dumps(evil(mark)))
    assert mark.exists()


def test_npy_of_objects_is_refused(evil, mark, tmp_path):
    np.save(tmp_path / "a.npy", np.array([evil(mark)], dtype=object), allow_pickle=True)
    with pytest.raises(MostError, match="allow_pickle"):
        read_npy(tmp_path / "a.npy")
    assert not mark.exists()


@pytest.mark.parametrize(
    "body",
    [
        b"cposix\nsystem\n(S'true'\ntR.",
        b"cbuiltins\ngetattr\n.",
        b"(S'true'\nicposix\nsystem\n.",
        b"(cposix\nsystem\nS'true'\no.",
        b"\x82\x01.",
        # State for a class or a function would change it in this process.
        b"\x80\x02ccollections\nOrderedDict\n}X\x03\x00\x00\x00fooK\x01sb.",
        b"\x80\x02cnumpy\ndtype\n}X\x03\x00\x00\x00fooK\x01sb.",
        # Calls of what the pickle did not name: a string, an inert record's class through its object.
        b"\x80\x02X\x01\x00\x00\x00a)R.",
        b"\x80\x02cargparse\nNamespace\n)R)R.",
        # An outside object of torch's other kind, whose source file would be looked up.
        b"\x80\x02X\x06\x00\x00\x00modulecargparse\nNamespace\n\x86Q.",
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93.",
        b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93.",
    ],
)
def test_opcodes_that_could_act(body):
    with pytest.raises((Refused, KeyError)):
        InertUnpickler(io.BytesIO(body)).load()


def test_a_dtype_cannot_claim_pointers():
    objects = pickle.dumps(np.array([1, 2]), protocol=2).replace(b"i8", b"O8")
    with pytest.raises(Refused, match="not one of numbers"):
        InertUnpickler(io.BytesIO(objects)).load()


def test_torchscript_and_tar_are_refused(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "script.pt")
    with pytest.raises(MostError, match="TorchScript"):
        read_torch(tmp_path / "script.pt")
    with tarfile.open(tmp_path / "tar.pt", "w") as tar:
        tar.addfile(tarfile.TarInfo("storages"))
    with pytest.raises(MostError, match="tar"):
        read_torch(tmp_path / "tar.pt")


@pytest.mark.parametrize("legacy", [False, True])
def test_settings_become_plain_and_no_code_is_imported(legacy, foreign_modules, tmp_path):
    class DictConfig:
        pass

    class AnyNode(DictConfig):
        pass

    class Settings:
        def __setstate__(self, state):
            raise AssertionError("ran")

        def __reduce_ex__(self, protocol):
            return (type(self), (), {"rate": 50})

    with foreign_modules(
        omegaconf_dictconfig_DictConfig=DictConfig, omegaconf_nodes_AnyNode=AnyNode, fairseq_tasks_Settings=Settings
    ):
        node, config = AnyNode(), DictConfig()
        node._val, node._parent = 7, config
        config._content, config._metadata = {"heads": node, "names": ["a"]}, {"ref_type": dict}
        whole = {"cfg": config, "args": argparse.Namespace(lr=[0.5], best=np.float64(2.5)), "task": Settings()}
        whole["w"] = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3).T)
        torch.save(whole, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    read = read_torch(tmp_path / "a.pt")
    assert plain(read["cfg"]) == {"heads": 7, "names": ["a"]}
    assert plain(read["args"]) == {"lr": [0.5], "best": 2.5}
    assert plain(read["task"]) == {"rate": 50}
    torch.testing.assert_close(read["w"].data, whole["w"].data, rtol=0, atol=0)


def test_endless_settings_end():
    record = Foreign("fairseq.X")
    record.state["self"] = record
    with pytest.raises(MostError, match="nests"):
        plain(record)


ARRAYS = [
    np.arange(12, dtype=np.float32).reshape(3, 4),
    np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    np.arange(5, dtype=">i4"),
    np.zeros((0, 3), np.float16),
    np.array(3.5),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype.str}{a.shape}")
@pytest.mark.parametrize("compress", [0, 3, ("gzip", 1)], ids=str)
def test_joblib_arrays_are_exact(array, compress, tmp_path):
    joblib.dump({"first": array, "second": array[:1] if array.ndim else array}, tmp_path / "a", compress=compress)
    read = read_joblib(tmp_path / "a")
    np.testing.assert_array_equal(read["first"].value, array)
    assert read["first"].value.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(read["second"].value, array[:1] if array.ndim else array)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_plain_pickled_arrays_are_exact(protocol, tmp_path):
    for array in ARRAYS:
        (tmp_path / "a").write_bytes(pickle.dumps({"a": array, "s": np.float32(1.5)}, protocol=protocol))
        read = read_joblib(tmp_path / "a")
        np.testing.assert_array_equal(read["a"].value, array)
        assert read["s"] == 1.5


def test_old_joblib_without_alignment(tmp_path):
    """joblib up to 1.1 wrote the array's bytes straight behind the wrapper."""
    joblib.dump(ARRAYS[0], tmp_path / "new")
    raw, bytes_of = (tmp_path / "new").read_bytes(), ARRAYS[0].tobytes()
    start = raw.index(bytes_of)
    key = raw.index(b"numpy_array_alignment_bytes")
    # The key's item becomes another's: the reader then sees no alignment, as in the old layout.
    old = raw[:key] + b"numpy_array_alignment_other" + raw[key + 27 : start]
    pad = struct.unpack("B", old[-1 - old[::-1].index(old.rstrip(b"\xff")[-1]) :][:1])[0]
    assert old.endswith(bytes([pad]) + b"\xff" * pad)
    (tmp_path / "old").write_bytes(old[: -1 - pad] + raw[start:])
    np.testing.assert_array_equal(read_joblib(tmp_path / "old").value, ARRAYS[0])


@pytest.mark.parametrize("name", ["torch", "torch legacy", "pickle", "joblib", "joblib zlib", "joblib gzip"])
def test_a_file_cut_short(name, tmp_path):
    read, write = WRITERS[name]
    write(np.ones(3000) if "torch" not in name else torch.ones(3000), tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    for share in (0.0, 0.3, 0.6, 0.97):
        (tmp_path / "cut").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(MostError, match="cut short"):
            read(tmp_path / "cut")


def test_what_is_no_pickle(tmp_path):
    for read in (read_torch, read_joblib, read_npy):
        with pytest.raises(MostError, match="no such file"):
            read(tmp_path / "none")
        with pytest.raises(MostError, match="is a folder"):
            read(tmp_path)
        (tmp_path / "text").write_text("hello")
        with pytest.raises(MostError, match="damaged or cut short"):
            read(tmp_path / "text")
    joblib.dump([1], tmp_path / "a.bz2", compress=("bz2", 3))
    with pytest.raises(MostError, match="bz2-compressed"):
        read_joblib(tmp_path / "a.bz2")
    (tmp_path / "z").write_bytes(zlib.compress(b"\x80\x04K\x01."))
    assert read_joblib(tmp_path / "z") == 1
