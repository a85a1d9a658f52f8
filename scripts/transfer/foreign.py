"""Foreign sources: TIFF, MRC, OME-Zarr and N5 as the tiles of a volume, beside ``.dat`` files.

A slice becomes a tile with the name and the header that a ``.dat`` would have, so that all that
follows is the same. The name is made of the number of the slice: second z of the year 2000 is the
*time* of layer z, ``tiff_00-01-01_000203`` is z 123. The header states what the file says (size,
pixels, position) and nothing else.

A plan names a tile ``<path>#<slice>``; ``<path>#<slice>|<path>#<slice>`` are its channels.
"""

from __future__ import annotations

import filecmp
import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lib.names import DatName, LayerName
from scripts.transfer import dat, foreign_scan, images
from scripts.transfer.dat import Dat, DatError, Header
from scripts.transfer.images import Facts, OpenFiles
from scripts.transfer.layers import DatFile, Found, Misfit
from scripts.transfer.name_pattern import NamePattern, Place
from scripts.transfer.original import JOINED, PLANE, Original, file_of

# version 8 of the header has no stage position: ingest places the tiles by the grid then
_PLACED, _UNPLACED = 9, 8
_EPOCH = datetime(2000, 1, 1)


def layer_of(kind: str, z: int) -> LayerName:
    """Return the name of the layer of a slice.

    Parameters
    ----------
    kind
        Of the source.
    z
        Number of the slice, from 0.

    Returns
    -------
    LayerName
        Its time is second z of the year 2000.
    """
    return LayerName(kind, (_EPOCH + timedelta(seconds=z)).strftime("%y-%m-%d_%H%M%S"))


def z_of(layer: LayerName) -> int:
    """Return the number of the slice that a layer was named after.

    Parameters
    ----------
    layer
        Of a foreign source.

    Returns
    -------
    int
        From 0.
    """
    return int((layer.time - _EPOCH).total_seconds())


@dataclass(frozen=True)
class ForeignSettings:
    """Section ``transfer.source`` of the config, and the pixel size of the volume."""

    kind: str
    pattern: NamePattern
    pixel_nm: float
    dataset: str | None = None
    z_step: int = 1
    z_first: int | None = None
    z_last: int | None = None
    pixel_size: str = "files"
    positions: str = "files"
    keep_raw: bool = False

    @staticmethod
    def of(source: Mapping[str, Any]) -> ForeignSettings:
        """Read the section.

        Parameters
        ----------
        source
            As the config has it, with ``pixel_nm`` of section acquisition.

        Returns
        -------
        ForeignSettings
            With its pattern read.

        Raises
        ------
        UserError
            When the pattern is none.
        """
        return ForeignSettings(**{**source, "pattern": NamePattern.of(source["pattern"])})

    def holds(self, z: int) -> bool:
        """Tell whether a slice belongs to the volume.

        Parameters
        ----------
        z
            Number as in the names of the files.

        Returns
        -------
        bool
            Both ends are included.
        """
        after = self.z_first is None or z >= self.z_first
        return after and (self.z_last is None or z <= self.z_last)


@dataclass(frozen=True)
class _Slice:
    """One plane of one file, where it belongs: `number` as in the names, z counted from it."""

    found: Found
    plane: int
    number: int
    place: Place


class ForeignFiles:
    """The files of a foreign source: which tiles they are, and their headers and pixels.

    Parameters
    ----------
    root
        ``transfer.dat_root``.
    settings
        What the config says of them.
    """

    def __init__(self, root: Path, settings: ForeignSettings) -> None:
        self.root, self.settings = root, settings
        self._open = OpenFiles(settings.kind, settings.dataset)

    @property
    def keeps_raw(self) -> bool:
        """Tell whether raw HDF5 files are written.

        Returns
        -------
        bool
            False when their pixels stay where they are.
        """
        return self.settings.keep_raw

    def close(self) -> None:
        """Close the files that were read from."""
        self._open.close()

    # -----------------------------------------------------------------------------------------
    # which tiles there are
    # -----------------------------------------------------------------------------------------

    @cached_property
    def _found(self) -> tuple[list[tuple[Found, Place]], list[str]]:
        """Files that fit the pattern with what their names say, and paths of those that do not."""
        fit, others = [], []
        for found in sorted(
            foreign_scan.files(self.root, self.settings.kind), key=lambda each: each.path
        ):
            place = self.settings.pattern.place(found.path)
            if place is None:
                others.append(found.path)
            else:
                fit.append((found, place))
        return fit, others

    def unfit(self) -> list[str]:
        """Return files of the kind whose names do not fit the pattern.

        Returns
        -------
        list of str
            Paths below the root.
        """
        return self._found[1]

    def files(self) -> tuple[list[DatFile], list[Misfit]]:
        """Return every tile, and what cannot be one; stacks are opened, single slices are not.

        Returns
        -------
        tuple
            Tiles, and misfits.
        """
        tiles: dict[tuple[int, int, int], dict[int, list[_Slice]]] = {}
        misfits: list[Misfit] = []
        for each in self._slices(misfits):
            z, step = each.number, self.settings.z_step
            if z % step:
                reason = f"slice {z} is no multiple of transfer.source.z_step {step}"
                misfits.append(Misfit(each.found, f"{reason}: mend that key, or move it away"))
            elif self.settings.holds(z):
                key = (z // step, each.place.row, each.place.column)
                channels = tiles.setdefault(key, {})
                channels.setdefault(each.place.channel or 0, []).append(each)
        wanted = {channel for channels in tiles.values() for channel in channels}
        files = []
        for key, channels in tiles.items():
            if lost := wanted - channels.keys():
                first = next(iter(channels.values()))[0]
                said = ", ".join(map(str, sorted(lost)))
                misfits.append(Misfit(first.found, f"channel {said} of this tile is missing"))
                continue
            files.append(self._tile(key, [channels[c][0] for c in sorted(channels)]))
            # the others are tiles of their own, for the same cell: reported as such
            files += [self._tile(key, [s]) for c in channels.values() for s in c[1:]]
        return files, misfits

    def _slices(self, misfits: list[Misfit]) -> Iterator[_Slice]:
        """Yield the slices of all files; files that cannot be opened become misfits."""
        for found, place in self._found[0]:
            if JOINED in found.path:
                misfits.append(Misfit(found, f"expected a name without {JOINED}: rename it"))
                continue
            if place.z is not None:
                yield _Slice(found, 0, place.z, place)
                continue
            try:
                planes = self._planes(found)
            except DatError as error:
                misfits.append(Misfit(found, str(error)))
                continue
            start, step = place.first_z or 0, self.settings.z_step
            share = Found(found.path, found.size // planes, found.modified_ns)
            for plane in range(planes):
                yield _Slice(share, plane, start + plane * step, place)

    def _planes(self, found: Found) -> int:
        path, s = str(self.root / found.path), self.settings
        return _count_planes(s.kind, path, s.dataset, found.size, found.modified_ns)

    def _tile(self, key: tuple[int, int, int], slices: Sequence[_Slice]) -> DatFile:
        z, row, column = key
        path = JOINED.join(f"{each.found.path}#{each.plane}" for each in slices)
        size = sum(each.found.size for each in slices)
        changed = max(each.found.modified_ns for each in slices)
        name = DatName(layer_of(self.settings.kind, z), 0, row, column)
        return DatFile(name, Found(path, size, changed))

    def same(self, tile: str, other: str) -> bool:
        """Tell whether two tiles are the same slice of files with the same bytes.

        Parameters
        ----------
        tile, other
            As column ``dat`` of the plan has them.

        Returns
        -------
        bool
            True for a mere copy.
        """
        one, two = PLANE.fullmatch(tile), PLANE.fullmatch(other)
        if one is None or two is None or one["plane"] != two["plane"]:
            return False
        a, b = self.root / one["path"], self.root / two["path"]
        return a.is_file() and b.is_file() and filecmp.cmp(a, b, shallow=False)

    # -----------------------------------------------------------------------------------------
    # one tile
    # -----------------------------------------------------------------------------------------

    def exists(self, tile: str) -> bool:
        """Tell whether all files of a tile are there.

        Parameters
        ----------
        tile
            As column ``dat`` of the plan has it.

        Returns
        -------
        bool
            False when one of them is missing.
        """
        return all((self.root / path).exists() for path, _ in self._parts(tile))

    def is_whole(self, tile: str) -> bool:
        """Tell whether a tile can be read, pixels and all.

        Parameters
        ----------
        tile
            As column ``dat`` of the plan has it.

        Returns
        -------
        bool
            False also where there is none.
        """
        try:
            self._pixels(tile)
        except DatError:
            return False
        return True

    def inspect(self, name: DatName, tile: str) -> tuple[Header, int]:
        """Return header and size in bytes of a tile as a ``.dat``; reads no pixel.

        Parameters
        ----------
        name
            Of the ``.dat`` that it is, or would be.
        tile
            As column ``dat`` of the plan has it.

        Returns
        -------
        tuple
            Header, bytes.
        """
        facts = self.facts(tile)
        head = self._head(name, facts)
        return dat.parse_header(head, file_of(tile)), self._size(facts)

    def original(self, name: DatName, tile: str) -> Original:
        """Return a tile as it was acquired.

        Parameters
        ----------
        name
            Of the ``.dat`` that it would be.
        tile
            As the plan has it.

        Returns
        -------
        Original
            Its pixels are read when they are asked for.

        Raises
        ------
        DatError
            When a file cannot be opened, or is no image of 8 or 16 bits.
        """
        header, size = self.inspect(name, tile)
        changed = max((self.root / path).stat().st_mtime_ns for path, _ in self._parts(tile))
        s = self.settings
        choices = {"pixel_size": s.pixel_size, "positions": s.positions, "pixel_nm": s.pixel_nm}
        return Original(
            name=f"{name.layer.layer_id}_{name.tile_key}.dat",
            size=size,
            channels=header["ChanNum"],
            modified_ns=changed,
            tile=lambda: self._dat(name, tile),
            read=lambda: _bytes(self._dat(name, tile)),
            # a raw HDF5 is the original from then on, as that of a .dat
            mark={} if s.keep_raw else {"source": tile, "modified_ns": changed, **choices},
        )

    def _dat(self, name: DatName, tile: str) -> Dat:
        facts, (pixels, digest) = self.facts(tile), self._pixels(tile)
        head = self._head(name, facts)
        header = dat.parse_header(head, file_of(tile))
        header |= {"source": tile, "source_sha256": digest}
        return Dat(header, pixels, head, b"")

    def _pixels(self, tile: str) -> tuple[NDArray[Any], str]:
        """Return pixels (y, x, channel) as a ``.dat`` has them, and SHA-256 as in the file."""
        planes = [self._images(path).plane(k) for path, k in self._parts(tile)]
        pixels = planes[0] if len(planes) == 1 else np.concatenate(planes, axis=-1)
        stored = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))
        digest = hashlib.sha256(stored.data.cast("B")).hexdigest()
        return images.counts(stored), digest

    def _images(self, path: str) -> images.Images:
        opened = self._open.get(self.root / path)
        if not self.settings.pattern.stacks and opened.facts.planes != 1:
            raise DatError(
                f"{path}: expected one slice, as {{z}} of transfer.source.pattern says, found "
                f"{opened.facts.planes}: write {{first_z}} there, and it counts on in each file"
            )
        return opened

    def facts(self, tile: str) -> Facts:
        """Return facts of a tile: those of its first file, channels of all of them.

        Parameters
        ----------
        tile
            As column ``dat`` of the plan has it.

        Returns
        -------
        Facts
            Lengths in nm.
        """
        all_facts = [self._images(path).facts for path, _ in self._parts(tile)]
        first, *others = all_facts
        kind = (first.height, first.width, first.dtype)
        if any((each.height, each.width, each.dtype) != kind for each in others):
            raise DatError(f"{tile}: expected channels of one size and type, found several")
        channels = sum(each.channels for each in all_facts)
        facts = replace(first, channels=channels)
        images.check(facts, file_of(tile))
        return facts

    def _parts(self, tile: str) -> Iterator[tuple[str, int]]:
        for part in tile.split(JOINED):
            match = PLANE.fullmatch(part)
            if match is None:
                raise DatError(f"{part}: expected <path>#<slice>, as a plan of this source has it")
            yield match["path"], int(match["plane"])

    def _head(self, name: DatName, facts: Facts) -> bytes:
        trusted = facts.pixel_nm if self.settings.pixel_size == "files" else None
        pixel_nm = trusted or self.settings.pixel_nm
        placed = facts.position_nm if self.settings.positions == "files" else None
        values: dict[str, Any] = {
            "FileMagicNum": dat.MAGIC,
            "FileVersion": _UNPLACED if placed is None else _PLACED,
            "ChanNum": facts.channels,
            "EightBit": int(facts.dtype.itemsize == 1),
            "XResolution": facts.width,
            "YResolution": facts.height,
            "PixelSize": pixel_nm,
            "FIBSliceNum": z_of(name.layer),
            "MachineID": self.settings.kind.encode(),
            "FileLength": self._size(facts),
        }
        if placed is not None:
            x, y = (round(each / pixel_nm) for each in placed)
            values |= {"FirstX": x, "FirstY": y}
        return packed(values)

    @staticmethod
    def _size(facts: Facts) -> int:
        pixels = facts.height * facts.width * facts.channels * facts.dtype.itemsize
        return dat.HEADER_BYTES + pixels


def packed(values: Mapping[str, Any]) -> bytes:
    """Return the header of a ``.dat``.

    Parameters
    ----------
    values
        By name of the field, FileVersion among them; all others are 0.

    Returns
    -------
    bytes
        `dat.HEADER_BYTES` of them.
    """
    head = bytearray(dat.HEADER_BYTES)
    for place in dat.placements(values["FileVersion"]):
        if place.name in values:
            struct.pack_into(place.code, head, place.offset, values[place.name])
    return bytes(head)


def _bytes(tile: Dat) -> bytes:
    order = dat.pixel_dtype(tile.header)
    return b"".join((tile.head, tile.pixels.astype(order).tobytes(), tile.footer))


@lru_cache(maxsize=4096)
def _count_planes(kind: str, path: str, dataset: str | None, _size: int, _changed: int) -> int:
    """Count the slices of a file once for all that ask: pages of a TIFF are a chain."""
    opened = images.open_images(kind, Path(path), dataset)
    try:
        return opened.facts.planes
    finally:
        opened.close()
