"""How fast a MoST listens and speaks on a CPU, beside faster-whisper, Kokoro and Piper, in one run on the same threads.

    python benchmarks/speech_speed.py MODEL --whisper DIR --kokoro DIR --piper DIR

Transcription of the same clips and speech of the same sentences, one at a time, each contender in turn and that
`--repeats` times: seconds of work a second of sound (real-time factor), medians. Then the time from a text to the first
chunk of its speech, streamed. Then tokens a second of the engine's batch and of `model.generate` on the same weights
(the same tokens, but where speech is guided by words), and the limit: the bytes of weights that a token reads over the
rate at which matrix-vector products read weights from memory, measured in the same run.

Clips are those of `--audio`, or the sentences said by Kokoro or Piper. All work on `--threads` threads, but decoding
of one row on `--decode-threads`. faster-whisper is greedy, in int8; Piper keeps one session; phonemes are found before
the timed rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig, TemperatureLogitsWarper, TopPLogitsWarper

from most.data.dialogue.voice import piper as piper_module
from most.data.dialogue.voice.kokoro import Kokoro
from most.data.dialogue.voice.piper import Piper
from most.data.dialogue.voice.sessions import onnx_session
from most.errors import MostError
from most.evaluate.judges.whisper import FasterWhisperJudge
from most.generate.batch import Batch
from most.generate.draw import SeededDraw
from most.generate.engine import SPEAK_PROMPT, Engine, SpeakSettings
from most.generate.request import Request
from most.model.legal import LegalTokens
from most.report.markdown import table
from most.speech.audio import read_audio, resample
from most.speech.vocoder.stream import StreamSettings

SENTENCES = (
    "The train to the coast leaves at a quarter past nine.",
    "She put the letter on the table and closed the door behind her.",
    "Could you tell me how long it takes to walk to the station from here?",
    "Rain is expected in the north tomorrow, with strong winds in the afternoon.",
)


class Most:
    """A model by its engine's batch, and by `generate`."""

    def __init__(self, folder: str, codec: Path | None, args: argparse.Namespace) -> None:
        self.engine, self.args = Engine.load(folder, codec), args
        self.model, self.processor = self.engine.model.float(), self.engine.processor
        assert self.engine.codec is not None
        self.codec = self.engine.codec
        tokenizer = self.processor.tokenizer
        self.ends = {"eos_token_id": int(tokenizer.eos_token_id), "pad_token_id": int(tokenizer.pad_token_id or 0)}

    def tokens(self, requests: Sequence[Request]) -> Iterator[int]:
        """Token by token, on the decoding threads while one row is decoded."""
        batch = Batch(self.model, self.processor, len(requests))
        for request in requests:
            batch.add(request)
        first = batch.step()  # the prompts, on all threads
        with threads(self.args.decode_threads if len(requests) == 1 else self.args.threads):
            yield from (token.id for token in first)
            while batch.busy:
                yield from (token.id for token in batch.step())

    def said(self, text: str, row: int = 0) -> Request:
        return self.engine.to_say(text, SpeakSettings(max_seconds=self.args.max_seconds), (0, row))

    def generate(self, text: str, rows: int) -> int:
        """Speech of the same text, by transformers, unguided by words. Returns how many tokens."""
        batch = self.processor([[{"role": "user", "content": SPEAK_PROMPT.replace("{text}", text)}]] * rows, "speech")
        length, limit = batch["input_ids"].shape[1], self.said(text).parts[0].max_new_tokens
        config = GenerationConfig(do_sample=False, max_new_tokens=limit, **self.ends)
        legal = LegalTokens(
            self.processor.vocab, "speech", eos_token_id=self.ends["eos_token_id"], prompt_length=length
        )
        draw = SeededDraw([(0, row) for row in range(rows)], prompt_length=length, max_new_tokens=limit)
        settings = SpeakSettings()
        warpers = [TemperatureLogitsWarper(settings.temperature), TopPLogitsWarper(settings.top_p)]
        ids = self.model.generate(
            **batch, generation_config=config, mode="speech", logits_processor=[legal, *warpers, draw]
        )
        return int((ids[:, length:] != self.ends["pad_token_id"]).sum())

    def transcribe(self, wav: np.ndarray) -> str:
        return self.processor.decode_text(list(self.tokens([self.engine.to_transcribe(wav, 256)])))

    def speak(self, text: str) -> tuple[np.ndarray, int]:
        return self.codec.decode(self.processor.units_of(list(self.tokens([self.said(text)]))))

    def first_audio(self, text: str) -> float:
        """Seconds from the text to the samples of the first chunk."""
        begin, stream = time.perf_counter(), self.codec.stream()
        for token in self.tokens([self.said(text)]):
            if len(stream.push(self.processor.units_of([token]))):
                break
        else:
            stream.finish()
        return time.perf_counter() - begin


@contextmanager
def threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def interleaved(contenders: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """What each returns, in turns, after one round that does not count."""
    values: dict[str, list[float]] = {name: [] for name in contenders}
    for k in range(repeats + 1):
        for name, call in contenders.items():
            value = call()
            if k:
                values[name].append(value)
    return values


def factor(work: Callable[[Any], float], items: Any) -> Callable[[], float]:
    """A round over all items: seconds of work a second of sound; `work` returns the sound's seconds."""

    def run() -> float:
        begin = time.perf_counter()
        sound = sum(work(item) for item in items)
        return (time.perf_counter() - begin) / sound

    return run


def voices(args: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if args.kokoro:
        found["Kokoro"] = Kokoro(args.kokoro, threads=args.threads)
    if args.piper:
        found["Piper"] = Piper(args.piper)
        # The project's own makes a session a call, for its seeds; whoever only speaks keeps one.
        session = onnx_session(found["Piper"]._file, args.threads)
        piper_module.onnx_session = lambda *_, **__: session  # type: ignore[assignment]
    return found


def bytes_a_token(model: Any) -> int:
    """Weights that the step of one token reads: all of the language model, of its experts those that are picked."""
    config = model.language_model.config
    n_experts = getattr(config, "n_routed_experts", None) or getattr(config, "num_local_experts", None)
    n_experts = n_experts or getattr(config, "num_experts", 1)
    total = 0
    for p in model.language_model.parameters():
        share = config.num_experts_per_tok / n_experts if p.ndim == 3 else 1.0  # experts are fused in one tensor
        if p is model.get_input_embeddings().weight and p is not model.get_output_embeddings().weight:
            share = 1 / len(p)
        total += round(share * p.numel() * p.element_size())
    return total


def memory_rate(width: int = 256, mebibytes: int = 64, seconds: float = 1.0) -> float:
    """Bytes a second that matrix-vector products read, of as many matrices as no core's own cache holds."""
    n = mebibytes * 2**20 // (2 * width * width * 4)
    matrices, x = [torch.randn(2 * width, width) for _ in range(n)], torch.randn(1, width)
    best, until = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        begin = time.perf_counter()
        for matrix in matrices:
            torch.nn.functional.linear(x, matrix)
        best = max(best, n * matrices[0].numel() * 4 / (time.perf_counter() - begin))
    return best


def decoding(most: Most, args: argparse.Namespace) -> dict[str, Any]:
    """Tokens a second of all rows, by the batch and by `generate`: one row on each number of threads, and eight."""
    contenders: dict[str, Callable[[], float]] = {}
    text = SENTENCES[0]
    for rows, n in ((1, 1), (1, args.threads), (8, args.threads)):

        def timed(work: Callable[[], int], n: int = n) -> float:
            with threads(n):
                begin = time.perf_counter()
                return work() / (time.perf_counter() - begin)

        def loop(rows: int = rows) -> int:
            batch, count = Batch(most.model, most.processor, rows), 0
            for row in range(rows):
                batch.add(most.said(text, row))
            while batch.busy:
                count += len(batch.step())
            return count

        generate = lambda rows=rows: most.generate(text, rows)  # noqa: E731
        where = f"{rows} row{'s' * (rows > 1)}, {n} thread{'s' * (n > 1)}"
        contenders[f"batch, {where}"] = lambda timed=timed, loop=loop: timed(loop)
        contenders[f"generate, {where}"] = lambda timed=timed, generate=generate: timed(generate)
    return interleaved(contenders, args.repeats)


def ratio(values: dict[str, list[float]]) -> list[list[object]]:
    """A row a contender: its median, the range, and how many times MoST's median it is."""
    own = statistics.median(values["MoST"])
    return [
        [name, f"{statistics.median(v):.4f}", f"{min(v):.4f} to {max(v):.4f}", f"{statistics.median(v) / own:.2f}"]
        for name, v in values.items()
    ]


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder of a MoST")
    parser.add_argument("--codec", type=Path, help="default: the model's own")
    parser.add_argument("--whisper", help="folder of tiny.en in CTranslate2's format")
    parser.add_argument("--kokoro", help="folder of Kokoro's model and voices")
    parser.add_argument("--piper", help="folder of a Piper voice")
    parser.add_argument("--audio", type=Path, nargs="*", default=[], help="clips to transcribe")
    parser.add_argument("--max-seconds", type=float, default=10.0, help="of speech for a sentence")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--decode-threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/speech_speed.json"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    most, others = Most(args.model, args.codec, args), voices(args)
    rate = most.processor.sample_rate
    clips = [read_audio(path, rate) for path in args.audio]
    if not clips and not others:
        raise MostError("audio", args.audio, "name clips to transcribe, or a voice (--kokoro, --piper) to make them")
    for voice in list(others.values())[:1] if not clips else []:
        made = (voice.synthesize(s, voice.voices[0], 0) for s in SENTENCES)
        clips = [resample(wav, voice.sample_rate, rate) for wav in made]
    load = os.getloadavg()[0]

    def heard_by(judge: Any) -> Callable[[np.ndarray], float]:
        return lambda wav: (judge.transcribe(wav, rate), len(wav) / rate)[1]

    def said_by(voice: Any) -> Callable[[str], float]:
        return lambda text: len(voice.synthesize(text, voice.voices[0], 0)) / voice.sample_rate

    def said(text: str) -> float:
        wav, hz = most.speak(text)
        return len(wav) / hz

    hearing = {"MoST": factor(lambda wav: (most.transcribe(wav), len(wav) / rate)[1], clips)}
    if args.whisper:
        judge = FasterWhisperJudge(args.whisper, threads=args.threads)
        hearing["faster-whisper int8"] = factor(heard_by(judge), clips)
    speaking = {"MoST": factor(said, SENTENCES)}
    speaking |= {name: factor(said_by(voice), SENTENCES) for name, voice in others.items()}
    heard, spoken = interleaved(hearing, args.repeats), interleaved(speaking, args.repeats)
    most.first_audio(SENTENCES[0])
    first = sorted(most.first_audio(text) for _ in range(args.repeats) for text in SENTENCES)
    rates = decoding(most, args)
    n_bytes, memory = bytes_a_token(most.model), {}
    for n in dict.fromkeys((1, args.threads)):
        with threads(n):
            memory[n] = memory_rate(most.model.config.get_text_config().hidden_size)

    head = ["", "median", "range", "times MoST"]
    seconds = sum(map(len, clips)) / rate
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {load:.1f} before\n")
    print(f"Transcription of {len(clips)} clips, {seconds:.1f} s: real-time factor\n")
    print("\n".join(table(head, ratio(heard))))
    print(f"\nSpeech of {len(SENTENCES)} sentences: real-time factor\n")
    print("\n".join(table(head, ratio(spoken))))
    p95 = first[min(len(first) - 1, int(0.95 * len(first)))]
    chunk = StreamSettings()
    print(f"\nFirst audio ({chunk.first} units, {chunk.look_ahead} behind them): "
          f"median {1000 * statistics.median(first):.0f} ms, p95 {1000 * p95:.0f} ms of {len(first)}")  # fmt: skip
    print("\nDecoding: tokens a second, all rows\n")
    print("\n".join(table(["", "median", "range"], [
        [name, f"{statistics.median(v):.0f}", f"{min(v):.0f} to {max(v):.0f}"] for name, v in rates.items()
    ])))  # fmt: skip
    limits = {n: per_second / n_bytes for n, per_second in memory.items()}
    for n, limit in limits.items():
        reached = statistics.median(rates[f"batch, 1 row, {n} thread{'s' * (n > 1)}"]) / limit
        print(f"\nLimit on {n} thread{'s' * (n > 1)}: a token reads {n_bytes / 1e6:.1f} MB of weights, memory gives "
              f"{memory[n] / 1e9:.1f} GB/s: {limit:.0f} tokens/s, the batch reaches {reached:.0%}")  # fmt: skip
    result = {
        "settings": {k: str(v) for k, v in vars(args).items()}, "load_before": load, "load_after": os.getloadavg()[0],
        "transcription_rtf": heard, "speech_rtf": spoken, "first_audio_seconds": first, "tokens_per_second": rates,
        "bytes_a_token": n_bytes, "memory_bytes_per_second": memory, "limit_tokens_per_second": limits,
    }  # fmt: skip
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"\n{args.out}; load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    try:
        main()
    except MostError as e:
        sys.exit(f"error: {e}")
