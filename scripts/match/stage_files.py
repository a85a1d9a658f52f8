"""Stage tables as they stand in their files, checked: all that Snakemake itself needs of them.

It reads this module at each start, so that nothing here imports what compares pictures. What a
stage does with its fields is in `presets`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scripts.lib import yaml_files
from scripts.lib.schema import faults, refuse

Json = Mapping[str, Any]
SHAPE = "geometricDescriptorParameters"

SCHEMA: Json = yaml_files.read(
    Path(__file__).resolve().parents[2] / "config" / "match_stages.schema.yaml"
)


def read_table(path: Path) -> Json:
    """Read a table of YAML, or of JSON, and check it.

    Parameters
    ----------
    path
        a YAML file, or one that ends in ``.json``.

    Returns
    -------
    dict
        As in the file, without defaults.

    Raises
    ------
    UserError
        Names the file and everything in it that is wrong: key, what was found, what is expected.
    """
    table = yaml_files.read(path)
    if path.suffix == ".json":
        # YAML 1.1 takes the 1e-6 of JSON for a text
        table = json.loads(yaml_files.text_of(path))
    refuse(str(path), wrong(table))
    return dict(table)


def wrong(table: Any) -> list[str]:  # noqa: ANN401 - whatever stands in the file
    """Return a line for everything in a table that is wrong.

    Parameters
    ----------
    table
        Whatever stands in a file.

    Returns
    -------
    list of str
        Key, what was found, what is expected; by the schema, then between fields.
    """
    lines = faults(_present(table), SCHEMA)
    for run in part(table, "runs"):
        farthest: int | None = None
        for path, raw in stages(table, run):
            lines += [f"{path}.{line}" for line in _conflicts(raw)]
            limit = raw.get("maxNeighborDistance")
            if limit is not None and not (isinstance(limit, int) and limit >= 0):
                continue
            if farthest is not None and (limit is None or limit > farthest):
                lines.append(
                    f"{path}.maxNeighborDistance: expected at most the {farthest} of a stage"
                    f" before, which stops farther pairs, found {limit}"
                )
            farthest = farthest if limit is None else limit
    return lines


def _conflicts(raw: Json) -> Iterator[str]:
    """Yield what is wrong between the fields of a stage, path first."""
    if not raw.get("stageName"):
        yield "stageName: missing; expected a name"
    match, inner = part(raw, "featureMatchDerivation"), part(raw, "geometricDescriptorAndMatch")
    if method(raw) == "sift":
        yield from _missing_limit(match, "featureMatchDerivation")
    yield from _lonely(match, "featureMatchDerivation", *_MIXED)
    if inner.get("gdEnabled") is not True:
        return
    path = "geometricDescriptorAndMatch"
    for key in ("renderScale", "renderWithFilter"):
        if inner.get(key) is None:
            yield f"{path}.{key}: missing; expected with gdEnabled: true"
    yield from _lonely(inner, path, "minCombinedInliers", "minCombinedCoveragePercentage")
    match, shape = (part(inner, k) for k in ("matchDerivationParameters", SHAPE))
    yield from _missing_limit(match, f"{path}.matchDerivationParameters")
    yield from _lonely(match, f"{path}.matchDerivationParameters", *_MIXED)
    if not (shape.get("lookForMinima") or shape.get("lookForMaxima")):
        yield f"{path}.{SHAPE}: expected lookForMinima or lookForMaxima, or there are no peaks"


_MIXED = ("matchRegularizerModelType", "matchInterpolatedModelLambda")


def _missing_limit(match: Json, path: str) -> Iterator[str]:
    if match.get("matchMaxEpsilonFullScale") is None and match.get("matchMaxEpsilon") is None:
        yield f"{path}.matchMaxEpsilonFullScale: missing; expected a number (px)"


def _lonely(raw: Json, path: str, one: str, other: str) -> Iterator[str]:
    """Object to one of two fields without the other."""
    absent = [key for key in (one, other) if raw.get(key) is None]
    if len(absent) == 1:
        (there,) = {one, other} - set(absent)
        yield f"{path}.{absent[0]}: missing; expected together with {there}"


def stages(table: Json, run: str) -> Iterator[tuple[str, Json]]:
    """Find the stages of a run.

    Parameters
    ----------
    table
        As in its file.
    run
        Name of the run.

    Yields
    ------
    path : str
        Of the stage in the file.
    fields : dict
        Its own, laid over the common ones.
    """
    body = part(part(table, "runs"), run)
    base = _merged(part(table, "common"), part(body, "common"))
    stages = body.get("stages")
    for k, stage in enumerate(stages if isinstance(stages, list) else []):
        yield f"runs.{run}.stages[{k}]", _merged(base, stage if isinstance(stage, Mapping) else {})


def _merged(base: Json, over: Json) -> dict[str, Any]:
    """Return `base` with the values of `over`; mappings are merged, all else is replaced."""
    out = dict(base)
    for key, value in over.items():
        old = out.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        out[key] = _merged(old, value) if both else value  # type: ignore[arg-type]
    return out


def part(raw: Any, key: str) -> Json:  # noqa: ANN401 - whatever stands in the file
    """Return the mapping under a key.

    Parameters
    ----------
    raw
        Whatever stands in the file.
    key
        Of a mapping.

    Returns
    -------
    dict
        Empty when there is none.
    """
    inner = raw.get(key) if isinstance(raw, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def _present(raw: Any) -> Any:  # noqa: ANN401 - a JSON value
    """Return a table without its null fields, which are as absent."""
    if isinstance(raw, Mapping):
        return {key: _present(value) for key, value in raw.items() if value is not None}
    return [_present(value) for value in raw] if isinstance(raw, list) else raw


def method(raw: Json) -> str:
    """Return the method of a stage.

    Parameters
    ----------
    raw
        Its fields.

    Returns
    -------
    str
        A key of `made_by.MATCHED`.
    """
    by_place = raw.get("startPositionMatchWeight") is not None
    return raw.get("method") or ("start_position" if by_place else "sift")
