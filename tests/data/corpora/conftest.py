"""Tiny corpora in their published layouts, of tones in noise, and how a prepared folder is compared."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile as sf

from most.data.corpora.prepare import prepare

WORDS = (
    "printing in the only sense",
    "with which we are concerned",
    "differs from most",
    "if not from all",
    "the arts",
)


def tone(path: Path, seconds: float = 0.8, rate: int = 16000, channels: int = 1, pitch: float = 200.0) -> Path:
    """A tone in noise; the same arguments give the same bytes."""
    rng = np.random.default_rng(round(pitch))
    t = np.arange(round(seconds * rate)) / rate
    wav = 0.3 * np.sin(2 * np.pi * pitch * t) + 0.01 * rng.normal(size=len(t))
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, np.stack([wav] * channels, axis=1), rate)
    return path


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder, with a digest of its bytes."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def quiet(name, source, out, **kwargs):
    return prepare(name, source, out, echo=lambda _: None, progress=False, **kwargs)


def make_librispeech(root: Path, n: int = 4) -> Path:
    """Two splits, two speakers each; `n` utterances a chapter, upper-case transcripts."""
    for split, speakers in (("train-clean-100", (19, 26)), ("dev-clean", (84, 174))):
        for speaker in speakers:
            chapter, rows = root / "LibriSpeech" / split / str(speaker) / "198", []
            for k in range(n):
                name = f"{speaker}-198-{k:04d}"
                tone(chapter / f"{name}.flac", 0.5 + 0.1 * k, pitch=100 + speaker + k)
                rows.append(f"{name} {WORDS[k % 5].upper()}\n")
            (chapter / f"{speaker}-198.trans.txt").write_text("".join(rows))
    return root / "LibriSpeech"


def make_ljspeech(root: Path) -> Path:
    rows = []
    for k, text in enumerate(WORDS):
        tone(root / "wavs" / f"LJ001-{k:04d}.wav", rate=22050, pitch=150 + k)
        rows.append(f"LJ001-{k:04d}|{text}, in 14{k}0|{text}, in fourteen {k}\n")
    (root / "metadata.csv").write_text("".join(rows))
    return root


CV_COLUMNS = ("client_id", "path", "sentence_id", "sentence", "sentence_domain", "up_votes", "down_votes", "age",
              "gender", "accents", "variant", "locale", "segment")  # fmt: skip


def make_commonvoice(root: Path) -> Path:
    """A release's `en` folder with mp3 clips; one sentence holds a lone quotation mark."""
    folder = root / "en"
    for split, n in (("train", 3), ("dev", 1), ("test", 1), ("validated", 5)):
        rows = ["\t".join(CV_COLUMNS)]
        for k in range(n):
            at = k if split in ("train", "validated") else 3 + (split == "test")
            clip = f"common_voice_en_{at}.mp3"
            if not (folder / "clips" / clip).exists():
                tone(folder / "clips" / clip, rate=48000, pitch=120 + at)
            text = f'"{WORDS[at]}' if at == 1 else f"{WORDS[at].capitalize()}."
            rows.append("\t".join([f"speaker{at % 2}", clip, "s", text, "", "2", "0", "", "", "", "", "en", ""]))
        (folder / f"{split}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def make_voxpopuli(root: Path, layout: str) -> Path:
    """`cut`: what get_asr_data writes; `hub`: what the release on the hub unpacks to; `sessions`: whole sessions."""
    session = "20110905-0900-PLENARY-12-en"
    if layout == "sessions":
        tone(root / "raw_audios" / "en" / "2011" / f"{session}_en.ogg", 4.0)
        (root / "asr_en.tsv.gz").parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(root / "asr_en.tsv.gz", "wt") as f:
            table = csv.writer(f, delimiter="|")
            table.writerow(["session_id", "id_", "original_text", "normed_text", "speaker_id", "gender", "split",
                            "start_time", "end_time", "vad"])  # fmt: skip
            for k, split in enumerate(("train", "train", "dev", "test", "invalid")):
                text = WORDS[k]
                table.writerow([session, k, f"{text}.", text, f"{k % 2}", "f", split, 0.7 * k, 0.7 * k + 0.6, "[]"])
        return root
    folder = root / ("transcribed_data" if layout == "cut" else "data") / "en"
    for k, split in enumerate(("train", "dev", "test")):
        names = [f"{session}_20110905-17:02:5{i}_{k}{i}" for i in range(2)]
        for name in names:
            place = folder / "2011" if layout == "cut" else folder / f"{split}_part_0"
            tone(place / f"{name}.{'ogg' if layout == 'cut' else 'wav'}", pitch=170 + k)
        rows = [f'{n}\tHe said "no.\the said no\t{28117 + k}\t{split}\tmale\tTrue\tNone' for n in names]
        header = "id\traw_text\tnormalized_text\tspeaker_id\tsplit\tgender\tis_gold_transcript\taccent"
        (folder / f"asr_{split}.tsv").write_text("\n".join([header, *rows]) + "\n")
    return root


def make_libriheavy(root: Path) -> tuple[Path, Path]:
    """Manifests and LibriLight: two stretches of one recording in `small`, one in `dev`. Returns both folders."""
    manifests, audio = root / "libriheavy", root / "elsewhere"
    name = "small/100/sea_fairies_0812_librivox_64kb_mp3/01_baum_sea_fairies_64kb"
    tone(audio / f"{name}.flac", 5.0)
    manifests.mkdir(parents=True)
    for subset, starts in (("small", (0.25, 2.0)), ("dev", (3.5,))):
        with gzip.open(manifests / f"libriheavy_cuts_{subset}.jsonl.gz", "wt", encoding="utf-8") as f:
            for k, start in enumerate(starts):
                f.write(json.dumps(_libriheavy_cut(f"{name}_{k}", name, start)) + "\n")
    return manifests, audio


def _libriheavy_cut(cut_id: str, name: str, start: float) -> dict:
    texts = ['"But why do folks dive?" she asked.', "BUT WHY DO FOLKS DIVE SHE ASKED"]
    supervision = {"id": cut_id, "recording_id": name, "start": 0, "duration": 1.36, "channel": 0,
                   "language": "English", "speaker": "100",
                   "custom": {"texts": texts, "pre_texts": ["...", "..."], "begin_byte": 1, "end_byte": 9}}  # fmt: skip
    recording = {"id": name, "sources": [{"type": "file", "channels": [0],
                 "source": f"download/librilight/{name}.flac"}], "sampling_rate": 16000, "num_samples": 80000,
                 "duration": 5.0, "channel_ids": [0]}  # fmt: skip
    return {"id": cut_id, "start": start, "duration": 1.36, "channel": 0, "supervisions": [supervision],
            "recording": recording, "custom": {"text_path": "text.txt"}, "type": "MonoCut"}  # fmt: skip


@pytest.fixture(scope="session")
def librispeech(tmp_path_factory):
    return make_librispeech(tmp_path_factory.mktemp("libri"))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory, librispeech):
    out = tmp_path_factory.mktemp("prepared") / "set"
    quiet("librispeech", librispeech, out)
    return out


@pytest.fixture(scope="session")
def lay():
    """The builders above, by name: tests are imported without a package."""
    return SimpleNamespace(
        commonvoice=make_commonvoice, libriheavy=make_libriheavy, librispeech=make_librispeech,
        ljspeech=make_ljspeech, voxpopuli=make_voxpopuli, tone=tone,
    )  # fmt: skip


@pytest.fixture(scope="session")
def look():
    """`tree`, `lines` and `prepare` that says nothing."""
    return SimpleNamespace(tree=tree, lines=lines, prepare=quiet)
