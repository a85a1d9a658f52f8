"""How tiles are corrected and masked, by range of z: section ``ingest`` of the config."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from scripts.lib import transforms
from scripts.lib.service.records import Leaf

CORRECTION = "FIBSEM_correct"
STRIPS = ("left_px", "top_px", "right_px", "bottom_px")
Ranges = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None  # one value, or one per range of z


class _Ranged(Protocol):
    @property
    def z_first(self) -> float: ...
    @property
    def z_last(self) -> float: ...


@dataclass(frozen=True)
class Correction:
    """The shared scan correction of the layers z_first to z_last, inclusive."""

    z_first: float
    z_last: float
    leaf: Leaf


@dataclass(frozen=True)
class Picture:
    """A mask picture of the config: where its copy lies, and what is known of it."""

    file: str  # relative to the working directory, named by its content
    width: int
    height: int


@dataclass(frozen=True)
class Mask:
    """What of the tiles of z_first to z_last is not used: strips (px) at the edges, or a picture.

    ``row`` and ``column`` narrow it to cells; None: all.
    """

    z_first: float
    z_last: float
    left_px: int = 0
    top_px: int = 0
    right_px: int = 0
    bottom_px: int = 0
    row: int | None = None
    column: int | None = None
    image: str | None = None  # as the config names it
    picture: Picture | None = None

    @property
    def narrow(self) -> int:
        """Return how many of row and column are named; the entry with more of them counts.

        Returns
        -------
        int
            0 to 2.
        """
        return (self.row is not None) + (self.column is not None)

    def meets(self, other: Mask) -> bool:
        """Tell whether there are cells that both are of, in z that both hold.

        Parameters
        ----------
        other
            Another entry.

        Returns
        -------
        bool
            True when a tile could have either.
        """
        apart = self.z_last < other.z_first or other.z_last < self.z_first
        sides = ((self.row, other.row), (self.column, other.column))
        return not apart and all(None in side or side[0] == side[1] for side in sides)

    def __str__(self) -> str:
        """Name what it hides, and where."""
        strips = ((name, getattr(self, name)) for name in STRIPS)
        shown = [f"{name.removesuffix('_px')} {px} px" for name, px in strips if px]
        cell = [
            f"{n} {v}" for n, v in (("row", self.row), ("column", self.column)) if v is not None
        ]
        return ", ".join([*cell, *([self.image] if self.image else shown)])


@dataclass(frozen=True)
class Offset:
    """What is added to the stage positions (px) of the tiles of z_first to z_last."""

    z_first: float
    z_last: float
    x_px: int
    y_px: int


@dataclass(frozen=True)
class Exchange:
    """Two cells (row, column) whose images are under each other's name from z_first to z_last."""

    z_first: float
    z_last: float
    cells: tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Settings:
    """How tiles are placed, corrected and masked; a z outside of all ranges has none."""

    corrections: tuple[Correction, ...] = ()
    masks: tuple[Mask, ...] = ()
    tile_overlap_um: float = 2.0  # for headers without FirstX and FirstY (before version 9)
    offsets: tuple[Offset, ...] = ()
    exchanges: tuple[Exchange, ...] = ()

    @staticmethod
    def of(
        scan_correction: Ranges,
        mask: Ranges,
        tile_overlap_um: float,
        stage_offsets: Ranges = None,
        pictures: Mapping[str, Picture] | None = None,
        exchange: Sequence[Mapping[str, Any]] = (),
    ) -> Settings:
        """Read five keys of section `ingest` of the config.

        Parameters
        ----------
        scan_correction
            One transform, or one for each range of z; None: none.
        mask
            Strips in px or a picture, or some for each range of z and cell; None: none.
        tile_overlap_um
            Overlap of neighbouring tiles, µm.
        stage_offsets
            What is added to stage positions, px, for each range of z; None: nothing.
        pictures
            Masks that are pictures, by the name in `mask`.
        exchange
            Pairs of cells whose images are exchanged, for ranges of z.

        Returns
        -------
        Settings
            Unchecked; see `problems`.
        """
        corrections = tuple(
            Correction(*_range(value), _leaf(index, value))
            for index, value in enumerate(_listed(scan_correction))
        )
        masks = tuple(
            _mask(value, pictures or {})
            for value in _listed(mask)
            # a strip of width 0 is stated, an absent one is none
            if any(value.get(name) is not None for name in (*STRIPS, "image"))
        )
        offsets = tuple(
            Offset(*_range(value), value.get("x_px") or 0, value.get("y_px") or 0)
            for value in _listed(stage_offsets)
        )
        exchanges = tuple(Exchange(*_range(value), _cells(value)) for value in exchange)
        return Settings(corrections, masks, tile_overlap_um, offsets, exchanges)

    def correction_at(self, z: float) -> Leaf | None:
        """Return the scan correction of a layer.

        Parameters
        ----------
        z
            The layer.

        Returns
        -------
        Leaf or None
            The first whose range holds z; None where there is none.
        """
        found = _at(self.corrections, z)
        return found.leaf if isinstance(found, Correction) else None

    def masks_at(self, z: float) -> tuple[Mask, ...]:
        """Return the masks of a layer.

        Parameters
        ----------
        z
            The layer.

        Returns
        -------
        tuple of Mask
            Of one cell, of a row or column, of all: the first that holds for a cell is its mask.
        """
        found = [each for each in self.masks if each.z_first <= z <= each.z_last]
        return tuple(sorted(found, key=lambda each: -each.narrow))

    def problems(self) -> Iterator[str]:
        """Say what is wrong with the ranges and the transforms.

        Yields
        ------
        str
            A line for each.
        """
        yield from _overlaps("ingest.scan_correction", self.corrections)
        yield from _mask_problems(self.masks)
        yield from _overlaps("ingest.stage_offsets", self.offsets)
        for a, b in itertools.combinations(self.exchanges, 2):
            if {*a.cells} & {*b.cells} and not (a.z_last < b.z_first or b.z_last < a.z_first):
                yield (
                    f"ingest.exchange: two entries name a cell of z {max(a.z_first, b.z_first):g};"
                    " each tile is exchanged with one other"
                )
        for correction in self.corrections:
            try:
                transforms.parse(correction.leaf.class_name, correction.leaf.data)
            except ValueError as error:
                yield f"ingest.scan_correction: {error}"


def _listed(value: Ranges) -> list[Mapping[str, Any]]:
    if value is None:
        return []
    return [value] if isinstance(value, Mapping) else list(value)


def _range(value: Mapping[str, Any]) -> tuple[float, float]:
    first, last = value.get("z_first"), value.get("z_last")
    return -math.inf if first is None else first, math.inf if last is None else last


def _cells(value: Mapping[str, Any]) -> tuple[tuple[int, int], tuple[int, int]]:
    (row, column), (other_row, other_column) = (
        map(int, cell.split(",")) for cell in value["cells"]
    )
    return (row, column), (other_row, other_column)


def _leaf(index: int, value: Mapping[str, Any]) -> Leaf:
    """Name the transform FIBSEM_correct, FIBSEM_correct_b … FIBSEM_correct_z, FIBSEM_correct_27."""
    suffix = "" if index == 0 else f"_{chr(97 + index)}" if index < 26 else f"_{index + 1}"
    return Leaf(value["class_name"], value["data"], f"{CORRECTION}{suffix}")


def _mask(value: Mapping[str, Any], pictures: Mapping[str, Picture]) -> Mask:
    image = value.get("image")
    return Mask(
        *_range(value),
        **{strip: value.get(strip) or 0 for strip in STRIPS},
        row=value.get("row"),
        column=value.get("column"),
        image=image,
        picture=None if image is None else pictures.get(image),
    )


def _mask_problems(masks: Sequence[Mask]) -> Iterator[str]:
    for each in masks:
        if each.image and any(getattr(each, strip) for strip in STRIPS):
            yield (
                f"ingest.mask: expected either image or strips in an entry, found {each.image} and"
                " strips: paint them black in the image"
            )
        if each.z_first > each.z_last:
            yield f"ingest.mask: z_first {each.z_first:g} is above z_last {each.z_last:g}"
    for a, b in itertools.combinations(masks, 2):
        if a.narrow == b.narrow and a.meets(b):
            yield (
                f"ingest.mask: the entries ({a}) of z {a.z_first:g} to {a.z_last:g} and ({b}) of z"
                f" {b.z_first:g} to {b.z_last:g} overlap; each tile has one or none (an entry with"
                " row and column counts before one with less)"
            )


def mask_of(masks: Sequence[Mask], row: int, column: int) -> Mask | None:
    """Return the mask of a cell.

    Parameters
    ----------
    masks
        Of `Settings.masks_at`.
    row, column
        The cell.

    Returns
    -------
    Mask or None
        None where there is none.
    """
    fits = (m for m in masks if m.row in (None, row) and m.column in (None, column))
    return next(fits, None)


def _at(ranges: Sequence[_Ranged], z: float) -> _Ranged | None:
    return next((each for each in ranges if each.z_first <= z <= each.z_last), None)


def _overlaps(key: str, ranges: Sequence[_Ranged]) -> Iterator[str]:
    for each in ranges:
        if each.z_first > each.z_last:
            yield f"{key}: z_first {each.z_first:g} is above z_last {each.z_last:g}"
    ordered = sorted(ranges, key=lambda each: (each.z_first, each.z_last))
    for a, b in zip(ordered, ordered[1:], strict=False):
        if b.z_first <= a.z_last:
            yield (
                f"{key}: the ranges z {a.z_first:g} to {a.z_last:g} and {b.z_first:g} to "
                f"{b.z_last:g} overlap; each z has one or none"
            )
