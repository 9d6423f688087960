"""The data card of a prepared set: a README.md whose front matter the Hugging Face hub and `datasets` read.

It names every split's file, so `datasets.load_dataset(FOLDER, "examples")` needs no script.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from most.data.corpora.check import Record

# Licences that are no identifiers of the hub are written as `other` with a name.
_HUB_LICENCES = re.compile(r"(cc0|cc-by|apache|mit|bsd|odc|odbl|pddl|cdla|gpl|lgpl|agpl|unknown|other)\b")
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
          (10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"))  # fmt: skip
_TASKS = {
    "asr": "automatic-speech-recognition",
    "tts": "text-to-speech",
    "text": "text-generation",
    "dialogue": "any-to-any",
}


@dataclass
class SplitCounts:
    """What a split holds and what was left out of it."""

    items: int = 0
    kept: int = 0
    seconds: float = 0.0
    chars: int = 0
    speakers: set[str] = field(default_factory=set)
    rejected: Counter[str] = field(default_factory=Counter)
    rates: Counter[int] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    """Reason -> the first item left out for it, and its detail."""

    @classmethod
    def of(cls, records: Iterable[Record]) -> SplitCounts:
        counts = cls()
        for record in records:
            counts.add(record)
        return counts

    def add(self, record: Record) -> None:
        self.items += 1
        if "reason" in record:
            self.rejected[record["reason"]] += 1
            self.first.setdefault(record["reason"], f"{record['id']}: {record['detail']}")
            return
        self.kept += 1
        self.chars += len(record["text"])
        self.seconds += record.get("seconds", 0.0)
        if record.get("speaker"):
            self.speakers.add(record["speaker"])
        if "rate" in record:
            self.rates[record["rate"]] += 1

    def plain(self) -> dict[str, Any]:
        """For `prepare.json`."""
        out: dict[str, Any] = {"items": self.items, "kept": self.kept, "rejected": dict(sorted(self.rejected.items()))}
        if self.seconds:
            out |= {"hours": round(self.seconds / 3600, 4), "speakers": len(self.speakers)}
        return out


def hub_split(split: str) -> str:
    """A split's name as the hub allows it: letters, digits and underscores."""
    return re.sub(r"\W", "_", split)


def data_card(
    *, title: str, source: str, url: str, licence: str, tasks: Sequence[str], counts: dict[str, SplitCounts],
    kept_rule: str, speech: bool, more: Sequence[str] = (), machine_written: bool = False,
) -> str:  # fmt: skip
    """The card as Markdown with YAML front matter.

    Args:
        source: the corpus' name on the command line.
        counts: split -> counts; only splits that hold something are named in the front matter.
        kept_rule: a sentence on what was kept.
        speech: whether there are recordings, with manifests of utterances and cuts beside the examples.
        more: further lines, such as on who speaks.
        machine_written: the transcripts are a recogniser's, which the front matter then says in the hub's words.
    """
    kept = {s: c for s, c in counts.items() if c.kept}
    n = sum(c.kept for c in kept.values()) * (len(tasks) if speech else 1)
    head: dict[str, Any] = {"pretty_name": f"{title}, prepared for MoST"}
    head |= {"license": licence} if _HUB_LICENCES.match(licence) else {"license": "other", "license_name": licence}
    head |= {"license_link": url} if head["license"] == "other" and url else {}
    head |= {"annotations_creators": ["machine-generated"]} if machine_written else {}
    head |= {
        "task_categories": [_TASKS[t] for t in tasks],
        "size_categories": [next((name for top, name in _SIZES if n < top), "n>100M")],
        "configs": [_config("examples", "", kept, default=True)]
        + ([_config("utterances", "utterances_", kept, default=False)] if speech else []),
    }
    lines = ["---", yaml.safe_dump(head, sort_keys=False, allow_unicode=True).rstrip(), "---", ""]
    lines += [f"# {title}, prepared for MoST", ""]
    lines += [f"- corpus: `{source}`" + (f", {url}" if url else ""), f"- licence: {licence}"]
    lines += [f"- tasks: {', '.join(tasks)}", ""]
    lines += [*_split_table(counts, speech=speech), ""]
    lines += [*_rejected_table(counts), ""]
    lines += [kept_rule, "", *more]
    return "\n".join(lines + _reading(speech=speech))


def _config(name: str, prefix: str, kept: Iterable[str], *, default: bool) -> dict[str, Any]:
    files = [{"split": hub_split(s), "path": f"{prefix}{s}.jsonl"} for s in kept]
    return {"config_name": name, "data_files": files} | ({"default": True} if default else {})


def _split_table(counts: dict[str, SplitCounts], *, speech: bool) -> list[str]:
    def row(name: str, c: SplitCounts) -> str:
        size = f"{c.seconds / 3600:.2f} | {len(c.speakers) or '-'} | {_rates(c.rates)}" if speech else f"{c.chars}"
        return f"| {name} | {c.items} | {c.kept} | {c.rejected.total()} | {size} |"

    head = "| split | items | kept | left out | " + ("hours | speakers | Hz |" if speech else "characters |")
    total = SplitCounts()
    for c in counts.values():
        total.items, total.kept, total.chars = total.items + c.items, total.kept + c.kept, total.chars + c.chars
        total.seconds += c.seconds
        total.speakers |= c.speakers
        total.rejected += c.rejected
        total.rates += c.rates
    lines = [head, "|---" * (7 if speech else 5) + "|", *(row(s, c) for s, c in counts.items())]
    return [*lines, row("all", total)] if len(counts) > 1 else lines


def _rates(rates: Counter[int]) -> str:
    return ", ".join(str(r) for r in sorted(rates)) or "-"


def _rejected_table(counts: dict[str, SplitCounts]) -> list[str]:
    if not any(c.rejected for c in counts.values()):
        return ["Nothing was left out."]
    rows = [f"| {s} | {reason} | {n} |" for s, c in counts.items() for reason, n in sorted(c.rejected.items())]
    return ["Left out, each named in `rejected.jsonl`:", "", "| split | reason | items |", "|---|---|---|", *rows]


def _reading(*, speech: bool) -> list[str]:
    lines = ["```python", "from datasets import load_dataset", "", 'load_dataset("THIS_FOLDER", "examples")']
    if speech:
        opened = 'CutSet.from_file("THIS_FOLDER/cuts_SPLIT.jsonl.gz").with_recording_path_prefix("THIS_FOLDER")'
        lines += ["", "from lhotse import CutSet", "", opened]
    return [*lines, "```", *(["", "Audio paths are relative to this folder."] if speech else []), ""]
