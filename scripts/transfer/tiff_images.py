"""TIFF: single slices, stacks, BigTIFF, OME-TIFF and ImageJ's, by tifffile."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from scripts.transfer.dat import DatError
from scripts.transfer.images import Facts, plausible

NM = {
    **{"pm": 1e-3, "nm": 1.0, "mm": 1e6, "cm": 1e7, "m": 1e9, "inch": 2.54e7},
    **dict.fromkeys(("um", "µm", "μm", "\\u00B5m", "micron", "microns"), 1e3),
    **dict.fromkeys(("Å", "Å", "A", "angstrom"), 0.1),
}
_PER_UNIT_NM = {2: 2.54e7, 3: 1e7}  # ResolutionUnit: inch, centimetre
_ZEISS = ("ap_pixel_size", "ap_image_pixel_size")
# what tifffile raises on files that are none, or torn
_BROKEN = (
    *(tifffile.TiffFileError, OSError, ValueError, KeyError, IndexError, TypeError),
    *(AttributeError, struct.error, RuntimeError, ZeroDivisionError),
)
_WAYS = {"Y", "X", "C", "S"}
_BUFFER_BYTES = 1 << 20  # of packed strips that are in memory at one time


class TiffImages:
    """The images of a TIFF; ImageJ and OME say which axis is which, else pages are slices.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = tifffile.TiffFile(path, _multifile=False)
        except _BROKEN as error:
            raise self._broken(error) from error
        try:
            self._series, *self._more = self._alike()
            self.facts = self._facts()
        except DatError:
            self.close()
            raise
        except _BROKEN as error:
            self.close()
            raise self._broken(error) from error

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def plane(self, index: int) -> NDArray[Any]:
        """Read the slice `index`: (y, x, channel), of the type of the file.

        Parameters
        ----------
        index
            Number of the slice, from 0.

        Returns
        -------
        ndarray
            (y, x, channel), type of the file.
        """
        self.facts.require_plane(index, self._path.name)
        try:
            at, inner = divmod(index, self._slices)
            series = [self._series, *self._more][at]
            pages = [self._page(series, number) for number in self._pages_of(inner)]
        except DatError:
            raise
        except _BROKEN as error:
            raise self._broken(error) from error
        return pages[0][:, :, np.newaxis] if len(pages) == 1 else np.stack(pages, axis=-1)

    def _broken(self, error: Exception) -> DatError:
        return DatError(f"{self._path.name}: not readable as TIFF: {str(error).splitlines()[0]}")

    # -----------------------------------------------------------------------------------------
    # what is where
    # -----------------------------------------------------------------------------------------

    def _facts(self) -> Facts:
        axes, shape = self._series.axes, self._series.shape
        size = dict(zip(axes, shape, strict=True))
        if size.get("S", 1) > 1:
            raise DatError(
                f"{self._path.name}: expected images of one sample a pixel, found colours "
                f"({size['S']} samples): save them in grey, in Fiji by Image > Type > 8-bit"
            )
        if axes.replace("S", "")[-2:] != "YX":
            raise DatError(f"{self._path.name}: expected images of axes y, x, found axes {axes}")
        self._slices = math.prod(n for name, n in size.items() if name not in _WAYS)
        pixel, z = self._sizes()
        return Facts(
            planes=self._slices * (1 + len(self._more)),
            channels=size.get("C", 1),
            height=size["Y"],
            width=size["X"],
            dtype=np.dtype(self._series.dtype),
            pixel_nm=plausible(pixel),
            z_nm=plausible(z),
            position_nm=self._position(),
        )

    def _alike(self) -> list[Any]:
        """Return the series that are no preview: pages that were written one by one are series."""
        first, *others = self._file.series
        area = math.prod(first.shape[-2:])
        found = [first, *(s for s in others if 2 * math.prod(s.shape[-2:]) >= area)]
        kinds = list(dict.fromkeys(f"{s.shape[-1]} x {s.shape[-2]} {s.dtype}" for s in found))
        if len(kinds) > 1 or len({s.shape for s in found}) > 1:
            expected, said = "pages of one size and type", ", ".join(kinds[:3])
            raise DatError(f"{self._path.name}: expected {expected}, found {said}")
        if self._file.is_ome and len(found) > 1:
            raise DatError(f"{self._path.name}: expected one image in OME-XML, found {len(found)}")
        return found

    def _pages_of(self, index: int) -> list[int]:
        """Return the pages of the channels of a slice, in the order of the axes."""
        axes = [(name, n) for name, n in zip(self._series.axes, self._series.shape, strict=True)]
        outer = [(name, n) for name, n in axes if name not in ("Y", "X", "S")]
        slices = [n for name, n in outer if name != "C"]
        at = iter(np.unravel_index(index, slices) if slices else ())
        fixed = [None if name == "C" else int(next(at)) for name, _ in outer]
        shape = [n for _, n in outer]
        found = []
        for channel in range(self.facts.channels):
            place = [channel if each is None else each for each in fixed]
            found.append(int(np.ravel_multi_index(place, shape)) if place else 0)
        return found

    # -----------------------------------------------------------------------------------------
    # pixels
    # -----------------------------------------------------------------------------------------

    def _page(self, series: Any, number: int) -> NDArray[Any]:  # noqa: ANN401 - TiffPageSeries
        """Read one page: (y, x), native byte order, in memory of its own."""
        start = series.dataoffset
        shape = (self.facts.height, self.facts.width)
        if start is not None:  # one piece: read where it belongs, without tifffile's buffers
            return self._piece(start + number * math.prod(shape) * self.facts.dtype.itemsize, shape)
        page = series.pages[number]
        if page is None:
            raise DatError(f"{self._path.name}: page {number} is missing")
        self._check_whole(page, number)
        # the strips of a page one after the other: jobs have one core
        image: NDArray[Any] = page.asarray(maxworkers=1, buffersize=_BUFFER_BYTES)
        return image.reshape(shape)

    def _piece(self, start: int, shape: tuple[int, int]) -> NDArray[Any]:
        image = np.empty(shape, self.facts.dtype.newbyteorder("="))
        with self._path.open("rb") as stream:
            stream.seek(start)
            found = stream.readinto(image.data.cast("B"))
        if found != image.nbytes:
            raise self._truncated(start + image.nbytes)
        if self._file.byteorder != ("<" if np.little_endian else ">"):
            image.byteswap(inplace=True)
        return image

    def _check_whole(self, page: Any, number: int) -> None:  # noqa: ANN401 - TiffPage or TiffFrame
        """Refuse pages with strips that were never written, or lie beyond the end of the file."""
        if not page.dataoffsets or not all(page.databytecounts):
            raise DatError(f"{self._path.name}: page {number} has strips without data")
        ends = zip(page.dataoffsets, page.databytecounts, strict=False)
        end = max(offset + count for offset, count in ends)
        if end > self._file.filehandle.size:
            raise self._truncated(end)

    def _truncated(self, expected: int) -> DatError:
        size = self._file.filehandle.size
        return DatError(
            f"{self._path.name}: truncated: expected at least {expected} bytes, found {size}"
        )

    # -----------------------------------------------------------------------------------------
    # tags
    # -----------------------------------------------------------------------------------------

    def _sizes(self) -> tuple[float | None, float | None]:
        """Return pixel size and thickness in nm: the most explicit tag that has a likely one."""
        found = [self._ome_sizes(), self._imagej_sizes(), (self._vendor_size(), None)]
        found.append((self._resolution_nm(_PER_UNIT_NM.get(self._tag("ResolutionUnit"))), None))
        pixel = next((size for size, _ in found if plausible(size)), None)
        return pixel, next((z for _, z in found if plausible(z)), None)

    @cached_property
    def _ome(self) -> Mapping[str, Any]:
        """``Pixels`` of the first image of the OME-XML; {} where there is none."""
        text = self._file.ome_metadata if self._file.is_ome else None
        images = tifffile.xml2dict(text)["OME"]["Image"] if text else {}
        first: Mapping[str, Any] = images[0] if isinstance(images, list) else images
        pixels: Mapping[str, Any] = first.get("Pixels", {})
        return pixels

    def _ome_sizes(self) -> tuple[float | None, float | None]:
        pixel, z = (_length(self._ome, f"PhysicalSize{axis}", "µm") for axis in "XZ")
        return pixel, z

    def _position(self) -> tuple[float, float] | None:
        plane = self._ome.get("Plane", {})
        first = plane[0] if isinstance(plane, list) else plane
        x, y = (_length(first, f"Position{axis}", "reference frame") for axis in "XY")
        return None if x is None or y is None else (x, y)

    def _imagej_sizes(self) -> tuple[float | None, float | None]:
        said = (self._file.imagej_metadata or {}) if self._file.is_imagej else {}
        unit = NM.get(str(said.get("unit", "")))
        spacing = said.get("spacing")
        z = float(spacing) * unit if unit and isinstance(spacing, (int, float)) else None
        return self._resolution_nm(unit), z

    def _vendor_size(self) -> float | None:
        """Return the pixel size that Thermo Fisher (metres) or Zeiss (with a unit) writes."""
        fei, zeiss = self._file.fei_metadata or {}, self._file.sem_metadata or {}
        for section in ("EScan", "Scan", "IScan"):
            width = _section(fei, section).get("PixelWidth")
            if isinstance(width, (int, float)) and width:
                return float(width) * 1e9
        for name in _ZEISS:
            value = zeiss.get(name, ())
            if len(value) == 3 and str(value[2]) in NM:
                return float(value[1]) * NM[str(value[2])]
        return None

    def _resolution_nm(self, unit_nm: float | None) -> float | None:
        pixels, units = self._tag("XResolution") or (0, 1)
        return units / pixels * unit_nm if unit_nm and pixels else None

    def _tag(self, name: str) -> Any:  # noqa: ANN401 - any value of a tag
        return self._file.pages.first.tags.valueof(name)


def _section(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = said.get(name, {})
    return found if isinstance(found, Mapping) else {}


def _length(said: Mapping[str, Any], name: str, usual: str) -> float | None:
    unit = NM.get(str(said.get(f"{name}Unit", usual)))
    value = said.get(name)
    return float(value) * unit if unit and isinstance(value, (int, float)) else None
