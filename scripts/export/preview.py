"""A preview that grows while the microscope works: what its slabs are made of, and its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.export import slabs, stored
from scripts.export.slabs import Plan
from scripts.lib import files, made_by
from scripts.lib.job import UserError
from scripts.lib.service import receipts
from scripts.lib.service.records import TileSet
from scripts.lib.volumes import multiscale

COLUMNS = ("chunk", "z_first", "z_last", "made_of")
_ANEW = "Remove the folder preview/ and start the same command again: it is then made anew."


def slab_rows(plan: Plan, chunks: Iterable[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Return the whole blocks that each chunk owns.

    Parameters
    ----------
    plan
        The preview.
    chunks
        ``preview/chunks.tsv``.

    Returns
    -------
    list of dict
        chunk, z_first and z_last (inclusive); chunks without whole blocks are absent.
    """
    rows = []
    origin = plan.spec.origin_px_zyx[0]
    for chunk in chunks:
        start, stop = slabs.owned(plan, int(chunk["z_first"]), int(chunk["z_last"]))
        if start < stop:
            z = {"z_first": origin + start, "z_last": origin + stop - 1}
            rows.append({"chunk": chunk["chunk"], **z})
    return rows


def made_of(plan: Plan, row: Mapping[str, Any], tiles: TileSet) -> str:
    """Digest all that the voxels of a slab depend on; of the images size and time.

    Parameters
    ----------
    plan
        The preview.
    row
        z_first and z_last of the slab.
    tiles
        Its tile specs.

    Returns
    -------
    str
        SHA-256.
    """
    paths = sorted({image_path(tile.image_url) for tile in tiles.tiles})
    return files.digest(
        {
            "code": made_by.SLABS.digest(),
            "frame": plan.frame,
            "z": [row["z_first"], row["z_last"]],
            "tiles": receipts.digest_tiles(tiles),
            "images": [[(s := path.stat()).st_size, s.st_mtime_ns] for path in paths],
        }
    )


def image_path(url: str) -> Path:
    """Return the path of the file that an image URL names.

    Parameters
    ----------
    url
        ``file://PATH?...``.

    Returns
    -------
    Path
        Relative where the URL is.
    """
    return Path(files.path_of_url(url))


def coordinates(layers: Iterable[Mapping[str, str]]) -> str:
    """Return ``z z`` lines of all layers that have tiles.

    Parameters
    ----------
    layers
        ``preview/layers.tsv``.

    Returns
    -------
    str
        In ascending order, as ``Zcoords.txt``.
    """
    found = sorted(int(row["z"]) for row in layers if row["status"] != "gap")
    return "".join(f"{z} {float(z)}\n" for z in found)


def check(
    plan: Plan, table: Sequence[Mapping[str, str]], records: Sequence[Mapping[str, Any]]
) -> None:
    """Check that every slab was rendered from what the table says now.

    Parameters
    ----------
    plan
        The preview.
    table
        ``preview/slabs.tsv``.
    records
        Of the slabs.

    Raises
    ------
    UserError
        With the slab that was not.
    """
    rendered = {record["chunk"]: record.get("made_of") for record in records}
    stale = [row["chunk"] for row in table if rendered.get(row["chunk"]) != row["made_of"]]
    if stale:
        raise UserError(
            f"preview: slab(s) {', '.join(stale)} were rendered from other layers than those of "
            f"{plan.stack} now. Remove preview/slabs/<slab>.json of these and start the same"
            " command again."
        )


def check_blocks(plan: Plan, levels: Sequence[Sequence[Mapping[str, Any]]]) -> None:
    """Compare the number of stored blocks with the records; the blocks are not read.

    Parameters
    ----------
    plan
        The preview.
    levels
        All records of each level.

    Raises
    ------
    UserError
        With the level that lacks blocks, or has blocks nobody wrote.
    """
    for target in plan.targets:
        for level, rows in enumerate(levels):
            expected = sum(stored.stored_files(row, target) for row in rows)
            count = multiscale.count_blocks(target, level)
            if count != expected:
                raise UserError(
                    f"preview: {target.folder(level)} has {count} blocks, expected {expected}. "
                    f"{_ANEW}"
                )
