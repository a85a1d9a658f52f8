"""Memory for the voxels of one task after the other, given back plane by plane.

Measured on a slab of two blocks' depth and 4,090² px: a peak of 1,479 MB of the job's process,
1,713 MB with a plain array of numpy (tests/benchmarks/test_bench_export.py). Asking glibc to trim
what Python has freed, for each task, saved nothing (1,546 MB).
"""

from __future__ import annotations

import math
import mmap

import numpy as np

from scripts.lib.arrays import Voxels

Shape = tuple[int, int, int]


class PlaneBuffer:
    """Anonymous memory for arrays, one at a time.

    Half of what a lower level needs is needed when the level above is done with: its planes go back
    to the system while they are averaged, which saves an eighth of the peak.

    Parameters
    ----------
    size
        Bytes of the largest array.
    """

    def __init__(self, size: int) -> None:
        # private: the system gives a shared map no huge pages, and `forget` would keep its content
        self._map = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            self._map.madvise(mmap.MADV_HUGEPAGE)

    def array(self, shape: Shape, dtype: str) -> Voxels:
        """Return the memory as an array of any content.

        Parameters
        ----------
        shape
            z, y, x.
        dtype
            Of the array.

        Returns
        -------
        Voxels
            (z, y, x); the one before shares it.
        """
        return np.frombuffer(self._map, dtype, count=math.prod(shape)).reshape(shape)

    def forget(self, voxels: Voxels, planes: int) -> None:
        """Give the first planes of an array back to the system; their content is lost.

        Parameters
        ----------
        voxels
            As of `array`.
        planes
            How many.
        """
        stop = planes * voxels[0].nbytes // mmap.PAGESIZE * mmap.PAGESIZE
        if stop and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED, 0, stop)
