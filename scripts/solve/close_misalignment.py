"""Sum up what the alignment has left over: figures, places beyond the limits, the verdict.

Inputs
    ``solve/misalignment/{chunk}.tsv.gz`` of every chunk, ``solve/pairs.tsv.gz`` (which tiles the
    matches join), ``review/tiles.tsv`` (which tiles are resin)

Outputs
    ``solve/misalignment.tsv.gz`` all places; ``solve/misalignment.json`` the summary (see
    `scripts.solve.misalignment_summary`)
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib.commands import again
from scripts.lib.files import read_table, write_json, write_table
from scripts.lib.job import UserError, job
from scripts.solve import layer_order, misalignment_summary
from scripts.solve.misalignment import COLUMNS
from scripts.solve.misalignment_summary import Known, Limits

log = logging.getLogger(__name__)


def limits_of(section: Mapping[str, Any]) -> Limits:
    """Read the limits from ``solve.misalignment``.

    Parameters
    ----------
    section
        The config's section, with all defaults filled in.

    Returns
    -------
    Limits
        Of the verdict.
    """
    order = layer_order.Limits(
        **{name: section[name] for name in layer_order.Limits.__annotations__}
    )
    return Limits(section["look_px"], section["stop_px"], section["unconfirmed_pct"], order)


def read_rows(part: str | Path) -> list[dict[str, str]]:
    """Read the places of a chunk.

    Parameters
    ----------
    part
        ``solve/misalignment/{chunk}.tsv.gz``.

    Returns
    -------
    list of dict
        Rows of `COLUMNS`.

    Raises
    ------
    UserError
        When an older version wrote it.
    """
    rows = read_table(part)
    if rows and (absent := [name for name in COLUMNS if name not in rows[0]]):
        raise UserError(
            f"{part} lacks {', '.join(absent)}, for an older version made it: make it again with"
            f" {again('measure_misalignment', 'solve')}"
        )
    return rows


def main(
    *,
    parts: Sequence[str | Path],
    pairs: str | Path,
    tiles: str | Path,
    places: str | Path,
    out: str | Path,
    pixel_nm: float,
    section: Mapping[str, Any],
) -> None:
    """Join the chunks' places and judge them."""
    rows = [row for part in parts for row in read_rows(part)]
    ends = ((row["p_id"], row["q_id"]) for row in read_table(pairs) if float(row["weight"]) > 0)
    matched = frozenset((min(pair), max(pair)) for pair in ends)
    resin = frozenset(row["tile_id"] for row in read_table(tiles) if row.get("kind", "") == "resin")
    known = Known(matched, resin)
    found = misalignment_summary.summarised(rows, known, limits_of(section), pixel_nm)
    write_table(places, COLUMNS, rows)
    write_json(out, found)
    log.info("%d places: %s %s", len(rows), found["state"], "; ".join(found["reasons"][:3]))


if __name__ == "__main__":
    with job(snakemake):
        main(
            parts=snakemake.input.parts,
            pairs=snakemake.input.pairs,
            tiles=snakemake.input.tiles,
            places=snakemake.output.places,
            out=snakemake.output.summary,
            pixel_nm=snakemake.params.pixel_nm,
            section=snakemake.params.misalignment,
        )
