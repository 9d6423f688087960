"""Audio: rates, channels and formats that are read, and every bad input by name."""

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from most.errors import MostError
from most.manifest import AudioRef
from most.speech.audio import band_limit, check_waveform, read_audio, require_sound, resample, write_audio


def tone(rate, seconds=0.5, hz=440.0):
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_and_channel_count(tmp_path, rate, channels):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.tile(tone(rate)[:, None], channels), rate)
    wav = read_audio(path)
    assert wav.dtype == np.float32
    assert abs(len(wav) - 8000) <= 1
    np.testing.assert_allclose(wav[1000:7000], tone(16000)[1000:7000], atol=2e-3)


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("a.wav", "PCM_16", 1e-4), ("a.wav", "PCM_24", 1e-6), ("a.wav", "FLOAT", 1e-7), ("a.wav", "PCM_U8", 1e-2),
        ("a.wav", "ULAW", 3e-2), ("a.flac", "PCM_16", 1e-4), ("a.ogg", "VORBIS", 0.1), ("a.ogg", "OPUS", 0.1),
        ("a.mp3", "MPEG_LAYER_III", 0.1), ("a.aiff", "PCM_16", 1e-4),
    ],
)  # fmt: skip
def test_formats(tmp_path, name, subtype, tolerance):
    path = tmp_path / name
    soundfile.write(path, tone(16000), 16000, subtype=subtype)
    wav = read_audio(path)
    assert abs(len(wav) - 8000) < 2500
    if tolerance < 0.1:
        np.testing.assert_allclose(wav, tone(16000), atol=tolerance)
    else:
        assert 0.3 < np.sqrt(np.square(wav[1500:6500]).mean()) < 0.4


def test_a_stretch(tmp_path):
    path = tmp_path / "a.flac"
    ramp = np.linspace(-0.9, 0.9, 16000, dtype=np.float32)
    soundfile.write(path, ramp, 16000)
    part = read_audio(AudioRef(path=path, start=0.25, duration=0.5))
    np.testing.assert_allclose(part, ramp[4000:12000], atol=1e-4)
    assert len(read_audio(AudioRef(path=path, start=0.75))) == 4000
    with pytest.raises(MostError, match="start must lie before"):
        read_audio(AudioRef(path=path, start=1.0))
    with pytest.raises(MostError, match=r"audio\.duration"):
        read_audio(AudioRef(path=path, start=0.5, duration=0.7))


def test_bad_files(tmp_path):
    def refused(match, name, **kwargs):
        with pytest.raises(MostError, match=match) as e:
            read_audio(tmp_path / name, **kwargs)
        assert str(tmp_path) in str(e.value)

    refused("no such file", "missing.wav")
    refused("is a folder", "")
    (tmp_path / "empty.wav").write_bytes(b"")
    refused("0 bytes", "empty.wav")
    (tmp_path / "text.wav").write_text("hello, this is no audio")
    refused("cannot be decoded", "text.wav")
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16000)
    refused("no samples", "none.wav")
    soundfile.write(tmp_path / "long.wav", tone(8000, 3.0), 8000)
    refused("over the bound of 2 s", "long.wav", max_seconds=2)
    assert len(read_audio(tmp_path / "long.wav", max_seconds=None)) == 48000
    soundfile.write(tmp_path / "nan.wav", np.array([0, np.nan, 0.1]), 16000, subtype="FLOAT")
    refused("not finite", "nan.wav")
    soundfile.write(tmp_path / "silent.wav", np.zeros(4000), 16000)
    refused("silent", "silent.wav", allow_silence=False)
    assert not read_audio(tmp_path / "silent.wav").any()


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_truncated_files(tmp_path, suffix):
    whole = tmp_path / f"whole.{suffix}"
    rng = np.random.default_rng(0)
    soundfile.write(whole, rng.uniform(-0.5, 0.5, 32000), 16000)
    data = whole.read_bytes()
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(data[: len(data) // 2])
    with pytest.raises(MostError, match=r"truncated|cannot be decoded"):
        read_audio(cut)


def test_an_mp3_may_end_within_its_last_frames(tmp_path, monkeypatch):
    path = tmp_path / "a.mp3"
    soundfile.write(path, tone(16000, 1.0), 16000)
    n = len(read_audio(path))
    stated = soundfile.SoundFile.frames
    monkeypatch.setattr(soundfile.SoundFile, "frames", property(lambda f: stated.fget(f) + 198))
    assert len(read_audio(path)) == n
    monkeypatch.setattr(soundfile.SoundFile, "frames", property(lambda f: stated.fget(f) + 9000))
    with pytest.raises(MostError, match="truncated"):
        read_audio(path)


def test_a_wav_of_unknown_size_is_read(tmp_path):
    path = tmp_path / "piped.wav"
    soundfile.write(path, tone(16000), 16000)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert len(read_audio(path)) == 8000


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=50))
def test_integers_are_scaled(values):
    wav = check_waveform(np.array(values, dtype=np.int16))
    assert wav.dtype == np.float32
    np.testing.assert_array_equal(np.round(wav * 32768), values)


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (np.zeros((2, 5)), "one-dimensional"), (np.zeros(0), "no samples"), (np.array([0.0, np.inf]), "finite"),
        (np.array([0.0, np.nan]), "finite"), (np.zeros(4, dtype=np.uint8), "uint8"), (np.zeros(4, complex), "complex"),
        (np.array([12000.0, -3.0]), "divide integers"), (np.array(["a"]), "must be float32"),
    ],
)  # fmt: skip
def test_bad_arrays(array, match):
    with pytest.raises(MostError, match=match):
        check_waveform(array)


def test_silence_is_what_16_bits_cannot_tell_from_zero():
    with pytest.raises(MostError, match="silent"):
        require_sound(np.full(10, 2.0**-16), "x")
    require_sound(np.full(10, 2.0**-10), "x")


def test_write_is_whole_or_not_at_all(tmp_path):
    path = write_audio(tmp_path / "new" / "a.wav", tone(16000), 16000)
    np.testing.assert_allclose(read_audio(path), tone(16000), atol=1e-4)
    assert [p.name for p in path.parent.iterdir()] == ["a.wav"]
    with pytest.raises(MostError, match="suffix"):
        write_audio(tmp_path / "a.xyz", tone(16000), 16000)
    with pytest.raises(MostError, match="finite"):
        write_audio(path, np.array([np.nan]), 16000)
    assert len(read_audio(path)) == 8000


@settings(max_examples=20, deadline=None)
@given(n=st.integers(400, 5000))
def test_band_limiting_keeps_length_and_low_tones(n):
    low, high = tone(16000, 1.0, 1000.0)[:n], tone(16000, 1.0, 6000.0)[:n]
    assert band_limit(low, 16000).shape == low.shape
    assert np.abs(band_limit(high, 16000)[200:-200]).max(initial=0) < 0.05


def test_resample_to_the_same_rate_is_the_same_array():
    wav = tone(16000)
    assert resample(wav, 16000, 16000) is wav
