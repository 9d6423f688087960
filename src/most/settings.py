"""Recipes: a YAML file becomes frozen dataclasses. Unknown keys and wrong kinds are errors."""

from __future__ import annotations

import dataclasses
import os
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml

from most.errors import MostError, nearest

T = TypeVar("T")

_IN_PACKAGE = Path(__file__).parent / "recipes"
RECIPES = _IN_PACKAGE if _IN_PACKAGE.is_dir() else Path(__file__).resolve().parents[2] / "recipes"
"""The recipes that come with the project: in the package of an installed wheel, at the root of a checkout."""


def load_recipe(kind: type[T], path: str | os.PathLike[str], overrides: typing.Sequence[str] = ()) -> T:
    """Read a YAML recipe into the dataclass `kind`.

    Args:
        overrides: `section.key=value` strings that win over the file; values are read as YAML.

    Raises:
        MostError: no such file, not YAML, an unknown or missing key, or a value of the wrong kind.
    """
    tree = read_yaml(path)
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise MostError("override", override, "must look like section.key=value")
        node = tree
        *parents, last = key.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise MostError("override", override, f"{parent!r} is not a section of the recipe")
        node[last] = yaml.safe_load(value)
    return build(kind, tree, where=str(path))


def read_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A YAML file that holds a mapping.

    Raises:
        MostError: no such file, not YAML, or not a mapping.
    """
    path = Path(path)
    if not path.is_file():
        raise MostError("recipe", path, "no such file; give the path of a YAML recipe")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as e:
        raise MostError("recipe", path, f"is not YAML: {e}") from e
    if not isinstance(tree, dict):
        raise MostError("recipe", path, "must be a mapping of keys to values")
    return tree


def build(kind: type[T], tree: Any, where: str = "") -> T:
    """Turn plain mappings and lists into the dataclass `kind`, strictly."""
    if not isinstance(tree, dict):
        raise MostError(where, tree, f"must be a mapping with the keys of {kind.__name__}")
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init}  # type: ignore[arg-type]
    values = {}
    for key, value in tree.items():
        if key not in fields:
            raise MostError(f"{where}: {key}", value, f"unknown key; {nearest(str(key), fields)}")
        values[key] = _convert(hints[key], value, f"{where}: {key}")
    for name, f in fields.items():
        if name not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise MostError(f"{where}: {name}", None, "is missing and has no default; set it in the recipe")
    return kind(**values)


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        options = [a for a in args if a is not type(None)]
        if len(options) == 1:
            return _convert(options[0], value, where)
        wrong: list[MostError] = []
        for option in options:
            try:
                return _convert(option, value, where)
            except MostError as e:
                wrong.append(e)
        inside = [e for e in wrong if e.field != where]  # the right kind, with a mistake in it
        raise inside[0] if inside else MostError(where, value, ", or ".join(dict.fromkeys(e.remedy for e in wrong)))
    if origin is typing.Literal:
        if value not in args:
            raise MostError(where, value, f"must be one of {', '.join(map(repr, args))}")
        return value
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where)  # type: ignore[arg-type]
    if origin in (list, tuple):
        if not isinstance(value, list):
            raise MostError(where, value, "must be a list")
        item = args[0] if args else Any
        items = [_convert(item, v, f"{where}[{i}]") for i, v in enumerate(value)]
        return tuple(items) if origin is tuple else items
    if origin in (dict, Mapping) or hint is dict:
        if not isinstance(value, dict):
            raise MostError(where, value, "must be a mapping")
        item = args[1] if args else Any
        return {str(k): _convert(item, v, f"{where}.{k}") for k, v in value.items()}
    if hint is Any:
        return value
    if hint is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:  # YAML reads 1e-3 as a string
            return float(value)
        except ValueError:
            raise MostError(where, value, "must be a number") from None
    if hint is Path:
        return Path(str(value))
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise MostError(where, value, f"must be of kind {hint.__name__}")
    return value


class Unset(Exception):
    """A variable that has no value."""


_VARIABLE = re.compile(r"\$\{([^}]*)\}")


def variables_in(value: Any) -> set[str]:
    """Names of the `${name}` in the strings of plain data."""
    return set(_VARIABLE.findall(repr(value)))


def fill_variables(value: Any, variables: Mapping[str, str | None], where: str) -> Any:
    """Plain data with the values of variables in the place of `${name}`.

    Raises:
        MostError: a name that is no variable.
        Unset: one without a value; names it.
    """
    if isinstance(value, dict):
        return {k: fill_variables(v, variables, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, list):
        return [fill_variables(v, variables, where) for v in value]
    if not isinstance(value, str):
        return value

    def one(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in variables:
            raise MostError(
                where, value, f"no such variable; {nearest(name, variables)}" if variables else "no such variable"
            )
        if (found := variables[name]) is None:
            raise Unset(name)
        return str(found)

    return _VARIABLE.sub(one, value)


def to_plain(value: Any) -> Any:
    """The inverse of `build`: dataclasses, tuples and paths as mappings, lists and strings (for JSON or YAML)."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {k: to_plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value
