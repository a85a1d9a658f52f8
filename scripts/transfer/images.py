"""Images of other instruments: what a file of slices says of itself, and its planes one by one."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scripts.lib.arrays import Image
from scripts.transfer.dat import MOST_CHANNELS, DatError

TIFF, MRC, ZARR, N5 = "tiff", "mrc", "zarr", "n5"
# what a scanning electron microscope can have: tags beyond are those of a screen or a printer
PLAUSIBLE_NM = (0.1, 1000.0)
_MOST_OPEN = 32  # files: a stack of each cell of a grid
_DEPTHS = "uint8, int8, uint16 or int16"


@dataclass(frozen=True)
class Facts:
    """What a file says: lengths in nm, None where it does not; `position` of the first pixel."""

    planes: int
    channels: int
    height: int
    width: int
    dtype: np.dtype[Any]
    pixel_nm: float | None = None
    z_nm: float | None = None
    position_nm: tuple[float, float] | None = None

    def require_plane(self, index: int, name: str) -> None:
        """Refuse a slice that the file `name` does not have, by a `DatError`.

        Parameters
        ----------
        index
            Number of the slice, from 0.
        name
            The file's, for the message.

        Raises
        ------
        DatError
            Says how many there are.
        """
        if not 0 <= index < self.planes:
            raise DatError(f"{name}: slice {index} is asked for, found {self.planes}")


class Images(Protocol):
    """An opened file of slices."""

    @property
    def facts(self) -> Facts:
        """Return what the file says.

        Returns
        -------
        Facts
            Lengths in nm.
        """

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

    def close(self) -> None:
        """Let go of the file."""


def open_images(kind: str, path: Path, dataset: str | None) -> Images:
    """Open a file or container of slices.

    Parameters
    ----------
    kind
        ``tiff``, ``mrc``, ``zarr`` or ``n5``.
    path
        The file, or the folder of a container.
    dataset
        Array of a container; None: the first of its multiscales, or the container itself.

    Returns
    -------
    Images
        To be closed.

    Raises
    ------
    DatError
        When it cannot be read, or holds what is no image of 8 or 16 bits.
    """
    # each reader when it is needed: a transfer of .dat files loads none of them
    if kind == TIFF:
        from scripts.transfer.tiff_images import TiffImages

        images: Images = TiffImages(path)
    elif kind == MRC:
        from scripts.transfer.mrc_images import MrcImages

        images = MrcImages(path)
    else:
        from scripts.transfer.chunked_images import ChunkedImages

        images = ChunkedImages(kind, path, dataset)
    try:
        check(images.facts, path.name)
    except DatError:
        images.close()
        raise
    return images


def check(facts: Facts, name: str) -> None:
    """Refuse what cannot be a tile.

    Parameters
    ----------
    facts
        What the file says.
    name
        The file's, for the message.

    Raises
    ------
    DatError
        Says what is expected, and how to make it.
    """
    if facts.dtype.kind not in "ui" or facts.dtype.itemsize not in (1, 2):
        raise DatError(
            f"{name}: expected images of 8 or 16 bit ({_DEPTHS}), found {facts.dtype.name}: "
            f"convert them, in Fiji by Image > Type > 16-bit"
        )
    if facts.channels > MOST_CHANNELS:
        raise DatError(
            f"{name}: expected 1 to {MOST_CHANNELS} channels, found {facts.channels}: if these are "
            f"slices, save them as such (axis Z)"
        )


def counts(pixels: NDArray[Any]) -> Image:
    """Return pixels as a ``.dat`` has them: 8 bits without, 16 bits with a sign.

    16 bits without a sign lose 32768, 8 bits with one gain 128: order and differences stay, so the
    stretched image of 8 bits is the same.

    Parameters
    ----------
    pixels
        Integers of 8 or 16 bits, any shape; those of native byte order are changed in place.

    Returns
    -------
    Image
        uint8 or int16, native byte order, contiguous; a view where that can be.
    """
    native = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))
    if native.dtype == np.uint16:
        native = native if native.flags.writeable else native.copy()
        native ^= np.uint16(0x8000)
        return native.view(np.int16)
    if native.dtype == np.int8:
        return native.view(np.uint8) ^ np.uint8(0x80)
    return native


def plausible(size_nm: float | None) -> float | None:
    """Return a size, if a microscope can have it.

    Parameters
    ----------
    size_nm
        Size of a pixel or thickness, nm.

    Returns
    -------
    float or None
        None for what is none of a scanning electron microscope.
    """
    low, high = PLAUSIBLE_NM
    return size_nm if size_nm is not None and low <= size_nm <= high else None


class OpenFiles:
    """Files that are kept open while planes are read from them, the last ones used.

    Parameters
    ----------
    kind
        Of the source.
    dataset
        Array of a container.
    """

    def __init__(self, kind: str, dataset: str | None) -> None:
        self._kind, self._dataset = kind, dataset
        self._open: OrderedDict[tuple[Path, int], Images] = OrderedDict()

    def get(self, path: Path) -> Images:
        """Return an opened file; one that changed is opened anew.

        Parameters
        ----------
        path
            The file.

        Returns
        -------
        Images
            Not to be closed.

        Raises
        ------
        DatError
            As `open_images`.
        """
        try:
            key = (path, path.stat().st_mtime_ns)
        except OSError as error:
            raise DatError(f"{path.name}: not readable: {error.strerror or error}") from error
        if key not in self._open:
            self._open[key] = open_images(self._kind, path, self._dataset)
        self._open.move_to_end(key)
        while len(self._open) > _MOST_OPEN:
            self._open.popitem(last=False)[1].close()
        return self._open[key]

    def close(self) -> None:
        """Close all of them; one that is asked for is opened anew."""
        for images in self._open.values():
            images.close()
        self._open.clear()
