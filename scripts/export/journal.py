"""What an interrupted slab had finished: one line per column of blocks, appended as it is written.

A journal is worth something only to a job that would write the same voxels: its first line is the
digest of all they depend on. A torn last line is no line.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.export import slabs
from scripts.export.slabs import Plan
from scripts.lib import files

Rows = list[dict[str, Any]]
Area = tuple[slice, slice]


@dataclass(frozen=True)
class Journal:
    """Finished columns in a file; ``key`` says what their voxels depend on."""

    path: Path
    key: str

    def finished(self, plan: Plan) -> dict[tuple[int, int], list[Rows]]:
        """Give the records, by level, of columns whose files are all there; by first y and x."""
        lines = self._lines()
        if not lines or lines[0] != {"key": self.key}:
            self.path.unlink(missing_ok=True)
            return {}
        return {
            (line["area"][0], line["area"][1]): line["levels"]
            for line in lines[1:]
            if _all_stored(plan, line["levels"])
        }

    def add(self, area: Area, levels: Sequence[Rows]) -> None:
        """Append a column."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = {"area": [area[0].start, area[1].start], "levels": list(levels)}
        text = files.canonical_json(line) + "\n"
        if not self.path.exists():
            text = files.canonical_json({"key": self.key}) + "\n" + text
        with self.path.open("a") as file:
            file.write(text)

    def remove(self) -> None:
        """Forget all: the job has ended well."""
        self.path.unlink(missing_ok=True)

    def _lines(self) -> list[dict[str, Any]]:
        out = []
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            try:
                out.append(json.loads(line))
            except ValueError:
                break
        return out


def _all_stored(plan: Plan, levels: Sequence[Rows]) -> bool:
    return all(
        slabs.is_stored(plan, level, row) for level, rows in enumerate(levels) for row in rows
    )
