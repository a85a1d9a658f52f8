"""One layer from `.dat` to HDF5, such that no byte of an acquired tile can be lost.

A file under its final name has been verified: it was written under a temporary name, flushed, read
back, compared with the `.dat` files byte for byte, and then renamed. Hence what is left to do
follows from what is there: a layer whose raw HDF5 holds all readable tiles is not written again; a
late tile rebuilds the layer from all its tiles; tiles whose `.dat` has gone are taken from the raw
HDF5 that holds them, so that a file is never replaced by one with fewer tiles.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from scripts.lib import files, layer_files
from scripts.lib.names import LayerName, LayerRange, parse_dat, parse_layer
from scripts.transfer import contrast, dat, hdf5, space
from scripts.transfer.contrast import Fill
from scripts.transfer.dat import Dat, DatError
from scripts.transfer.hdf5 import Hdf5Error, Storage, Stored
from scripts.transfer.original import DatFiles, Files, Original

log = logging.getLogger(__name__)

CONVERTED_COLUMNS = ("layer_id", "tile_key", "dat", "status", "reason")
# bytes of raw and align HDF5 per byte of .dat, if nothing could be compressed
_GROWTH = 1.7
Row = dict[str, str]


class LayerError(Exception):
    """A layer that could not be converted; nothing of it was published."""


# what may befall one layer and not the next; HDF5 says RuntimeError when the disk is full
FAULTS = (LayerError, Hdf5Error, DatError, OSError, RuntimeError)


@dataclass(frozen=True)
class Settings:
    """How layers are converted."""

    channel: int = 0  # detector of the 8-bit images
    mipmap_levels: int = 7  # besides full scale
    storage: Storage = Storage()
    fills: tuple[Fill, ...] = ()
    kept: tuple[LayerRange, ...] = ()  # layers whose contrast is not inverted
    reserve_gb: float = 0  # free space that is never used
    # SHA-256 by name of the .dat, of those whose hash was compared with the scope's
    hashes: Mapping[str, str] = field(default_factory=dict)

    def inverts(self, layer: LayerName) -> bool:
        """Tell whether the contrast of a layer is inverted.

        Parameters
        ----------
        layer
            The layer.

        Returns
        -------
        bool
            False for those of ``transfer.keep_contrast``.
        """
        return not any(each.holds(layer) for each in self.kept)

    def conversion(self, layer: LayerName, tiles: Mapping[str, Source]) -> str:
        """Describe an align HDF5 of a layer that is made with these settings.

        Parameters
        ----------
        layer
            The layer.
        tiles
            Its tiles by key.

        Returns
        -------
        str
            Canonical JSON.
        """
        # the usual case is not said: files of earlier versions stay as they are
        kept = {} if self.inverts(layer) else {"keep_contrast": True}
        return files.canonical_json(
            kept
            | {
                "channel": self.channel,
                "mipmap_levels": self.mipmap_levels,
                "chunk_px": self.storage.chunk_px,
                "fill": [asdict(fill) for fill in self.fills],
                "tiles": {key: dict(tile.described) for key, tile in tiles.items()},
            }
        )


@dataclass(frozen=True)
class Source:
    """Where the bytes of one tile come from: its `.dat`, or a verified raw HDF5."""

    dat_name: str
    size: int
    read: Callable[[], bytes]
    tile: Callable[[], Dat]
    described: Mapping[str, Any]  # what the align HDF5 says of it
    fresh: bool  # not in the raw HDF5 yet
    gone: bool = False  # its file went, and no raw HDF5 holds it


@dataclass(frozen=True)
class Layer:
    """The planned tiles of one layer, the files they come from, and its HDF5 files."""

    name: LayerName
    tiles: tuple[Mapping[str, str], ...]
    files: Files
    raw: Path
    align: Path
    archive: Path | None = None  # where the raw HDF5 goes in the end

    @property
    def dat_root(self) -> Path:
        """Return the folder that the paths of the plan are relative to.

        Returns
        -------
        Path
            Root of the files.
        """
        return self.files.root

    @staticmethod
    def of(
        tiles: Sequence[Mapping[str, str]],
        dats: Path | Files,
        work_dir: Path,
        archive_root: Path | None = None,
    ) -> Layer:
        """Make the layer of some rows of the plan.

        Parameters
        ----------
        tiles
            Rows of the plan, all of one layer.
        dats
            Files that the plan names, or the folder of ``.dat`` files.
        work_dir
            Folder of ``h5/``.
        archive_root
            The archive; None: there is none.

        Returns
        -------
        Layer
            With the paths of its files, which need not be there.
        """
        name = parse_layer(tiles[0]["layer_id"])
        raw, align = work_dir / layer_files.raw_path(name), work_dir / layer_files.align_path(name)
        archive = archive_root / layer_files.archive_path(name) if archive_root else None
        found = DatFiles(dats) if isinstance(dats, Path) else dats
        return Layer(name, tuple(tiles), found, raw, align, archive)

    def stored(self) -> dict[str, tuple[Path, Stored]]:
        """Return the tiles that are safe in HDF5, with the file that holds them.

        Returns
        -------
        dict
            File and tile by tile key; of two files that of the working directory.

        Raises
        ------
        Hdf5Error
            When one of the two raw files is there and cannot be read.
        """
        # the one in the working directory is never older than that of the archive
        paths = [path for path in (self.archive, self.raw) if path is not None]
        return {
            key: (path, tile) for path in paths for key, tile in hdf5.stored_tiles(path).items()
        }


def convert_layer(layer: Layer, settings: Settings, *, stop: bool = False) -> list[Row]:
    """Bring the HDF5 files of one layer up to date.

    Parameters
    ----------
    layer
        Its planned tiles and files.
    settings
        How it is converted.
    stop
        Fail when a tile cannot be read, in place of going on without it.

    Returns
    -------
    list of dict
        One row of `CONVERTED_COLUMNS` per planned tile, and per tile that only a raw HDF5 has. The
        reason of a good one says when its pixels show nothing.

    Raises
    ------
    LayerError, Hdf5Error
        When a written file does not give back what went in, a converted `.dat` has changed since,
        an existing file cannot be read, the disk is full, or, with `stop`, a tile cannot be read.
        Nothing is published then.
    """
    sources, rows = _sources(layer, layer.stored(), settings)
    bad = [row["reason"] for row in rows if row["status"] == "bad"]
    if stop and bad:
        raise LayerError("; ".join(bad))
    if sources:
        _update(layer, sources, settings)
    return _with_faults(rows, hdf5.tile_faults(layer.align))


def _with_faults(rows: Sequence[Row], faults: Mapping[str, str]) -> list[Row]:
    """Add to good rows what is wrong with the pixels: such a tile is kept, and reported."""
    out = []
    for row in rows:
        said = faults.get(row["tile_key"], "") if row["status"] == "ok" else ""
        reasons = filter(None, (row["reason"], said))
        out.append(row | {"reason": "; ".join(reasons)})
    return out


def _sources(
    layer: Layer, stored: Mapping[str, tuple[Path, Stored]], settings: Settings
) -> tuple[dict[str, Source], list[Row]]:
    """Find the best copy of every tile: planned ones, and those only a raw HDF5 has."""
    sources = {key: _from_raw(path, key, tile) for key, (path, tile) in stored.items()}
    rows = []
    aligned = _aligned(layer) if not layer.files.keeps_raw else {}
    for tile in layer.tiles:
        key, reason, named = tile["tile_key"], "", tile["dat"]
        there = layer.files.exists(named)
        try:
            if not there and key not in stored and key in aligned:
                sources[key] = _gone(named, aligned[key])
            elif there or key not in stored:  # a removed .dat is safe where it is stored
                sources[key] = _from_files(layer, key, named, stored.get(key), settings)
        except DatError as error:
            reason = str(error)
        status = "ok" if key in sources else "bad"
        if reason and status == "ok":
            reason = f"taken from the verified raw HDF5, as the .dat is bad now ({reason})"
        rows.append(_row(tile, status, reason))
    planned = {tile["tile_key"] for tile in layer.tiles}
    for key in stored.keys() - planned:
        gone = {"layer_id": layer.name.layer_id, "tile_key": key, "dat": stored[key][1].dat_name}
        rows.append(_row(gone, "ok", ""))
    return dict(sorted(sources.items())), sorted(rows, key=lambda row: row["tile_key"])


def _row(tile: Mapping[str, str], status: str, reason: str) -> Row:
    row = {name: tile[name] for name in ("layer_id", "tile_key", "dat")}
    return row | {"status": status, "reason": reason}


def _from_raw(raw: Path, key: str, tile: Stored) -> Source:
    def read() -> bytes:
        with h5py.File(raw, "r") as file:
            return hdf5.rebuild_dat(file[key])

    return Source(
        tile.dat_name,
        tile.size,
        read,
        tile=lambda: dat.parse(read(), tile.dat_name),
        described=asdict(tile),
        fresh=False,
    )


def _aligned(layer: Layer) -> dict[str, dict[str, Any]]:
    """Return what the align HDF5 says of the tiles it was made of; {} when there is none."""
    found = hdf5.align_conversion(layer.align)
    tiles: dict[str, dict[str, Any]] = json.loads(found)["tiles"] if found else {}
    return tiles


def _gone(named: str, described: Mapping[str, Any]) -> Source:
    """Return a tile whose file went after it was converted: good as long as nobody reads it."""

    def read() -> Any:  # noqa: ANN401 - never returns
        raise LayerError(
            f"{named}: the file is gone, and its layer is to be made anew: bring it back"
        )

    name, size = str(described["dat_name"]), int(described["size"])
    return Source(name, size, read, read, described, fresh=False, gone=True)


def _from_files(
    layer: Layer,
    key: str,
    named: str,
    stored: tuple[Path, Stored] | None,
    settings: Settings,
) -> Source:
    name = parse_dat(f"{layer.name.layer_id}_{key}.dat")
    found = layer.files.original(name, named)
    if fault := _channel_fault(settings.channel, found.channels, found.name):
        raise DatError(fault)
    described = asdict(Stored(found.name, found.size)) | dict(found.mark)
    fresh = Source(found.name, found.size, found.read, found.tile, described, fresh=True)
    if stored is None:
        _check_hash(found, settings.hashes.get(found.name))
        return fresh
    raw, tile = stored
    known = _from_raw(raw, key, tile)
    longer = found.size > tile.size  # its recipe was cut off when it was converted
    newer = found.modified_ns > raw.stat().st_mtime_ns
    if (longer or newer) and found.size >= tile.size and found.read()[: tile.size] != known.read():
        raise LayerError(
            f"{found.name}: expected the bytes that were converted into {raw.name}, found "
            f"others. Both are kept; to convert the new file move {raw} away"
        )
    return fresh if longer else known


def _check_hash(original: Original, expected: str | None) -> None:
    if not expected:
        return
    found = hashlib.sha256(original.read()).hexdigest()
    if found != expected:
        raise DatError(
            f"{original.name}: changed since it was copied: expected SHA-256 {expected}, found "
            f"{found}; move it away to have it fetched again"
        )


# ---------------------------------------------------------------------------------------------
# writing
# ---------------------------------------------------------------------------------------------


def _update(layer: Layer, sources: Mapping[str, Source], settings: Settings) -> None:
    wanted = settings.conversion(layer.name, sources)
    rebuild = layer.files.keeps_raw and any(source.fresh for source in sources.values())
    if not rebuild and hdf5.align_conversion(layer.align) == wanted:
        return
    need = sum(source.size for source in sources.values()) * _GROWTH
    if full := space.shortage(layer.raw, int(need), settings.reserve_gb):
        raise LayerError(full)
    images: dict[str, tuple[dat.Header, NDArray[Any]]] = {}
    if rebuild:
        _publish_raw(layer, sources, settings, images)
    else:
        images |= {k: _image(s.tile(), settings, s.dat_name) for k, s in sources.items()}
    _publish_align(layer, sources, images, settings, wanted)
    log.info("%s: %d tile(s) converted", layer.name.layer_id, len(sources))


def _image(tile: Dat, settings: Settings, name: str) -> tuple[dat.Header, NDArray[Any]]:
    """Return header and a copy of the channel that the 8-bit images are made of."""
    count = tile.pixels.shape[2]
    if fault := _channel_fault(settings.channel, count, name):
        raise LayerError(fault)  # of a stored tile: other layers go on
    image = tile.pixels[:, :, settings.channel]
    # native byte order; of pixels that lie between others a copy, which lets go of these
    return tile.header, np.ascontiguousarray(image, image.dtype.newbyteorder("="))


def _channel_fault(channel: int, count: int, name: str) -> str:
    """Say that a file lacks the channel of the 8-bit images; empty when it does not."""
    if channel < count:
        return ""
    return (
        f"transfer.channel is {channel}, but {name} has {count} channel(s): "
        f"set it to {', '.join(str(i) for i in range(count))}"
    )


def _publish_raw(
    layer: Layer,
    sources: Mapping[str, Source],
    settings: Settings,
    images: dict[str, tuple[dat.Header, NDArray[Any]]],
) -> None:
    """Write and verify the raw HDF5, one tile in memory at a time; `images` gets the channel."""
    files.remove_partials(layer.raw)
    with files.atomic_path(layer.raw) as partial:
        with h5py.File(partial, "w") as file:
            for key, source in sources.items():
                tile = source.tile()
                hdf5.write_raw_tile(file, key, source.dat_name, tile, settings.storage)
                images[key] = _image(tile, settings, source.dat_name)
        _verify_raw(partial, sources)


def _verify_raw(path: Path, sources: Mapping[str, Source]) -> None:
    with h5py.File(path, "r") as file:
        for key, source in sources.items():
            # the source is read again: a .dat that is still being copied shows here
            expected = source.read()
            if not hdf5.gives_back(file[key], expected):
                found = hdf5.rebuild_dat(file[key])
                raise LayerError(
                    f"{source.dat_name}: expected the raw HDF5 to give back {len(expected)} bytes, "
                    f"found {_first_difference(expected, found)}"
                )


def _first_difference(expected: bytes, found: bytes) -> str:
    n = min(len(expected), len(found))
    differs = np.frombuffer(expected[:n], np.uint8) != np.frombuffer(found[:n], np.uint8)
    at = int(differs.argmax()) if differs.any() else n
    return f"{len(found)} bytes that differ from byte {at} on"


def _publish_align(
    layer: Layer,
    sources: Mapping[str, Source],
    images: Mapping[str, tuple[dat.Header, NDArray[Any]]],
    settings: Settings,
    conversion: str,
) -> None:
    converted, limits, faults = contrast.to_eight_bit(
        {key: image for key, (_, image) in images.items()},
        settings.fills,
        invert=settings.inverts(layer.name),
    )
    tiles = {key: (sources[key].dat_name, images[key][0], converted[key]) for key in sources}
    files.remove_partials(layer.align)
    with files.atomic_path(layer.align) as partial:
        hdf5.write_align(
            partial,
            tiles,
            most_levels=settings.mipmap_levels,
            storage=settings.storage,
            conversion=conversion,
            limits=limits,
            faults=faults,
        )
        if differing := hdf5.align_differences(partial, converted):
            raise LayerError(f"{layer.align.name}: read back differently: {', '.join(differing)}")


# ---------------------------------------------------------------------------------------------
# many layers
# ---------------------------------------------------------------------------------------------


def convert_layers(
    plan: Sequence[Mapping[str, str]],
    *,
    dat_root: Path | Files,
    work_dir: Path,
    settings: Settings,
    stop: bool,
    archive_root: Path | None = None,
) -> list[Row]:
    """Convert the layers of some rows of the plan; a layer that fails does not stop the others.

    Its tiles have status ``failed`` then; the gate after the last layer ends the run.

    Parameters
    ----------
    plan
        Rows of the plan, whole layers.
    dat_root
        Folder that the paths of the plan are relative to, or the files themselves.
    work_dir
        Folder of ``h5/``.
    settings
        How they are converted.
    stop
        A layer fails when one of its tiles cannot be read.
    archive_root
        The archive; None: there is none.

    Returns
    -------
    list of dict
        Rows of `CONVERTED_COLUMNS`.
    """
    rows: list[Row] = []
    dats = DatFiles(dat_root) if isinstance(dat_root, Path) else dat_root
    for layer_id, tiles in files.grouped(plan, "layer_id").items():
        layer = Layer.of(tiles, dats, work_dir, archive_root)
        try:
            rows += convert_layer(layer, settings, stop=stop)
        except FAULTS as error:
            log.error("%s: %s", layer_id, error)  # noqa: TRY400 - reported in full in the table
            reasons = [str(error), *[""] * (len(tiles) - 1)]
            pairs = zip(tiles, reasons, strict=True)
            rows += [_row(tile, "failed", reason) for tile, reason in pairs]
    dats.close()
    return rows
