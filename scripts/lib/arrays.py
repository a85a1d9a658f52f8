"""Arrays: the names of the array types of the whole project, by dtype.

A name says the dtype and nothing else; shape, axis order and unit stand where an array is used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]
Bool = NDArray[np.bool_]
Index = NDArray[np.intp]  # places in other arrays
Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
Bytes = NDArray[np.uint8]
Image = NDArray[Any]  # (h, w) of one of the pixel types: uint8, uint16, int16, float32
Voxels = NDArray[Any]  # (z, y, x) of one of the voxel types: uint8, uint16
