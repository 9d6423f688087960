"""Unit vocoders behind one seam: unit ids and a voice in, speech out."""

from most.speech.vocoder.base import UnitVocoder, load_vocoder

__all__ = ["UnitVocoder", "load_vocoder"]
