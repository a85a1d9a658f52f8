"""MRC: a volume or a slice, by mrcfile; rows in the order of the file."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from numpy.typing import NDArray

from scripts.transfer.dat import DatError
from scripts.transfer.images import Facts, plausible

_ANGSTROM_NM = 0.1
_AXES = (1, 2, 3)  # columns, rows and sections are x, y and z
# IMOD's own words of the header, in `extra2`: its stamp, and whether mode 0 has a sign
_STAMP_AT, _FLAGS_AT, _STAMP, _SIGNED = 40, 44, 1146047817, 1


class MrcImages:
    """A file of mode 0, 1 or 6; mode 0 has a sign unless IMOD's flags say that it has none.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # of odd lengths: reported below
                _check_whole(path)
                self._file = mrcfile.mmap(path, mode="r")
        except DatError:
            raise
        except (OSError, ValueError, TypeError) as error:
            said = str(error).splitlines()[0]
            raise DatError(f"{path.name}: not readable as MRC: {said}") from error
        try:
            self.facts = self._facts()
        except DatError:
            self.close()
            raise

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
        data = self._file.data
        image = np.array(data if data.ndim == 2 else data[index])
        return image.view(self.facts.dtype)[:, :, np.newaxis]

    def _facts(self) -> Facts:
        header, data = self._file.header, self._file.data
        axes = tuple(int(header[name]) for name in ("mapc", "mapr", "maps"))
        if axes not in (_AXES, (0, 0, 0)):
            expected = f"{self._path.name}: expected columns, rows and sections along x, y and z"
            raise DatError(f"{expected} (MAPC, MAPR, MAPS 1 2 3), found {axes}")
        if data is None or data.ndim not in (2, 3):
            found = "none" if data is None else f"{data.ndim} dimensions"
            raise DatError(f"{self._path.name}: expected a volume or an image, found {found}")
        size = self._file.voxel_size
        return Facts(
            planes=1 if data.ndim == 2 else data.shape[0],
            channels=1,
            height=data.shape[-2],
            width=data.shape[-1],
            dtype=self._dtype(data.dtype),
            pixel_nm=plausible(float(size.x) * _ANGSTROM_NM),
            z_nm=plausible(float(size.z) * _ANGSTROM_NM),
        )

    def _dtype(self, stored: np.dtype[Any]) -> np.dtype[Any]:
        extra = bytes(self._file.header["extra2"])
        order = "<i4" if self._file.header["nx"].dtype.str[0] in "<|" else ">i4"
        stamp, flags = (int(np.frombuffer(extra, order, 1, at)[0]) for at in (_STAMP_AT, _FLAGS_AT))
        unsigned = stored == np.int8 and stamp == _STAMP and not flags & _SIGNED
        return np.dtype(np.uint8) if unsigned else stored


def _check_whole(path: Path) -> None:
    """Compare the length of a file with its header; mrcfile says it in words of memory."""
    with mrcfile.open(path, mode="r", header_only=True) as file:
        header = file.header
        kind = mrcfile.utils.data_dtype_from_header(header)
        voxels = math.prod(int(header[name]) for name in ("nx", "ny", "nz"))
        expected = header.nbytes + int(header["nsymbt"]) + voxels * kind.itemsize
    if (found := path.stat().st_size) < expected:
        raise DatError(f"{path.name}: truncated: expected at least {expected} bytes, found {found}")
