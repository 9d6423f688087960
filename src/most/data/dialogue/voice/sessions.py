"""onnxruntime sessions for local voices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from most.errors import MostError


def onnx_session(
    path: Path, threads: int, providers: Sequence[str] = (), *, optimize: bool = True, seed: int | None = None
) -> Any:
    """A session on `threads` CPU threads; `seed` starts the noise that its graph draws.

    Raises:
        MostError: onnxruntime is missing, or the file is no model.
    """
    try:
        import onnxruntime as ort
    except ImportError as e:
        raise MostError("onnxruntime", "not installed", "install the extra: pip install 'most-speech[speak]'") from e
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if seed is not None:
        ort.set_seed(seed)
    try:
        return ort.InferenceSession(str(path), options, providers=list(providers) or ["CPUExecutionProvider"])
    except Exception as e:
        raise MostError("voice.model", path, f"could not be loaded by onnxruntime ({e})") from e
