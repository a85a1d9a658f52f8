"""Receipts: files that stand for what a job left in render-ws (docs/design.md).

Snakemake sees files, render-ws holds the truth. A receipt is written last, holds no time and no
host, and is therefore byte-identical when the same work is done again. Nor does it hold the code
that made it: other code that makes the same makes nothing anew that depends on it. Which code a
stack came through is said in the notes that the service keeps with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from scripts.lib import files
from scripts.lib.service.errors import ReceiptMismatch
from scripts.lib.service.records import Json, TileSet, TileSpec

REACH = "reach_layers"  # of params: how far apart in z the pairs are that people put in


@dataclass(frozen=True)
class StackReceipt:
    """What a stack held when its writer finished.

    Attributes
    ----------
    owner, project, stack
        Identity of the stack.
    tile_count
        Number of tiles.
    z_min, z_max
        First and last z that has tiles.
    bounds
        Min x, min y, max x, max y of all tiles, world px.
    digest
        SHA-256 of all tile specs (`TileDigest`).
    inputs
        Digest of each file the tiles were made of, by its path.
    params
        Settings they were made with.
    """

    owner: str
    project: str
    stack: str
    tile_count: int
    z_min: float
    z_max: float
    bounds: tuple[float, float, float, float]
    digest: str
    inputs: Mapping[str, str]
    params: Mapping[str, Any]

    def write(self, path: str | Path) -> None:
        """Write the receipt, atomically.

        Parameters
        ----------
        path
            File of the receipt, a declared output of its job.
        """
        files.write_json(path, asdict(self))

    def made_of(self) -> str:
        """Return what tells one making of the stack from another.

        Returns
        -------
        str
            Digest of inputs and params.
        """
        return files.digest([self.inputs, self.params])

    def content(self) -> str:
        """Return what the tiles are, in the words that the service's notes begin with.

        Returns
        -------
        str
            Count and digest of the tiles; four words.
        """
        return f"{self.tile_count} tiles, digest {self.digest}"

    def notes(self, code: str = "") -> str:
        """Return the text that the service keeps with the stack's version.

        Parameters
        ----------
        code
            Digest of the code that the tiles came through (`scripts.lib.provenance`).

        Returns
        -------
        str
            Count, digest of the tiles, digest of what they were made of, and the code.
        """
        by = f" by {code}" if code else ""
        return f"{self.content()} of {self.made_of()}{by}"

    @staticmethod
    def read(path: str | Path) -> StackReceipt:
        """Read a receipt.

        Parameters
        ----------
        path
            File that `write` made.

        Returns
        -------
        StackReceipt
            The receipt.

        Raises
        ------
        ValueError
            When the file is no stack receipt.
        """
        value = _read(path)
        try:
            return StackReceipt(**{**value, "bounds": tuple(value["bounds"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"{path} is not a stack receipt: {error}") from error


@dataclass(frozen=True)
class CollectionReceipt:
    """What a match collection held when all match jobs were done.

    Attributes
    ----------
    owner, collection
        Identity of the collection.
    pairs_planned, pairs_saved, pairs_failed
        Pairs of tiles of all runs and chunks; each planned one is saved or failed. ``pairs_saved``
        is what the collection holds: without those that people took out, with those they put in.
    digest
        SHA-256 of the tables of results.
    inputs
        Digest of each file the matches were made of, by its path.
    params
        Settings they were made with.
    """

    owner: str
    collection: str
    pairs_planned: int
    pairs_saved: int
    pairs_failed: int
    digest: str
    inputs: Mapping[str, str]
    params: Mapping[str, Any]

    def write(self, path: str | Path) -> None:
        """Write the receipt, atomically.

        Parameters
        ----------
        path
            File of the receipt, a declared output of its job.
        """
        files.write_json(path, asdict(self))

    def reach_layers(self, z_distance: float) -> float:
        """Return how far apart in z two tiles of a pair may lie.

        Parameters
        ----------
        z_distance
            Farthest layer that tiles were compared with, layers.

        Returns
        -------
        float
            Layers; more than `z_distance` where people put pairs in that reach farther.
        """
        return max(z_distance, float(self.params.get(REACH, 0)))

    @staticmethod
    def read(path: str | Path) -> CollectionReceipt:
        """Read a receipt.

        Parameters
        ----------
        path
            File that `write` made.

        Returns
        -------
        CollectionReceipt
            The receipt.

        Raises
        ------
        ValueError
            When the file is no collection receipt.
        """
        try:
            return CollectionReceipt(**_read(path))
        except TypeError as error:
            raise ValueError(f"{path} is not a match collection receipt: {error}") from error


def _read(path: str | Path) -> dict[str, Any]:
    """Content of a receipt; those of before 0.2 have a version that nobody compares any more."""
    value = dict(files.read_json(path))
    value.pop("code_version", None)
    return value


def digests(paths: Iterable[str | Path]) -> dict[str, str]:
    """Compute the digest of each file.

    Parameters
    ----------
    paths
        Files; of JSON and ``.gz`` files the content counts, not how it is written.

    Returns
    -------
    dict
        SHA-256 by path as given.
    """
    return {str(path): files.digest_of_file(path) for path in paths}


def raise_problems(name: str, problems: Sequence[str]) -> None:
    """Raise `ReceiptMismatch` when there are differences between a receipt and the service.

    Parameters
    ----------
    name
        What the receipt is of, in words.
    problems
        Each difference in words; none: all is well.

    Raises
    ------
    ReceiptMismatch
        With all differences, and what to run again.
    """
    if problems:
        raise ReceiptMismatch(
            f"{name} in render-ws is not what its receipt says: {'; '.join(problems)}. "
            "Remove the receipt and start the same command again, so that its writer makes it anew."
        )


class TileDigest:
    """SHA-256 over tile specs and shared transforms, whatever order and batches they come in.

    The digests of the single specs are added up, so that nothing needs to be kept or sorted.
    """

    def __init__(self) -> None:
        self._count = 0
        self._sum = 0
        self._shared: dict[str, bytes] = {}

    def add(self, specs: Iterable[bytes], shared: Mapping[str, Any]) -> None:
        """Add a batch of tiles.

        Parameters
        ----------
        specs
            Tile specs in wire form as `encoded` makes them.
        shared
            Wire form of the shared transforms that they refer to, by id.
        """
        for data in specs:
            self._count += 1
            self._sum += int.from_bytes(hashlib.sha256(data).digest())
        self._shared |= {key: encoded(spec) for key, spec in shared.items()}

    def hexdigest(self) -> str:
        """Return the digest of all that was added.

        Returns
        -------
        str
            64 hexadecimal digits.
        """
        head = f"{self._count} {self._sum % 2**256:x}".encode()
        shared = [self._shared[key] for key in sorted(self._shared)]
        return hashlib.sha256(b"\n".join([head, *shared])).hexdigest()


def encoded(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """Serialise a wire record with sorted keys: equal records give equal bytes.

    Parameters
    ----------
    value
        Any JSON value; numpy scalars and arrays count as numbers and lists.

    Returns
    -------
    bytes
        JSON text.
    """
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY)


def digest_tiles(tiles: TileSet) -> str:
    """Compute the digest of tiles, independent of their order.

    Parameters
    ----------
    tiles
        Tiles with the shared transforms they refer to.

    Returns
    -------
    str
        64 hexadecimal digits, as `TileDigest` gives them.
    """
    digest = TileDigest()
    digest.add((encoded(tile.to_json()) for tile in tiles.tiles), tiles.used())
    return digest.hexdigest()


def digest_seen(tiles: TileSet) -> str:
    """Compute the digest of what a drawing of tiles shows.

    Parameters
    ----------
    tiles
        Tiles with the shared transforms they refer to.

    Returns
    -------
    str
        64 hexadecimal digits: of the tile specs, and of size and time of each image file.
    """
    paths = sorted({files.path_of_url(tile.image_url) for tile in tiles.tiles})
    return files.digest([digest_tiles(tiles), [_size_and_time(Path(path)) for path in paths]])


def digests_seen(parts: Iterable[TileSet]) -> dict[float, str]:
    """Compute the digest of what a drawing of each layer shows.

    Parameters
    ----------
    parts
        Tiles of a stack; a layer may be in several parts.

    Returns
    -------
    dict
        64 hexadecimal digits by z: of the tile specs, and of size and time of each image file.
    """
    specs: dict[float, TileDigest] = {}
    images: dict[float, set[Path]] = {}
    for part in parts:
        for z, tiles in _by_z(part).items():
            one = TileSet(tuple(tiles), part.shared)
            specs.setdefault(z, TileDigest()).add(
                (encoded(tile.to_json()) for tile in tiles), one.used()
            )
            paths = (Path(files.path_of_url(tile.image_url)) for tile in tiles)
            images.setdefault(z, set()).update(paths)
    return {
        z: files.digest([digest.hexdigest(), [_size_and_time(path) for path in sorted(images[z])]])
        for z, digest in specs.items()
    }


def _by_z(part: TileSet) -> dict[float, list[TileSpec]]:
    found: dict[float, list[TileSpec]] = {}
    for tile in part.tiles:
        found.setdefault(tile.z, []).append(tile)
    return found


def _size_and_time(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None  # whoever reads it says so in better words
    return status.st_size, status.st_mtime_ns


def differences(receipt: StackReceipt, found: Mapping[str, Any]) -> list[str]:
    """Compare a stack with its receipt.

    Parameters
    ----------
    receipt
        What the stack held when its writer finished.
    found
        Render's StackMetaData in wire form.

    Returns
    -------
    list of str
        Each difference in words.
    """
    if found["state"] not in ("COMPLETE", "READ_ONLY"):
        return [f"its state is {found['state']}, not COMPLETE"]
    problems = []
    count = found.get("stats", {}).get("tileCount")
    if count != receipt.tile_count:
        problems.append(f"it has {count} tiles, expected {receipt.tile_count}")
    notes = found.get("currentVersion", {}).get("versionNotes", "")
    if not notes.startswith(f"{receipt.content()} "):
        problems.append(f"its tiles were written by another run (found {notes!r})")
    return problems


class Written:
    """What was put into a stack so far."""

    def __init__(self) -> None:
        self._digest = TileDigest()
        self._count = 0
        self._lows: list[tuple[float, ...]] = []  # min x, min y, z of each batch
        self._highs: list[tuple[float, ...]] = []

    def add(self, part: TileSet) -> Json:
        """Count a batch of tiles and return its wire form.

        Parameters
        ----------
        part
            Tiles that all have bounds.

        Returns
        -------
        dict
            Render's ResolvedTileSpecCollection; tiles that are serialised already.
        """
        # encoded once, for the digest and for the request
        specs = {tile.tile_id: encoded(tile.to_json()) for tile in part.tiles}
        shared = part.used()
        self._digest.add(specs.values(), shared)
        self._count += len(part.tiles)
        places = [(*tile.bounds, tile.z) for tile in part.tiles if tile.bounds is not None]
        x0, y0, x1, y1, z = zip(*places, strict=True)
        self._lows.append((min(x0), min(y0), min(z)))
        self._highs.append((max(x1), max(y1), max(z)))
        fragments = {tile_id: orjson.Fragment(data) for tile_id, data in specs.items()}
        return {"transformIdToSpecMap": shared, "tileIdToSpecMap": fragments}

    def figures(self) -> dict[str, Any]:
        """Return the fields of a stack's receipt that follow from its tiles.

        Returns
        -------
        dict
            ``tile_count``, ``z_min``, ``z_max``, ``bounds``, ``digest``.
        """
        # of nothing all are 0
        x0, y0, z_min = (min(values) for values in zip(*self._lows or [(0, 0, 0)], strict=True))
        x1, y1, z_max = (max(values) for values in zip(*self._highs or [(0, 0, 0)], strict=True))
        return {
            "tile_count": self._count,
            "z_min": z_min,
            "z_max": z_max,
            "bounds": (x0, y0, x1, y1),
            "digest": self._digest.hexdigest(),
        }
