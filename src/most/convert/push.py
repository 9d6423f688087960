"""A model's folder sent to a hub account: checked first, then uploaded by huggingface_hub's own means.

What an interrupted upload has sent is not sent again: the library skips files and chunks that are there already.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.errors import HTTPError as ConnectionTrouble  # pyright: ignore[reportPrivateImportUsage]
from huggingface_hub.repocard import metadata_load
from safetensors import SafetensorError, safe_open

from most.errors import MostError

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
"""Weights that run code where they are loaded."""
FROM_SCRATCH = "from-scratch"
"""The tag of a card that stands for `base_model` where there was none."""
CARD = {
    "license": "license: apache-2.0",
    "language": "language: en",
    "library_name": "library_name: transformers",
    "pipeline_tag": "pipeline_tag: any-to-any",
    "base_model": f"base_model: ORGANISATION/BACKBONE (or the tag {FROM_SCRATCH})",
}
"""What a card's front matter must say -> a line that says it."""
_NEEDED = ("config.json", "processor_config.json", "tokenizer_config.json")
_MB = 1e6


@dataclass(frozen=True, kw_only=True)
class Upload:
    """What will be sent: names below `folder` and their bytes. `left_out`: hidden and half-written files."""

    folder: Path
    files: dict[str, int]
    left_out: tuple[str, ...] = ()

    @property
    def n_bytes(self) -> int:
        return sum(self.files.values())


def push(
    folder: Path,
    repo: str,
    *,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
    dry_run: bool = False,
    endpoint: str | None = None,
    echo: Callable[[str], None] = print,
) -> str | None:
    """Upload a model's folder; the address of the commit, or None after a dry run.

    Args:
        repo: NAME or ACCOUNT/NAME; made where it is not there yet.
        revision: branch; made where it is not there yet. The default branch when left out.
        dry_run: check and list, and send nothing.
        endpoint: of the hub; HF_ENDPOINT or the public one when left out.

    Raises:
        MostError: a folder that does not pass `checked`, no token or one that is refused, a public repository where a
            private one is asked for, or a hub that cannot be reached.
    """
    upload = checked(folder)
    for name, n_bytes in upload.files.items():
        echo(f"{n_bytes / _MB:10.3f} MB  {name}")
    if upload.left_out:
        echo(f"left out: {', '.join(upload.left_out)}")
    echo(f"{len(upload.files)} files, {upload.n_bytes / _MB:.1f} MB, to {repo}{f' ({revision})' if revision else ''}")
    if dry_run:
        return None
    if get_token() is None:
        raise MostError("token", None, "is needed to upload; log in with `hf auth login`, or set HF_TOKEN")
    api = HfApi(endpoint=endpoint)
    with _explained(repo):
        account = api.whoami()["name"]
        made = api.create_repo(repo, private=private or None, exist_ok=True)
        repo = made.repo_id
        if private and not api.model_info(repo).private:
            raise MostError("private", repo, "is there already and public; make it private, or name another")
        if revision is not None:
            api.create_branch(repo, branch=revision, exist_ok=True)
        echo(f"sends as {account} to {made}")
        commit = api.upload_folder(
            repo_id=repo, folder_path=upload.folder, revision=revision, commit_message=message or "Upload a MoST",
            allow_patterns=[glob.escape(name) for name in upload.files],
        )  # fmt: skip
    echo(f"sent: {commit.commit_url}")
    return commit.commit_url


def checked(folder: Path) -> Upload:
    """What of a folder is to be sent.

    Raises:
        MostError: no MoST, a file that is missing or half there, pickled weights, or a card that lacks something.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise MostError("model", folder, "holds no config.json; give the folder of a trained MoST")
    kind = _json(config).get("model_type")
    if kind != "most":
        raise MostError("model", folder, f"is of type {kind!r}; convert it with `most convert`")
    files: dict[str, int] = {}
    left_out = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".part" or any(part.startswith(".") for part in Path(name).parts):
            left_out.append(name)
        elif path.suffix.lower() in PICKLES:
            raise MostError("weights", path, "is pickled: it runs code when loaded; leave it out, save as safetensors")
        else:
            files[name] = path.stat().st_size
    for name in (*_NEEDED, *_weight_files(folder)):
        if name not in files:
            raise MostError("model", folder / name, "is missing; give the folder of a whole model")
    for name in files:
        if name.endswith(".safetensors"):
            _require_whole(folder / name)
    _require_card(folder / "README.md")
    return Upload(folder=folder, files=files, left_out=tuple(left_out))


def _weight_files(folder: Path) -> list[str]:
    index = folder / "model.safetensors.index.json"
    return sorted(set(_json(index)["weight_map"].values())) if index.is_file() else ["model.safetensors"]


def _require_whole(path: Path) -> None:
    try:
        with safe_open(path, framework="numpy"):
            pass
    except SafetensorError as e:
        raise MostError("weights", path, f"cannot be read ({e}); copy or save it again") from e


def _require_card(path: Path) -> None:
    if not path.is_file():
        raise MostError("card", path, f"is missing; write it, with front matter: {'; '.join(CARD.values())}")
    try:
        said = metadata_load(path) or {}
    except (ValueError, yaml.YAMLError) as e:
        raise MostError("card", path, f"has front matter that cannot be read ({_first_line(e)})") from e
    missing = [key for key in CARD if not said.get(key)]
    if FROM_SCRATCH in (said.get("tags") or ()):
        missing = [key for key in missing if key != "base_model"]
    if missing:
        remedy = f"lacks {', '.join(missing)} in its front matter; add, for example: "
        raise MostError("card", path, remedy + "; ".join(CARD[key] for key in missing))


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as e:
        raise MostError("model", path, f"is not JSON ({e}); copy it again") from e


@contextmanager
def _explained(repo: str) -> Iterator[None]:
    try:
        yield
    except MostError:
        raise
    except HFValidationError as e:
        raise MostError("repo", repo, f"{e}; give NAME or ACCOUNT/NAME") from e
    except HfHubHTTPError as e:
        if e.response.status_code == 401:
            raise MostError("token", "HF_TOKEN or login", "is refused; log in again with `hf auth login`") from e
        if e.response.status_code == 403:
            raise MostError("token", repo, "may not write there; give it the right to write, or another REPO") from e
        raise MostError("hub", repo, f"refused ({_first_line(e)})") from e
    except (ConnectionTrouble, OSError, RuntimeError) as e:  # no connection, offline mode, a broken transfer
        raise MostError("hub", repo, f"cannot be reached ({_first_line(e)}); the same command goes on") from e
    except ValueError as e:  # what the hub says about the card
        raise MostError("card", repo, f"is refused by the hub ({_first_line(e)})") from e


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).strip().splitlines() if line), type(error).__name__)
