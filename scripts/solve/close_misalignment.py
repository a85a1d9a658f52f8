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
from scripts.lib.compact import Row, Texts
from scripts.lib.files import read_cells, read_table, write_json, write_table
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


def read_rows(part: str | Path, texts: Texts) -> list[Row]:
    """Read the places of a chunk.

    Parameters
    ----------
    part
        ``solve/misalignment/{chunk}.tsv.gz``.
    texts
        Of the chunks before.

    Returns
    -------
    list of Row
        With `COLUMNS`.

    Raises
    ------
    UserError
        When an older version wrote it.
    """
    rows = texts.rows(part)
    if rows and (absent := [name for name in COLUMNS if name not in rows[0]]):
        raise UserError(
            f"{part} lacks {', '.join(absent)}, for an older version made it: make it again with"
            f" {again('measure_misalignment', 'solve')}"
        )
    return rows


def joined(pairs: str | Path, rows: Sequence[Row]) -> frozenset[tuple[str, str]]:
    """Read which tiles of places matches join.

    Parameters
    ----------
    pairs
        ``solve/pairs.tsv.gz``.
    rows
        The places.

    Returns
    -------
    frozenset of tuple
        Ids of both tiles, in text order.
    """
    places = {(min(ends), max(ends)) for row in rows if (ends := (row["p_id"], row["q_id"]))}
    cells = read_cells(pairs, ("p_id", "q_id", "weight"))
    matched = ((min(p, q), max(p, q)) for p, q, weight in cells if float(weight) > 0)
    return frozenset(places.intersection(matched))


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
    texts = Texts()
    rows = [row for part in parts for row in read_rows(part, texts)]
    resin = frozenset(row["tile_id"] for row in read_table(tiles) if row.get("kind", "") == "resin")
    known = Known(joined(pairs, rows), resin)
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
