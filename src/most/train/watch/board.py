"""TensorBoard: every figure of a log line, and heatmaps of routing. A second view; nothing is kept here alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from most.errors import MostError

FOLDER = "tensorboard"
_RENAMED = {
    "loss": "loss_all/all", "text_loss": "loss_all/text", "audio_loss": "loss_all/audio",
    "balance_loss": "loss_all/balance", "ctc_loss": "loss_all/ctc",
}  # fmt: skip
"""Names in a log line to names here; `loss/TASK` stays, and a task may be called text."""
_PIXELS = 12
"""Side of a heatmap's cell."""


class Board:
    """Event files of a run.

    Args:
        last_step: of the checkpoint from which a run goes on; what was written later is hidden.

    Raises:
        MostError: the extra `report` is missing.
    """

    def __init__(self, folder: Path, last_step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as e:
            remedy = "needs the extra: pip install 'most-speech[report]'"
            raise MostError("watch.tensorboard", True, remedy) from e
        self._writer: Any = SummaryWriter(str(folder), purge_step=last_step + 1)

    def scalars(self, step: int, logs: Mapping[str, Any]) -> None:
        for name, value in logs.items():
            if isinstance(value, int | float):
                self._writer.add_scalar(_RENAMED.get(name, name if "/" in name else f"train/{name}"), value, step)

    def heatmap(self, step: int, counts: np.ndarray) -> None:
        """counts (layers, 2, experts): text's picks above audio's."""
        self._writer.add_image("routing/picks_text_above_audio", heat_image(counts), step, dataformats="HWC")

    def close(self) -> None:
        self._writer.close()


def heat_image(counts: np.ndarray) -> np.ndarray:
    """Shares of each modality's picks, (layers, 2, experts) -> (H, W, 3) uint8: a row a layer, text above audio."""
    import matplotlib

    share = counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)
    gap = np.full((1, share.shape[-1]), np.nan)
    grid = np.concatenate([share[:, 0], gap, share[:, 1]])
    colours = matplotlib.colormaps["viridis"](np.nan_to_num(grid) / max(float(share.max()), 1e-9))[..., :3]
    colours[np.isnan(grid)] = 1.0
    return (255 * colours).astype(np.uint8).repeat(_PIXELS, axis=0).repeat(_PIXELS, axis=1)
