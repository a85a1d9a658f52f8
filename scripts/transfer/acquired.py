"""Acquired: what a folder of `.dat` files says of its volume: names, and a sample of headers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from scripts.lib.job import UserError
from scripts.lib.names import LayerName
from scripts.transfer import dat, layers, scan, twice
from scripts.transfer.layers import DatFile

MOST_HEADERS = 200  # read, spread evenly over the layers: some seconds on a network file system
ODD_SHARE = 0.5  # of the layers: a cell that fewer of them have may be none of the grid
_STEP_NM = (0.5, 500.0)  # growth of the working distance from layer to layer that is one of milling

Layers = Mapping[LayerName, Sequence[DatFile]]
Headers = Mapping[LayerName, Mapping[tuple[int, int], Mapping[str, Any]]]  # by row and column


@dataclass(frozen=True)
class Acquired:
    """Facts of an acquisition; None is what no header says."""

    scope: str
    rows: int
    columns: int
    layers: int
    tiles: int
    bytes: int
    first: str
    last: str
    last_time: datetime
    odd_cells: Mapping[str, int]  # layers that have a cell which most have not
    width_px: int
    height_px: int
    pixel_nm: float
    overlap_px: int | None
    channels: int
    bits: int
    detectors: Sequence[str]
    samples: Sequence[str]
    texts: Mapping[str, str]  # of the first header
    depth_nm: float | None  # growth of the working distance from layer to layer
    unreadable: Sequence[str]
    read: int
    twice: str = ""  # tiles that two files have the name of

    @property
    def has_positions(self) -> bool:
        """Tell whether the headers hold stage positions.

        Returns
        -------
        bool
            False before version 9.
        """
        return "FirstX" in self.texts


def look(root: Path, scope: str | None) -> Acquired:
    """Look at a folder: all names, and headers of a sample of tiles.

    Parameters
    ----------
    root
        Folder of the ``.dat`` files.
    scope
        Serial of the microscope, where files of several lie there; None = there is one.

    Returns
    -------
    Acquired
        The facts.

    Raises
    ------
    UserError
        When there is no readable tile, or there are tiles of several microscopes.
    """
    found = _layers(root, scope)
    headers, unreadable = _headers(root, found)
    if not headers:
        raise UserError(f"{root}: no header of its .dat files can be read; {unreadable[0]}")
    copies = twice.pairs(found)
    other = {file.found.path for _, file in copies}
    once = {n: [f for f in tiles if f.found.path not in other] for n, tiles in found.items()}
    return replace(_facts(once, headers, unreadable), twice=twice.sentence(root, copies))


def _layers(root: Path, scope: str | None) -> Layers:
    """Group the files of one microscope; anything else is an error of one line."""
    if not root.is_dir():
        raise UserError(f"{root}: expected a folder of .dat files, found {_instead(root)}")
    files, misfits = layers.name_files(scan.dat_files(root))
    if not files:
        other = f"; e.g. {misfits[0].reason}" if misfits else ""
        text = "expected files like Merlin-6284_24-03-07_101112_0-0-0.dat in it or below"
        found = f"found {len(misfits)} .dat files of other names{other}"
        raise UserError(f"{root}: {text}, {found}, and no TIFF, MRC, OME-Zarr or N5")
    scopes = Counter(file.name.layer.scope for file in files)
    wanted = scope or next(iter(scopes))
    if len(scopes) > 1 and scope is None or wanted not in scopes:
        listed = ", ".join(f"{name} ({count:,} files)" for name, count in scopes.most_common())
        raise UserError(f"{root}: name one of these microscopes with --scope: {listed}")
    return layers.group(file for file in files if file.name.layer.scope == wanted)


def _instead(root: Path) -> str:
    return "a file" if root.exists() else "nothing of that name"


def _headers(root: Path, found: Layers) -> tuple[Headers, list[str]]:
    """Read the first tiles of layers spread over the volume, and whole layers at its ends."""
    names = list(found)
    at = np.unique(np.linspace(0, len(names) - 1, min(len(names), MOST_HEADERS)).round())
    ends = {names[0], names[len(names) // 2], names[-1]}
    headers: dict[LayerName, dict[tuple[int, int], Mapping[str, Any]]] = {}
    unreadable = []
    for layer in (names[int(k)] for k in at):
        for file in found[layer] if layer in ends else found[layer][:1]:
            try:
                header, _ = dat.inspect(root / file.found.path)
            except dat.DatError as error:
                unreadable.append(str(error))
                continue
            headers.setdefault(layer, {})[file.name.row, file.name.column] = header
    return headers, unreadable


def _facts(found: Layers, headers: Headers, unreadable: Sequence[str]) -> Acquired:
    every = [header for cells in headers.values() for header in cells.values()]
    files = [file for layer in found.values() for file in layer]
    cells = Counter((file.name.row, file.name.column) for file in files)
    first, last = min(found, key=_order), max(found, key=_order)
    ids = Counter(str(header["SampleID"]) for header in every if header.get("SampleID"))
    start = every[0]
    return Acquired(
        scope=first.scope,
        rows=max(row for row, _ in cells) + 1,
        columns=max(column for _, column in cells) + 1,
        layers=len(found),
        tiles=len(files),
        bytes=sum(file.found.size for file in files),
        first=Path(found[first][0].found.path).name,
        last=Path(found[last][-1].found.path).name,
        last_time=last.time,
        odd_cells={f"{r}-{c}": n for (r, c), n in cells.items() if n < ODD_SHARE * len(found)},
        width_px=_usual(every, "XResolution"),
        height_px=_usual(every, "YResolution"),
        pixel_nm=round(float(np.median([header["PixelSize"] for header in every])), 2),
        overlap_px=_overlap(headers),
        channels=_usual(every, "ChanNum"),
        bits=dat.pixel_dtype(start).itemsize * 8,
        detectors=[str(start[f"Det{x}"]) for x in "ABCD" if start.get(f"Det{x}")],
        samples=[name for name, _ in ids.most_common()],
        texts={name: str(value) for name, value in start.items()},
        depth_nm=_depth(found, headers),
        unreadable=unreadable,
        read=len(every),
    )


def _usual(headers: Sequence[Mapping[str, Any]], name: str) -> int:
    return int(Counter(header[name] for header in headers).most_common(1)[0][0])


def _overlap(headers: Headers) -> int | None:
    """Return the median overlap of neighbouring tiles in px; None for one tile or old headers."""
    overlaps = []
    for cells in headers.values():
        for (row, column), header in cells.items():
            for beside, first, size in (
                ((row, column + 1), "FirstX", "XResolution"),
                ((row + 1, column), "FirstY", "YResolution"),
            ):
                other = cells.get(beside)
                if other is not None and first in header:
                    overlaps.append(header[first] + header[size] - other[first])
    return round(float(np.median(overlaps))) if overlaps else None


def _depth(found: Layers, headers: Headers) -> float | None:
    """Return the growth of the working distance in nm a layer, which the milling gives it.

    It is stored to 0.24 nm, and refocusing makes it jump: hence the median of many steps.
    """
    at = {layer: number for number, layer in enumerate(found)}
    known = [(at[layer], _any(cells)["WD"]) for layer, cells in headers.items()]
    steps = [
        (high - low) * 1e6 / (there - here)
        for (here, low), (there, high) in zip(known, known[1:], strict=False)
    ]
    depth = float(np.median(steps)) if len(steps) > 4 else 0.0
    return depth if _STEP_NM[0] < depth < _STEP_NM[1] else None


def _any(cells: Mapping[tuple[int, int], Mapping[str, Any]]) -> Mapping[str, Any]:
    return cells[min(cells)]


def _order(layer: LayerName) -> tuple[str, str]:
    return layer.order
