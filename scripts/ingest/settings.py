"""How tiles are corrected and masked, by range of z: section ``ingest`` of the config."""

from __future__ import annotations

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
class Mask:
    """The strips (px) at the edges of the tiles of z_first to z_last that are not used."""

    z_first: float
    z_last: float
    left_px: int
    top_px: int
    right_px: int = 0
    bottom_px: int = 0


@dataclass(frozen=True)
class Offset:
    """What is added to the stage positions (px) of the tiles of z_first to z_last."""

    z_first: float
    z_last: float
    x_px: int
    y_px: int


@dataclass(frozen=True)
class Settings:
    """How tiles are placed, corrected and masked; a z outside of all ranges has none."""

    corrections: tuple[Correction, ...] = ()
    masks: tuple[Mask, ...] = ()
    tile_overlap_um: float = 2.0  # for headers without FirstX and FirstY (before version 9)
    offsets: tuple[Offset, ...] = ()

    @staticmethod
    def of(
        scan_correction: Ranges, mask: Ranges, tile_overlap_um: float, stage_offsets: Ranges = None
    ) -> Settings:
        """Read four keys of section `ingest` of the config.

        Parameters
        ----------
        scan_correction
            One transform, or one for each range of z; None: none.
        mask
            Strips in px, or some for each range of z; None: none.
        tile_overlap_um
            Overlap of neighbouring tiles, µm.
        stage_offsets
            What is added to stage positions, px, for each range of z; None: nothing.

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
            Mask(*_range(value), *(value.get(strip) or 0 for strip in STRIPS))
            for value in _listed(mask)
            # a strip of width 0 is stated, an absent one is none
            if any(value.get(strip) is not None for strip in STRIPS)
        )
        offsets = tuple(
            Offset(*_range(value), value.get("x_px") or 0, value.get("y_px") or 0)
            for value in _listed(stage_offsets)
        )
        return Settings(corrections, masks, tile_overlap_um, offsets)

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

    def mask_at(self, z: float) -> Mask | None:
        """Return the mask of a layer.

        Parameters
        ----------
        z
            The layer.

        Returns
        -------
        Mask or None
            The first whose range holds z; None where there is none.
        """
        found = _at(self.masks, z)
        return found if isinstance(found, Mask) else None

    def problems(self) -> Iterator[str]:
        """Say what is wrong with the ranges and the transforms.

        Yields
        ------
        str
            A line for each.
        """
        yield from _overlaps("ingest.scan_correction", self.corrections)
        yield from _overlaps("ingest.mask", self.masks)
        yield from _overlaps("ingest.stage_offsets", self.offsets)
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


def _leaf(index: int, value: Mapping[str, Any]) -> Leaf:
    """Name the transform FIBSEM_correct, FIBSEM_correct_b … FIBSEM_correct_z, FIBSEM_correct_27."""
    suffix = "" if index == 0 else f"_{chr(97 + index)}" if index < 26 else f"_{index + 1}"
    return Leaf(value["class_name"], value["data"], f"{CORRECTION}{suffix}")


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
