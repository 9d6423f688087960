"""The stand-in chat server as a fixture."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SERVER = Path(__file__).with_name("chat_server.py")


@pytest.fixture(scope="session")
def chat_server():
    """The module of the server: `ChatServer`, `completion`, `good_interruption`, `suitable`."""
    spec = importlib.util.spec_from_file_location("chat_server", SERVER)
    module = importlib.util.module_from_spec(spec)
    sys.modules["chat_server"] = module
    spec.loader.exec_module(module)
    return module
