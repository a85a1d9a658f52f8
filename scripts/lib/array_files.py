"""Files of named arrays (``.npz``): written whole, and equal arrays give equal bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from scripts.lib import files

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Columns = TypeVar("Columns", bound=DataclassInstance)


def write(path: str | Path, arrays: Mapping[str, NDArray[Any]], *, packed: bool = True) -> None:
    """Write arrays, atomically.

    Parameters
    ----------
    path
        File to write.
    arrays
        By name.
    packed
        Compressed; False for what does not shrink.
    """
    save: Callable[..., None] = np.savez_compressed if packed else np.savez
    with files.atomic_path(path) as partial, partial.open("wb") as stream:
        save(stream, **arrays)


def read(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of `write`.

    Parameters
    ----------
    path
        File to read; it is closed again.

    Returns
    -------
    dict
        Arrays by name.
    """
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def write_columns(path: str | Path, columns: DataclassInstance) -> None:
    """Write the fields of a dataclass of arrays, atomically.

    Parameters
    ----------
    path
        File to write.
    columns
        Each field an array.
    """
    arrays = {field.name: getattr(columns, field.name) for field in fields(columns)}
    write(path, arrays, packed=False)


def read_columns(path: str | Path, kind: type[Columns]) -> Columns:
    """Read a dataclass of arrays.

    Parameters
    ----------
    path
        File of `write_columns`.
    kind
        The dataclass.

    Returns
    -------
    Columns
        As it was written; arrays that are no field are left out.
    """
    stored = read(path)
    return kind(**{field.name: stored[field.name] for field in fields(kind)})
