"""`most data dialogues`: chats become dialogues to be spoken, with interruptions, and are looked at for bias."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from most.data.dialogue.collected import Collected

app = typer.Typer(no_args_is_help=True)


@app.command()
def collect(
    source: Annotated[
        str, typer.Argument(help="Chat JSONL, self-dialogue (in the package), smoltalk, or a data set as OWNER/NAME.")
    ],
    out: Annotated[Path, typer.Option(help="JSONL file to write; rejections go beside it.")],
    config: Annotated[str | None, typer.Option(help="Configuration of a data set.")] = None,
    split: Annotated[str, typer.Option(help="Split of a data set.")] = "train",
    licence: Annotated[str, typer.Option(help="Of the source, where its rows do not say.")] = "",
    limit: Annotated[int | None, typer.Option(help="Rows to read at most.")] = None,
    max_turns: Annotated[int, typer.Option(help="Leave out dialogues with more turns.")] = 24,
    max_words: Annotated[int, typer.Option(help="Leave out dialogues with a longer turn.")] = 160,
    max_list_items: Annotated[int, typer.Option(help="Leave out dialogues with a longer list.")] = 6,
) -> None:
    """Dialogues that can be spoken: no code, tables, addresses, formulas, foreign scripts or very long turns."""
    from most.data.dialogue.filters import SpeechLimits
    from most.data.dialogue.sources import collect as run
    from most.data.dialogue.sources import open_source

    limits = SpeechLimits(max_turns=max_turns, max_words=max_words, max_list_items=max_list_items)
    print(f"collect: reads {source}, writes {out}")
    rows = open_source(source, config=config, split=split, licence=licence, limit=limit)
    _say(run(rows, out, limits))


@app.command()
def interrupt(
    source: Annotated[Path, typer.Argument(help="Dialogues (JSONL).")],
    out: Annotated[Path, typer.Option(help="JSONL file to write; journal and rejections go beside it.")],
    writer: Annotated[str, typer.Option(help="rules, endpoint (OpenAI-compatible) or local (transformers).")] = "rules",
    model: Annotated[str, typer.Option(help="Model of an endpoint, or folder or hub name of a local one.")] = "",
    base_url: Annotated[str, typer.Option(help="Of the endpoint, with /v1.")] = "",
    api_key_env: Annotated[str, typer.Option(help="Environment variable with the endpoint's key.")] = "OPENAI_API_KEY",
    parallel: Annotated[int, typer.Option(help="Requests to the endpoint at once.")] = 8,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for an answer of the endpoint.")] = 120.0,
    retries: Annotated[int, typer.Option(help="Attempts after a failed request to the endpoint.")] = 5,
    temperature: Annotated[float | None, typer.Option(help="0.7 for an endpoint, 0 for a local model.")] = None,
    device: Annotated[str, typer.Option(help="Of a local model.")] = "auto",
    seed: Annotated[int, typer.Option(help="Of everything drawn.")] = 0,
) -> None:
    """One natural interruption into each dialogue that suits; stopped, the same command goes on from its journal."""
    from most.data.dialogue.interruptions.base import make_writer
    from most.data.dialogue.interruptions.run import interrupt_file

    warmth = {} if temperature is None else {"temperature": temperature}
    settings = {
        "endpoint": {
            "base_url": base_url, "model": model, "api_key_env": api_key_env, "parallel": parallel,
            "timeout_seconds": timeout, "retries": retries, **warmth,
        },
        "local": {"model": model, "device": device, **warmth},
    }.get(writer, {})  # fmt: skip
    made = make_writer(writer, **settings)
    by = f"{writer} with {model}" if model else writer
    print(f"interrupt: reads {source}, writes {out} by {by}, {made.parallel} at once")
    _say(interrupt_file(source, out, made, seed=seed))


@app.command()
def speakable(
    source: Annotated[Path, typer.Argument(help="Dialogues (JSONL).")],
    out: Annotated[Path, typer.Option(help="JSONL file to write; rejections go beside it.")],
    max_words: Annotated[int, typer.Option(help="Words of a spoken chunk, at most.")] = 20,
    locale: Annotated[str, typer.Option(help="US reads 05/03 month first, GB day first.")] = "US",
) -> None:
    """The spoken form of every turn: numbers, dates, money and letters as said, in chunks of whole sentences."""
    from most.data.dialogue.speakable import speak_file
    from most.errors import MostError

    if locale not in ("US", "GB"):
        raise MostError("locale", locale, "known: GB, US")
    print(f"speakable: reads {source}, writes {out}")
    _say(speak_file(source, out, max_words=max_words, locale="US" if locale == "US" else "GB"))


@app.command()
def bias(
    source: Annotated[Path, typer.Argument(help="Dialogues (JSONL), a folder of them, or a folder of spoken ones.")],
    out: Annotated[Path, typer.Option(help="HTML page to write; the figures go beside it as JSON.")] = Path(
        "bias.html"
    ),
) -> None:
    """What the dialogues hold too much of: topics, lengths, interruptions, voices, rates, phrases, near-duplicates."""
    from most.data.dialogue.bias_page import write_bias_report

    print(f"bias: reads {source}, writes {out} and {out.with_suffix('.json')}")
    rows = write_bias_report(source, out)
    print(f"{rows['n_dialogues']} dialogues; " + ("; ".join(rows["findings"]) or "nothing stands out"))


@app.command()
def balance(
    source: Annotated[Path, typer.Argument(help="Dialogues (JSONL).")],
    recipe: Annotated[Path, typer.Option(help="YAML: distribution (attribute: value: share), size, seed.")],
    out: Annotated[Path, typer.Option(help="JSONL file to write.")],
) -> None:
    """Sample dialogues towards a stated distribution over topic, source, n_turns, n_words or interrupted."""
    from most.data.dialogue.balance import BalanceRecipe, balance_file
    from most.settings import load_recipe

    print(f"balance: reads {source} and {recipe}, writes {out}")
    done = balance_file(source, out, load_recipe(BalanceRecipe, recipe))
    print(f"kept {done.n} of {done.n_read}")
    for name, shares in done.reached.items():
        print(
            f"  {name}: "
            + ", ".join(f"{value} {got:.1%} (asked {share:.1%})" for value, (got, share) in shares.items())
        )
    for line in done.short:
        print(f"  not reached: {line}")


def _say(done: Collected) -> None:
    from most.data.dialogue.collected import rejected_file

    reasons = ", ".join(f"{n} {reason}" for reason, n in done.reasons.items())
    print(
        f"kept {done.kept}, left out {done.left_out}"
        + (f" ({reasons}; see {rejected_file(done.path)})" if reasons else "")
    )
