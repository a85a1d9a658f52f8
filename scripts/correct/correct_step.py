"""Measure the parameters of one correction step on the stack before it.

Inputs
    ``stacks/<source>.json``: receipt of the stack before; of some steps also what other jobs
    found: ``correct/levels.npz``, ``correct/maps/*.npz``, ``correct/16bit*``
Outputs
    ``correct/{step}.json``: step, source, stack (to be made), changes (in words), the parameters
    ``correct/{step}.npz``: what the step found for each layer or tile (may hold nothing)
    While a volume grows, ``straighten`` leaves layers where it put them before, and ``intensity``
    the maps of tiles, as far as that is as good (``correct/kept/<step>.npz`` and ``.json``, no
    declared outputs)
Method
    The step's module, by the registry `chain`.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.correct import chain, intensity, sixteen_bit, straighten
from scripts.correct.evidence import Arrays, Evidence, Found
from scripts.lib import array_files, files
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt

_PUBLISHED = Path("correct/kept")


def main(
    *,
    source: str,
    evidence: Sequence[str],
    out: str,
    arrays: str,
    name: str,
    render: Mapping[str, Any],
    settings: Mapping[str, Any],
    voxel_nm: Mapping[str, float],
    keep_px: float = 0.0,
    keep_grey: float = 0.0,
) -> None:
    """Read the stack, measure, write."""
    step, before, client = chain.STEPS[name], StackReceipt.read(source), RenderClient(**render)
    client.require(before)
    tiles = client.tiles(before.stack)
    known = _evidence(evidence, voxel_nm)
    found = step.load().estimate(tiles, settings, known)
    if name == "straighten":
        hold = functools.partial(straighten.held, room_px=straighten.room(tiles))
        found = _held(name, found, dict(settings), hold, keep_px)
    elif name == "intensity" and keep_grey > 0:
        hold = functools.partial(intensity.held, seen=intensity.seen_range(found, known))
        found = _held(name, found, dict(settings), hold, keep_grey)
    array_files.write(arrays, found.arrays)
    summary: dict[str, Any] = {
        "step": name,
        "source": before.stack,
        "stack": before.stack + step.suffix,
    }
    summary |= {"changes": step.changes, "settings": dict(settings)}
    files.write_json(out, summary | {"parameters": dict(found.parameters)})


def _held(
    name: str,
    found: Found,
    settings: dict[str, Any],
    hold: Callable[[Found, Arrays, float], Found],
    tolerance: float,
) -> Found:
    """Return what to publish: what was found, or what it was before where that is as good."""
    arrays, made_with = (_PUBLISHED / f"{name}{ending}" for ending in (".npz", ".json"))
    published = arrays.is_file() and made_with.is_file()
    # other settings are meant to change something
    if tolerance > 0 and published and files.read_json(made_with) == settings:
        found = hold(found, array_files.read(arrays), tolerance)
    array_files.write(arrays, found.arrays)
    files.write_json(made_with, settings)
    return found


def _evidence(paths: Sequence[str], voxel_nm: Mapping[str, float]) -> Evidence:
    """Sort the files by what they are."""
    maps = tuple(path for path in map(Path, paths) if path.parent.name == "maps")
    named = {path.name: path for path in map(Path, paths) if path not in maps}
    plan = named.get("16bit_plan.tsv")
    return Evidence(
        **voxel_nm,
        levels=named.get("levels.npz"),
        maps=maps,
        sixteen_bit=named.get("16bit.npz"),
        raw_plan=sixteen_bit.rows_of(files.read_table(plan)) if plan else (),
    )


if __name__ == "__main__":
    with job(snakemake):
        main(
            source=snakemake.input.source,
            evidence=snakemake.input.evidence,
            out=snakemake.output.parameters,
            arrays=snakemake.output.arrays,
            name=snakemake.wildcards.step,
            render=snakemake.params.render,
            settings=snakemake.params.settings,
            voxel_nm=snakemake.params.voxel_nm,
            keep_px=snakemake.params.get("keep_px", 0),
            keep_grey=snakemake.params.get("keep_grey", 0),
        )
