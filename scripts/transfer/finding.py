"""What the doctor says, and what it is said of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from scripts.lib.files import read_table
from scripts.lib.names import LayerName
from scripts.transfer import origin
from scripts.transfer.dat import DatError, Header
from scripts.transfer.layers import DatFile
from scripts.transfer.original import Files

ERROR, NOTE, FACT = "error", "note", "fact"
Layers = Mapping[LayerName, Sequence[DatFile]]


@dataclass(frozen=True)
class Finding:
    """One thing: wrong (error, with the line to change), worth a look (note), or known (fact)."""

    severity: str
    key: str
    found: str
    expected: str
    change: str
    file: str = ""

    def text(self) -> str:
        """Return the line that a person reads.

        Returns
        -------
        str
            Severity, key, what was expected and found, what to change.
        """
        where = f" ({self.file})" if self.file else ""
        said = f"expected {self.expected}, found {self.found}{where}"
        return f"{self.severity}: {self.key}: {said}. {self.change}"


@dataclass(frozen=True)
class Case:
    """A volume: its config, where its `.dat` files lie, and whether layers were converted."""

    config: Mapping[str, Any]
    dat_root: Path
    work_dir: Path
    converted: bool
    layers: Layers = field(default_factory=dict)

    @cached_property
    def files(self) -> Files:
        """Return the files that its config names.

        Returns
        -------
        Files
            Of ``transfer.dat_root``.
        """
        return origin.of(self.config, self.dat_root)

    def close(self) -> None:
        """Close the files that headers were read from."""
        if "files" in vars(self):
            self.files.close()

    def inspect(self, file: DatFile) -> tuple[Header, int]:
        """Return header and size in bytes of a tile; reads no pixel.

        Parameters
        ----------
        file
            The tile.

        Returns
        -------
        tuple
            Header, bytes.

        Raises
        ------
        DatError
            When it cannot be read.
        """
        return self.files.inspect(file.name, file.found.path)

    @property
    def dat_bytes(self) -> int:
        """Return the size of the volume's ``.dat`` files.

        Returns
        -------
        int
            Of those that are there; after they went, as the plan of the transfer knows it.
        """
        plan = self.work_dir / "transfer/plan.tsv"
        there = sum(each.found.size for files in self.layers.values() for each in files)
        if there or not plan.exists():
            return there
        return sum(int(row["bytes"] or 0) for row in read_table(plan))

    @property
    def counts_bytes(self) -> int:
        """Return the size of the volume's tiles as ``.dat`` files of 16 bits.

        Returns
        -------
        int
            That of the files themselves where they are such files; of others, which may be packed,
            by the header of the first.
        """
        first = next((each for files in self.layers.values() for each in files), None)
        if self.config["transfer"]["source"] is None or first is None:
            return self.dat_bytes
        try:
            header = self.inspect(first)[0]
        except DatError:
            return self.dat_bytes  # reported with the headers
        pixels = int(header["XResolution"] * header["YResolution"] * header["ChanNum"])
        return sum(map(len, self.layers.values())) * pixels * 2

    @property
    def filled_later(self) -> bool:
        """Tell whether it is no fault that there is no `.dat` file.

        Returns
        -------
        bool
            True while a scope fills the folder, after conversion, and where layers are taken over.
        """
        taken = self.config.get("takeover", {}).get("align_h5")
        return self.converted or taken is not None or self.config["transfer"]["scope"] is not None
