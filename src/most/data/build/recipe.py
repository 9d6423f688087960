"""What a recipe of `most data build` may say: variables, and steps in their order; names in it become paths.

`${name}` is a variable, `@step/file` a file that an earlier step makes. Each step writes the folder `OUTPUT/step`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from most.data.build.verbs import VERBS, Verb
from most.errors import MostError, nearest
from most.settings import Unset, build, fill_variables, variables_in

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_OWN_KEYS = ("verb", "optional")


@dataclass(frozen=True, kw_only=True)
class BuildRecipe:
    """Steps by name, made in their order.

    Args:
        output: folder of everything.
        variables: name to value; what is null must be set by whoever runs the recipe (`variables.NAME=VALUE`).
        steps: name to `verb`, `optional` (left out where a variable of it is not set) and the verb's settings.
    """

    output: Path
    steps: dict[str, dict[str, Any]]
    variables: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.steps:
            raise MostError("steps", {}, "name at least one step")
        for name, step in self.steps.items():
            if not _NAME.fullmatch(name):
                raise MostError("steps", name, "cannot name a folder; use letters, digits, '.', '_' and '-'")
            if "verb" not in step:
                raise MostError(f"steps.{name}.verb", None, f"is missing; known: {', '.join(sorted(VERBS))}")
            if step["verb"] not in VERBS:
                raise MostError(f"steps.{name}.verb", step["verb"], nearest(str(step["verb"]), VERBS))
            if not isinstance(step.get("optional", False), bool):
                raise MostError(f"steps.{name}.optional", step["optional"], "must be true or false")
        used = variables_in(self.steps)
        for name in self.variables:
            if name not in used:
                raise MostError(f"variables.{name}", self.variables[name], f"no step uses it; {nearest(name, used)}")


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step with its names resolved.

    Args:
        settings: the verb's, as its own checked kind.
        inputs: files of earlier steps, as (step, path within its folder).
        left_out: why it is not made; "" where it is.
    """

    name: str
    verb_name: str
    settings: Any
    out: Path
    inputs: tuple[tuple[str, str], ...] = ()
    left_out: str = ""

    @property
    def verb(self) -> Verb:
        return VERBS[self.verb_name]


def resolve(recipe: BuildRecipe) -> list[Step]:
    """The recipe's steps in their order.

    Raises:
        MostError: a variable that is not set or not there, an input that no earlier step makes, or settings that the
            verb does not take.
    """
    steps: dict[str, Step] = {}
    for name, tree in recipe.steps.items():
        where, out = f"steps.{name}", recipe.output / name
        own = {k: v for k, v in tree.items() if k not in _OWN_KEYS}
        found: list[tuple[str, str]] = []
        try:
            filled = fill_variables(own, recipe.variables, where)
            resolved = _point(filled, recipe, steps, where, found)
        except Unset as e:
            if not tree.get("optional"):
                raise MostError(
                    f"variables.{e}", None, f"is not set and step {name!r} needs it; add variables.{e}=VALUE"
                ) from None
            steps[name] = Step(
                name=name, verb_name=tree["verb"], settings=None, out=out, left_out=f"variables.{e} is not set"
            )
            continue
        gone = [s for s, _ in found if steps[s].left_out]
        if gone and not tree.get("optional"):
            raise MostError(
                where, f"@{gone[0]}", f"is left out ({steps[gone[0]].left_out}); make this step optional too"
            )
        verb = VERBS[tree["verb"]]
        if verb.writes_output:
            if "output" in own:
                raise MostError(f"{where}: output", own["output"], f"is the build's to choose ({out}); leave it out")
            resolved = {**resolved, "output": str(out)}
        steps[name] = Step(
            name=name, verb_name=tree["verb"], settings=build(verb.settings, resolved, where), out=out,
            inputs=tuple(found), left_out=f"@{gone[0]} is left out" if gone else "",
        )  # fmt: skip
    return list(steps.values())


def _point(value: Any, recipe: BuildRecipe, steps: dict[str, Step], where: str, found: list[tuple[str, str]]) -> Any:
    """The settings with files of steps as paths; which were named is added to `found`."""
    if isinstance(value, dict):
        return {k: _point(v, recipe, steps, f"{where}.{k}", found) for k, v in value.items()}
    if isinstance(value, list):
        return [_point(v, recipe, steps, where, found) for v in value]
    if not isinstance(value, str) or not value.startswith("@"):
        return value
    step, _, file = value[1:].partition("/")
    if step not in steps:
        later = " before this one" if step in recipe.steps else f"; {nearest(step, steps)}" if steps else ""
        raise MostError(where, value, f"no step makes it{later}")
    found.append((step, file))
    return str(recipe.output / step / file) if file else str(recipe.output / step)
