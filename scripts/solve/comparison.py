"""Comparison: the same tiles and pairs solved with two sets of parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from scripts.lib.job import UserError
from scripts.solve import page, plots, residuals, solver
from scripts.solve.graph import Tiles, Weighting, graph_of
from scripts.solve.moments import Moments

DEFAULTS = {f.name: f.default for part in (solver.Options, Weighting) for f in fields(part)}
NAMES = ("first", "second")
Parameters = Mapping[str, Any]


def parameter_sets(section: Parameters) -> tuple[Parameters, Parameters]:
    """Return what the solver takes of ``solve``, and again with the values of ``solve.compare``.

    Parameters
    ----------
    section
        ``solve`` of the config.

    Returns
    -------
    tuple of dict
        First as it stands, second with what ``compare`` changes; numbers given as text are read.

    Raises
    ------
    UserError
        When ``compare`` is empty, or names a key that ``solve`` does not have.
    """
    first = {key: value for key, value in section.items() if key in DEFAULTS}
    other = section["compare"]
    unknown = [key for key in other if key not in first]
    if unknown or not other:
        raise UserError(
            f"solve.compare: expected other values of some of {', '.join(sorted(first))}; found"
            f" {', '.join(unknown) or 'nothing'}. For example solve: {{compare: {{model: rigid}}}}"
        )
    return first, first | {key: _read(key, value, DEFAULTS[key]) for key, value in other.items()}


def _read(key: str, value: Any, like: Any) -> Any:  # noqa: ANN401 - values of a config
    """Read the text of a number, which the command line gives, as the number it is."""
    if isinstance(like, str) or not isinstance(value, str):
        return value
    try:
        return type(like)(value)
    except ValueError as error:
        raise UserError(f"solve.compare.{key}: expected a number, found {value!r}") from error


def page_of(
    tiles: Tiles, pairs: Moments, restarts: Sequence[float], sets: Sequence[Parameters]
) -> str:
    """Solve with each set and give the page.

    Parameters
    ----------
    tiles
        All tiles of the volume, sorted by z.
    pairs
        Moments of the matched pairs.
    restarts
        z of the first layer of each restart.
    sets
        Two sets of parameters of the solver.

    Returns
    -------
    str
        HTML.
    """
    solves, figures, layers = [], [], {}
    for name, parameters in zip(NAMES, sets, strict=True):
        options = solver.Options.of_config(dict(parameters))
        graph = graph_of(tiles, pairs, options.weighting)
        solved = solver.solve(tiles, graph, options, restarts)
        ignored = len(pairs) - len(graph)
        figures.append(residuals.figures(tiles, graph, solved, options, ignored=ignored))
        layers[name] = residuals.per_layer(tiles, graph, solved)
        solves.append(solved)
    shift = solves[1].placement[:, :, 2] - solves[0].placement[:, :, 2]
    drawn = {"moved": plots.moved(tiles.z, shift), **plots.of_layers(layers)}
    return page.compare(NAMES, sets, figures, drawn)
