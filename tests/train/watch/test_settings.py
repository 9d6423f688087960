from __future__ import annotations

import pytest

from most.errors import MostError
from most.settings import build
from most.train.watch.settings import WatchSettings


def test_a_section_of_a_recipe():
    assert build(WatchSettings, {"routing_every": 0, "tensorboard": True}).tensorboard
    with pytest.raises(MostError, match="routing_every"):
        WatchSettings(routing_every=-1)
