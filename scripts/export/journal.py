"""What a slab has finished: one line per column of blocks, appended as it is written.

It stays when the slab is done: while a volume grows, slabs are asked for again, and those of the
same voxels are not drawn again. A journal is worth something only to a job that would write the
same voxels: its first line is the digest of all they depend on. A torn last line is no line, and is
cut off before the next is added.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.export import stored
from scripts.export.pyramid import Rows
from scripts.export.slabs import Plan
from scripts.lib import files

Area = tuple[slice, slice]


@dataclass(frozen=True)
class Journal:
    """Finished columns in a file; ``key`` says what their voxels depend on."""

    path: Path
    key: str

    @staticmethod
    def beside(record: str, key: str) -> Journal:
        """Return the journal of the job that writes a slab's record.

        Parameters
        ----------
        record
            ``slabs/<chunk>.json``.
        key
            What the slab's voxels depend on.

        Returns
        -------
        Journal
            ``journals/<chunk>.jsonl``.
        """
        path = Path(record)
        return Journal(path.parent.parent / "journals" / f"{path.stem}.jsonl", key)

    def finished(self, plan: Plan) -> dict[tuple[int, int], Rows]:
        """Return the records of columns whose files are all there.

        Parameters
        ----------
        plan
            The export.

        Returns
        -------
        dict
            Records by first y and x of the column.
        """
        lines = self._lines()
        if not lines or lines[0] != {"key": self.key}:
            self.path.unlink(missing_ok=True)
            return {}
        return {
            (line["area"][0], line["area"][1]): line["rows"]
            for line in lines[1:]
            if _all_stored(plan, line["rows"])
        }

    def add(self, area: Area, rows: Rows) -> None:
        """Append a column.

        Parameters
        ----------
        area
            y, x.
        rows
            Its records.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = {"area": [area[0].start, area[1].start], "rows": rows}
        text = json.dumps(line) + "\n"  # keys in the order of a record that is written at once
        files.cut_to_whole_lines(self.path)
        if not self.path.exists() or not self.path.stat().st_size:
            text = files.canonical_json({"key": self.key}) + "\n" + text
        with self.path.open("a") as file:
            file.write(text)

    def remove(self) -> None:
        """Forget all: the job has ended well."""
        self.path.unlink(missing_ok=True)

    def _lines(self) -> list[dict[str, Any]]:
        files.cut_to_whole_lines(self.path)
        out = []
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            try:
                out.append(json.loads(line))
            except ValueError:
                break
        return out


def _all_stored(plan: Plan, rows: Rows) -> bool:
    return all(
        stored.is_stored(plan.kinds[kind], level, row)
        for kind, levels in rows.items()
        for level, found in enumerate(levels)
        for row in found
    )
