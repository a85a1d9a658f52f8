"""L1 · Receipts: files that stand for what a job left in render-ws.

Snakemake sees files, render-ws holds the truth. A receipt is written last, holds no time and no
host, and is therefore byte-identical when the same work is done again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scripts.lib import files
from scripts.lib.records import TileSet

CODE_VERSION = "0.1.0"


@dataclass(frozen=True)
class StackReceipt:
    """What a stack held when its writer finished."""

    owner: str
    project: str
    stack: str
    tile_count: int
    z_min: float
    z_max: float
    bounds: tuple[float, float, float, float]  # min x, min y, max x, max y, world px
    digest: str  # of all tile specs
    inputs: Mapping[str, str]  # receipt path -> its digest
    params: Mapping[str, Any]
    code_version: str = CODE_VERSION

    def write(self, path: str | Path) -> None:
        """Write the receipt, atomically."""
        files.write_json(path, asdict(self))

    @staticmethod
    def read(path: str | Path) -> StackReceipt:
        """Read a receipt.

        Raises
        ------
        ValueError
            When the file is no stack receipt.
        """
        value = files.read_json(path)
        try:
            return StackReceipt(**{**value, "bounds": tuple(value["bounds"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"{path} is not a stack receipt: {error}") from error


@dataclass(frozen=True)
class CollectionReceipt:
    """What a match collection held when all match jobs were done."""

    owner: str
    collection: str
    pairs_planned: int
    pairs_saved: int
    pairs_failed: int
    digest: str  # of the chunk receipts
    inputs: Mapping[str, str]
    params: Mapping[str, Any]
    code_version: str = CODE_VERSION

    def write(self, path: str | Path) -> None:
        """Write the receipt, atomically."""
        files.write_json(path, asdict(self))

    @staticmethod
    def read(path: str | Path) -> CollectionReceipt:
        """Read a receipt.

        Raises
        ------
        ValueError
            When the file is no collection receipt.
        """
        try:
            return CollectionReceipt(**files.read_json(path))
        except TypeError as error:
            raise ValueError(f"{path} is not a match collection receipt: {error}") from error


def digests(paths: Iterable[str | Path]) -> dict[str, str]:
    """SHA-256 of each file, keyed by path as given; of JSON and ``.gz`` files the content counts."""
    return {str(path): files.digest_of_file(path) for path in paths}


def digest_tiles(tiles: TileSet) -> str:
    """SHA-256 over all tile specs and shared transforms, independent of their order."""
    return files.digest(tiles.to_json())
