"""Foreign k-means (scikit-learn through joblib or pickle, .npy, centroids of torch) as units of one encoder's layer.

Foreign k-means looks at frames as they are, so the quantizer gets mean 0 and standard deviation 1; and at audio as it
is, so the codec scales no peak.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from most.errors import MostError
from most.speech.codec import Codec, CodecSettings
from most.speech.encoder import load_encoder
from most.speech.foreign.inert import Foreign, ForeignArray
from most.speech.foreign.output import Imported, check_new, new_folder
from most.speech.foreign.reader import READERS, read_joblib
from most.speech.units import KMeansQuantizer

ESTIMATORS = ("KMeans", "MiniBatchKMeans")
"""Estimators of sklearn.cluster whose `predict` is the nearest centroid."""


def import_units(
    file: str | os.PathLike[str], encoder: str | os.PathLike[str], layer: int, out: str | os.PathLike[str]
) -> Imported:
    """Write foreign k-means, with the encoder whose layer it was made of, as a codec folder that can encode.

    Args:
        encoder: folder (of `import_hubert`, say) or hub id.
        layer: counted from 1, as fairseq's `output_layer` is.

    Raises:
        MostError: a file that cannot be read without running its code or holds no centroids; an encoder or a layer that
            does not fit them; or `out` is there already.
    """
    path, out = Path(file), Path(out)
    check_new(out)
    what, centroids = read_centroids(path)
    heard = load_encoder(encoder)
    if not 1 <= layer <= heard.n_layers:
        raise MostError("layer", layer, f"{encoder} has layers 1..{heard.n_layers}")
    if centroids.shape[1] != heard.hidden_size:
        raise MostError("k-means", tuple(centroids.shape), f"the frames of {encoder} are {heard.hidden_size} wide")
    width = centroids.shape[1]
    quantizer = KMeansQuantizer(torch.zeros(width), torch.ones(width), centroids)
    codec = Codec(heard, quantizer, None, CodecSettings(layer=layer, peak=None))
    with new_folder(out) as part:
        codec.save(part)
    used = (
        f"{len(centroids)} centroids of width {width}, frames as they are (no z-score)",
        f"layer {layer} of {encoder} at {codec.unit_rate_hz:g} Hz, audio at its own level (peak: null)",
    )
    return Imported(source=path, out=out, what=what, used=used)


def read_centroids(path: Path) -> tuple[str, torch.Tensor]:
    """What a file is, and its centroids (n_units, H) float32.

    Raises:
        MostError: a file that cannot be read without running its code, or that holds no one matrix of centroids.
    """
    held = READERS.get(path.suffix.lower(), read_joblib)(path)
    what = "centroids"
    if isinstance(held, Foreign):
        kind, name = held.path.rpartition(".")[::2]
        if not kind.startswith("sklearn.cluster") or name not in ESTIMATORS:
            raise MostError("k-means", held.path, f"is not one of scikit-learn's {', '.join(ESTIMATORS)}")
        what, held = f"scikit-learn {name}", held.state.get("cluster_centers_")
        if held is None:
            raise MostError("k-means", path, "was never fitted: it has no cluster_centers_")
    if isinstance(held, Mapping):
        held = _only_matrix(held, path)
    if isinstance(held, ForeignArray):
        held = held.value
    tensor = torch.from_numpy(held) if isinstance(held, np.ndarray) and held.dtype.kind in "fiu" else held
    if not isinstance(tensor, torch.Tensor):
        raise MostError("k-means", path, f"holds {_said(held)}, no matrix of centroids")
    if tensor.dim() != 2 or not tensor.is_floating_point() or len(tensor) < 2:
        shape = f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
        raise MostError("k-means", shape, f"{path} must hold floats of shape (units, width), at least 2 units")
    if not bool(tensor.isfinite().all()):
        raise MostError("k-means", path, "holds centroids that are not finite")
    return what, tensor.detach().float().contiguous()


def _only_matrix(held: Mapping[Any, Any], path: Path) -> torch.Tensor:
    matrices = {str(k): v for k, v in held.items() if isinstance(v, torch.Tensor) and v.dim() == 2}
    if len(matrices) != 1:
        raise MostError(
            "k-means", sorted(matrices) or sorted(map(str, held)), f"{path} must hold one matrix of centroids"
        )
    return next(iter(matrices.values()))


def _said(held: Any) -> str:
    return f"an array of {held.dtype}" if isinstance(held, np.ndarray) else f"a {type(held).__name__}"
