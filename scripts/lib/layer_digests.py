"""Digests of what layers show: a job of a chunk whose layers are as they were need not start.

While layers come, a stack is published anew with every wave, and few of its layers are others. A
table of digests, one a layer, tells which; what a job reads of it is one of its params.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path

from scripts.lib import files
from scripts.lib.chunks import chunk_range

COLUMNS = ("z", "digest")


def write(path: str | Path, digests: Mapping[float, str]) -> int:
    """Write the table of a stack.

    Parameters
    ----------
    path
        ``stacks/layers/<stack>.tsv``.
    digests
        By z.

    Returns
    -------
    int
        Layers.
    """
    rows = ({"z": f"{z:g}", "digest": digests[z]} for z in sorted(digests))
    return files.write_table(path, COLUMNS, rows)


def of_chunk(
    table: str | Path, chunks: str | Path, chunk: str, *, before: float = 0, after: float = 0
) -> str:
    """Return the digest of the layers that a job of a chunk reads.

    Parameters
    ----------
    table
        Of `write`.
    chunks
        ``ingest/chunks.tsv``.
    chunk
        Name of the chunk.
    before, after
        How many z beyond the chunk on either side are read.

    Returns
    -------
    str
        64 hexadecimal digits; empty while the table is not there.
    """
    if not Path(table).is_file():
        return ""
    first, last = chunk_range(chunks, chunk)
    near = [row for row in _rows(table) if first - before <= row[0] <= last + after]
    return files.digest([[first, last], near])


def _rows(table: str | Path) -> tuple[tuple[float, str], ...]:
    path = Path(table).resolve()
    status = path.stat()
    return _read(path, (status.st_ino, status.st_size, status.st_mtime_ns))


@functools.lru_cache(maxsize=8)
def _read(path: Path, _as_it_is: Iterable[int]) -> tuple[tuple[float, str], ...]:
    """Read a table once for all jobs that ask."""
    return tuple((float(z), digest) for z, digest in files.read_cells(path, COLUMNS))
