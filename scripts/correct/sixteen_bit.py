"""Step 16bit: show the raw 16-bit data of a channel in place of the 8-bit images; transforms stay.

The raw file of a tile lies in the working directory, or in the archive (`transfer.archive_root`).
The plan lists every layer's file, checked to exist, with its size; with `restore` the archived ones
are copied into the working directory first (an archive on tape is slow and read once), else they
are read where they are.

Grey values: the microscope's counts are signed; 16-bit images are not. A count c becomes c + 32768,
so every count has its place and none wraps around (in the reference -1 becomes 65535). Dark and
bright are as recorded, the reverse of the 8-bit images, unless `invert` turns them over. Layers
whose 8-bit images run the other way than most (`transfer.keep_contrast`: the detector's contrast
was flipped) are turned over against the others, so that all agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np

from scripts.correct.evidence import Evidence, Found
from scripts.lib.arrays import Array, Bool
from scripts.lib.drawing import filters, pixels
from scripts.lib.files import file_url, path_of_url
from scripts.lib.job import UserError
from scripts.lib.service.records import TileSet, TileSpec

TOP = 65535.0
SIGNED = 32768
PLAN_COLUMNS = ("z", "image", "raw", "found", "bytes", "restore")
RESTORED = "h5/restored"
_URL = re.compile(r"file://(?P<path>[^?]*)\?dataSet=/(?P<key>[^/&]+)/")
_FOLDER = re.compile(r"(?P<root>.*/|)h5/align/(?P<layer>.+)\.uint8\.h5$")
_SHOWN = 5  # names in a message


@dataclass(frozen=True)
class Raw:
    """The raw file of one layer."""

    z: int
    image: str  # path of the 8-bit file, as in the tiles' URLs
    raw: str  # where the raw file is read from in the end
    found: str  # where it is now
    bytes: int
    restore: bool


def plan(
    tiles: TileSet,
    *,
    restore: bool,
    archive_root: str | None,
    taken: Mapping[str, str] = MappingProxyType({}),
) -> list[Raw]:
    """Find the raw file of every layer, in the working directory before the archive.

    Parameters
    ----------
    tiles
        Of the stack before the step.
    restore
        Whether archived files are copied back.
    archive_root
        Folder of the archive, if any.
    taken
        Raw file by image file, of layers that are taken over.

    Returns
    -------
    list
        One file per layer, in order of z.

    Raises
    ------
    UserError
        Names the layers whose raw file is nowhere, and where it was looked for.
    """
    out, missing = [], []
    images = {path_of_url(_parts(tile)[0]): round(tile.z) for tile in tiles.tiles}
    for image, z in sorted(images.items(), key=lambda item: (item[1], item[0])):
        root, layer, here, away = _places(image, archive_root, taken)
        found = next((path for path in (here, away) if path and path.is_file()), None)
        if found is None:
            missing.append(f"z {z}: {here}" + (f" or {away}" if away else ""))
            continue
        copied = restore and found == away
        raw = Path(f"{root}{RESTORED}/{layer}.raw.h5") if copied else found
        out.append(Raw(z, image, str(raw), str(found), found.stat().st_size, copied))
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise UserError(
            f"16bit: {len(missing)} raw files are missing: {'; '.join(missing[:_SHOWN])}{more};"
            " bring them back, or correct transfer.archive_root"
        )
    return out


def estimate(tiles: TileSet, settings: Mapping[str, Any], evidence: Evidence) -> Found:
    """Check every data set of every channel, and list the paths.

    Parameters
    ----------
    tiles
        Of the stack before the step.
    settings
        Section ``correct.16bit``.
    evidence
        The plan.

    Returns
    -------
    Found
        Arrays: ``image``, ``raw`` paths of each layer; ``z``, ``black``, ``white``: the 16-bit
        values that became 0 and 255 in the 8-bit image of the layer (NaN: not written there);
        ``turned``: whether it is turned over against the other layers.

    Raises
    ------
    UserError
        When a channel of a tile is missing in its file, or files disagree about the type.
    """
    rows = evidence.raw_plan
    keys: dict[str, set[str]] = {}
    for tile in tiles.tiles:
        path, key = _parts(tile)
        keys.setdefault(path_of_url(path), set()).add(key)
    channels = settings["channels"]
    kinds = {kind for row in rows for kind in _kinds(row.raw, sorted(keys[row.image]), channels)}
    if len(kinds) > 1:
        raise UserError(f"16bit: raw data are of several types: {', '.join(sorted(kinds))}")
    signed = "int16" in kinds
    invert = bool(settings["invert"])
    ranges = np.array([pixels.contrast_range(row.image) for row in rows]).reshape(len(rows), 2)
    shifted, turned = ranges + (SIGNED if signed else 0), _turned(ranges)
    black, white = np.where((turned != invert)[:, None], TOP - shifted, shifted).T
    parameters = {
        "channels": list(channels),
        "signed": signed,
        "invert": invert,
        "files": len(rows),
        "bytes": sum(row.bytes for row in rows),
        "restored_bytes": sum(row.bytes for row in rows if row.restore),
        "turned_layers": int(turned.sum()),
    }
    arrays = {
        "image": np.array([row.image for row in rows]),
        "raw": np.array([row.raw for row in rows]),
        "z": np.array([row.z for row in rows]),
        "black": black,
        "white": white,
        "turned": turned,
    }
    return Found(parameters, arrays)


def apply(tiles: TileSet, found: Found) -> TileSet:
    """Replace the images of the tiles by the raw data of the first channel.

    Parameters
    ----------
    tiles
        Of the stack before the step.
    found
        Of `estimate`.

    Returns
    -------
    TileSet
        Of the next stack.
    """
    columns = (found.arrays[name].tolist() for name in ("image", "raw"))
    raw = dict(zip(*columns, strict=True))
    channel, (usual, other) = found.parameters["channels"][0], _both_ways(found.parameters)
    # parameters of earlier versions have no such array
    turned = set(found.arrays["image"][found.arrays.get("turned", [])].tolist())

    def _deep(tile: TileSpec) -> TileSpec:
        path, key = _parts(tile)
        url = f"{file_url(raw[path_of_url(path)])}?dataSet=/{key}/c{channel}"
        out = replace(tile, image_url=url, min_intensity=0.0, max_intensity=TOP)
        own = other if path_of_url(path) in turned else usual
        return filters.appended(out, own) if own else out

    return replace(tiles, tiles=tuple(_deep(tile) for tile in tiles.tiles))


def of_channel(tiles: TileSet, found: Found, channel: int) -> TileSet:
    """Replace the images of a finished stack by another channel's data; transforms are reused.

    Filters that were measured on the values of the first channel (shading, intensity) are left out;
    those that set frequencies or lengths (destreak, background) hold for any channel.

    Parameters
    ----------
    tiles
        Of the finished stack.
    found
        Of `estimate`.
    channel
        Number of the channel.

    Returns
    -------
    TileSet
        Of the channel's stack.
    """
    both = _both_ways(found.parameters)
    measured = (filters.SHADING, filters.INTENSITY_8, filters.INTENSITY_16)

    def _other(tile: TileSpec) -> TileSpec:
        present = filters.filters_of(tile)
        # this step comes before all that measure: its own filter is the first, if it made one
        own = [each for each in present[:1] if each in both]
        kept = [each for each in present[len(own) :] if each.class_name not in measured]
        url = re.sub(r"/c\d+$", f"/c{channel}", tile.image_url)
        return filters.with_filters(replace(tile, image_url=url), [*own, *kept])

    return replace(tiles, tiles=tuple(_other(tile) for tile in tiles.tiles))


def _turned(ranges: Array) -> Bool:
    """Mark the (n, 2) contrast ranges that run the other way than most, of a tie than the first."""
    known: Bool = np.isfinite(ranges).all(axis=1) & (ranges[:, 0] != ranges[:, 1])
    inverted = ranges[:, 0] > ranges[:, 1]
    if not known.any():
        return known
    ways = inverted[known]
    usual = ways[0] if 2 * ways.sum() == len(ways) else 2 * ways.sum() > len(ways)
    turned: Bool = known & (inverted != usual)
    return turned


def _both_ways(
    parameters: Mapping[str, Any],
) -> tuple[filters.Filter | None, filters.Filter | None]:
    """Return the filter of most tiles, and that of tiles which are turned over against them."""
    signed, invert = bool(parameters["signed"]), bool(parameters["invert"])
    usual = _counts_filter(signed=signed, invert=invert)
    return usual, _counts_filter(signed=signed, invert=not invert)


def _counts_filter(*, signed: bool, invert: bool) -> filters.Filter | None:
    """Return the filter that turns stored counts into 16-bit grey values; None when they are."""
    start = SIGNED if signed else 0
    if not (start or invert):
        return None
    gain, offset = (-1.0, TOP - start) if invert else (1.0, float(start))
    return filters.intensity(np.array([[[gain, offset / TOP]]]), TOP)


def rows_of(table: Iterable[Mapping[str, str]]) -> tuple[Raw, ...]:
    """Read the rows of a plan.

    Parameters
    ----------
    table
        Rows of ``correct/16bit_plan.tsv``.

    Returns
    -------
    tuple
        One file per layer.
    """
    return tuple(
        Raw(int(r["z"]), r["image"], r["raw"], r["found"], int(r["bytes"]), r["restore"] == "1")
        for r in table
    )


def _parts(tile: TileSpec) -> tuple[str, str]:
    """Path of the image file, as in the URL, and the tile's group in it."""
    match = _URL.match(tile.image_url)
    if match is None:
        raise UserError(
            f"16bit: tile {tile.tile_id} has image URL {tile.image_url!r}; expected the 8-bit HDF5"
            " of this workflow, file://…/h5/align/….uint8.h5?dataSet=/0-0-0/mipmap.0&z=0"
        )
    return match["path"], match["key"]


def _places(
    image: str, archive_root: str | None, taken: Mapping[str, str]
) -> tuple[str, str, Path, Path | None]:
    """Return working directory, layer, and where its raw file may be: there, and in an archive."""
    if image in taken:  # another pipeline's: read where it is, or copied
        layer = Path(image).name.removesuffix(".uint8.h5")
        raw = Path(taken[image]) if taken[image] else Path(f"takeover.raw_h5/{layer}")
        return f"{Path.cwd()}/", layer, raw, raw
    root, layer = _layer(image)
    here = Path(f"{root}h5/raw/{layer}.raw.h5")
    away = Path(archive_root) / f"{layer}.raw-archive.h5" if archive_root else None
    return root, layer, here, away


def _layer(image: str) -> tuple[str, str]:
    match = _FOLDER.match(image)
    if match is None:
        raise UserError(f"16bit: image file {image}: expected …/h5/align/….uint8.h5")
    return match["root"], match["layer"]


def _kinds(path: str, keys: Sequence[str], channels: Sequence[int]) -> set[str]:
    """Check that the data sets are there; gives the names of their types."""
    with h5py.File(path, "r") as file:
        wanted = [f"{key}/c{channel}" for key in keys for channel in channels]
        missing = [name for name in wanted if name not in file]
        if missing:
            raise UserError(
                f"16bit: {path} has no data set {', '.join(missing[:_SHOWN])}; channels of the"
                f" acquisition are missing: correct correct.16bit.channels, found {list(channels)}"
            )
        return {file[name].dtype.newbyteorder("=").name for name in wanted}
