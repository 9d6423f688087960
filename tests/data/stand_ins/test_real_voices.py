"""Words by phones in Kokoro's and Piper's voices, where MOST_KOKORO and MOST_PIPER name their folders."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from most.data.dialogue.voice.arpabet import to_ipa
from most.data.dialogue.voice.phonemes import phonemize
from most.data.dialogue.voice.table import make_synthesizer

# Words that espeak-ng says as CMUdict does.
WORDS = {"river": "R IH1 V ER0", "music": "M Y UW1 Z IH0 K", "happy": "HH AE1 P IY0", "joyous": "JH OY1 AH0 S"}


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="the program espeak-ng is not installed")
@pytest.mark.parametrize("word", WORDS)
def test_ipa_is_espeaks(word):
    assert to_ipa(WORDS[word].split()) == phonemize(word)


@pytest.mark.parametrize("kind", ["kokoro", "piper"])
def test_a_word_by_its_phones_is_the_word(kind):
    pytest.importorskip("onnxruntime")
    folder = os.environ.get(f"MOST_{kind.upper()}")
    if not folder or shutil.which("espeak-ng") is None:
        pytest.skip(f"MOST_{kind.upper()} does not name a model, or espeak-ng is not installed")
    voice = make_synthesizer(kind, {"model": folder})
    name = voice.voices[0]
    phones = WORDS["river"].split()
    assert np.array_equal(voice.synthesize_phones(phones, name, 3), voice.synthesize("river", name, 3))
