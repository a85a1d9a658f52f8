"""Chunks: the ranges of z that the jobs of a stage work on, one each."""

from __future__ import annotations

from pathlib import Path

from scripts.lib.files import read_table


def chunk_range(table: str | Path, chunk: str) -> tuple[int, int]:
    """Return the first and the last layer of a chunk, both included.

    Parameters
    ----------
    table
        ``ingest/chunks.tsv``, or a table with its columns.
    chunk
        Name of the chunk.

    Returns
    -------
    tuple of int
        z; there may be gaps between them.

    Raises
    ------
    ValueError
        When the table has not exactly one row of the chunk.
    """
    rows = [row for row in read_table(table) if row["chunk"] == chunk]
    if len(rows) != 1:
        raise ValueError(f"{table}: expected one row of chunk {chunk}, found {len(rows)}")
    return int(rows[0]["z_first"]), int(rows[0]["z_last"])
