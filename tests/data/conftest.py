"""A stand-in voice for whatever speaks, and folders as what they hold."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

TONES = Path(__file__).with_name("dialogue") / "voice" / "tones.py"


@pytest.fixture(scope="session")
def tones():
    """The module of the stand-in voice; loading it puts `tones` into the table of synthesizers."""
    spec = importlib.util.spec_from_file_location("voice_tones", TONES)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def contents():
    """Every file below a folder, by its path in it."""

    def read(folder: Path) -> dict[str, bytes]:
        return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

    return read
