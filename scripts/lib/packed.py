"""Text that is packed as it is written: a table of two million rows is not in memory twice."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterable
from typing import Any

ROWS_AT_ONCE = 20_000
LEVEL = 6
GZIP = 31  # of zlib's wbits; no time and no name in the header, as of `gzip.compress(…, mtime=0)`


class Packed:
    """Bytes of a table that is written row by row; the same as if they were packed at once.

    Parameters
    ----------
    gz
        Whether they are compressed.
    """

    def __init__(self, *, gz: bool) -> None:
        self._pack = zlib.compressobj(LEVEL, wbits=GZIP) if gz else None
        self._parts: list[bytes] = []
        self._text = io.StringIO()
        self._writer = csv.writer(self._text, delimiter="\t", lineterminator="\n")
        self.rows = 0

    def row(self, cells: Iterable[Any]) -> None:
        """Add a row.

        Parameters
        ----------
        cells
            As `csv.writer` takes them.
        """
        self._writer.writerow(cells)
        self.rows += 1
        if self.rows % ROWS_AT_ONCE == 0:
            self._take()

    def _take(self) -> None:
        data = self._text.getvalue().encode()
        self._parts.append(self._pack.compress(data) if self._pack else data)
        self._text.seek(0)
        self._text.truncate()

    def end(self) -> bytes:
        """Return all of it.

        Returns
        -------
        bytes
            Content of the file.
        """
        self._take()
        return b"".join([*self._parts, self._pack.flush() if self._pack else b""])
