"""A finished volume moves to its place among others: by rename, never by copy."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.export import disk
from scripts.export.slabs import Plan
from scripts.lib import commands, files
from scripts.lib.job import UserError
from scripts.lib.volumes.multiscale import Target

_GROUP_FILES = ("attributes.json", ".zgroup", ".zattrs", "zarr.json")
_SUFFIXES = (".v3.zarr", ".zarr", ".n5")


def container(target: Target, root: Path) -> Path:
    """Return the container of a volume below the folder of finished ones.

    One of ``exports/<part>`` is named by its part: in its own folder a region has the name of the
    whole volume, ``v.n5``; here ``v.<part>.n5``.

    Parameters
    ----------
    target
        The volume.
    root
        The folder of finished volumes.

    Returns
    -------
    Path
        It need not exist.
    """
    path = Path(target.container)
    if path.parent.parent != Path("exports"):
        return root / path.name
    suffix = next(one for one in _SUFFIXES if path.name.endswith(one))
    return root / f"{path.name.removesuffix(suffix)}.{path.parent.name}{suffix}"


def goal(target: Target, root: Path) -> Path:
    """Return the folder that a multiscale group gets below the folder of finished volumes.

    Parameters
    ----------
    target
        The volume.
    root
        The folder of finished volumes.

    Returns
    -------
    Path
        It need not exist.
    """
    return container(target, root) / target.dataset


def require(targets: Sequence[Target], root: Path, closed: Mapping[str, Sequence[int]]) -> None:
    """Check that volumes still have the files that they had when their exports were closed.

    Parameters
    ----------
    targets
        The volumes.
    root
        The folder of finished volumes, where an interrupted promotion has put some.
    closed
        Number of files of each level by path of the multiscale group; an export of an earlier
        version has none.

    Raises
    ------
    UserError
        With the folder, both numbers and what to do.
    """
    lines = []
    for target in targets:
        group = target.group if target.group.exists() else goal(target, root)
        for level, then in enumerate(closed.get(str(target.group), ())):
            now = disk.stored(target, group, level)
            if now != then:
                lines.append(f"{group}/s{level}: {now} files, {then} when the export was closed")
    if lines:
        raise UserError(
            f"export: a volume is no longer what it was: {'; '.join(lines)}. Nothing was promoted."
            f" Which blocks are gone is told by: {commands.again('check_slab')}; the same command"
            " without --forcerun then writes them again"
        )


def check(targets: Sequence[Target], root: Path) -> None:
    """Check that all groups can be renamed, before one is.

    Parameters
    ----------
    targets
        The volumes.
    root
        The folder of finished volumes.

    Raises
    ------
    UserError
        When a goal exists already, or lies in another file system: a rename is not possible there.
    """
    if not root.is_dir():
        raise UserError(f"export.promote_root: {root} is no folder; make it, or correct the path")
    for target in targets:
        to = goal(target, root)
        if target.group.is_symlink() and target.group.resolve() == to.resolve():
            continue  # done before
        if not target.group.exists() and to.exists():
            continue  # renamed, and then interrupted
        if not target.group.is_dir() or target.group.is_symlink():
            raise UserError(
                f"promote: {target.group} is no volume; type before: {commands.run('export')}"
            )
        if to.exists():
            raise UserError(
                f"promote: {to} exists already; move it away, or give another volume or"
                " export.promote_root. Nothing was changed."
            )
        if root.stat().st_dev != target.group.stat().st_dev:
            raise UserError(
                f"promote: {root} is another file system than {target.group}; a volume is renamed,"
                " never copied. Give an export.promote_root in the same file system, or set"
                " work_dir there. Nothing was changed."
            )


def promote(target: Target, root: Path) -> Path:
    """Rename a group to its goal and leave a link. Safe to repeat.

    Groups above it that are not there yet get the same metadata as here.

    Parameters
    ----------
    target
        The volume.
    root
        The folder of finished volumes.

    Returns
    -------
    Path
        The goal.
    """
    to = goal(target, root)
    if not target.group.is_symlink():
        if target.group.exists():
            _copy_metadata(target, root)
            target.group.rename(to)
        target.group.symlink_to(os.path.relpath(to.resolve(), target.group.parent.resolve()))
    return to


def _copy_metadata(target: Target, root: Path) -> None:
    """Write the few lines that make the folders above a group N5 or Zarr groups."""
    here, there = Path(target.container), container(target, root)
    for part in (Path(), *reversed(Path(target.dataset).parents[:-1])):
        (there / part).mkdir(parents=True, exist_ok=True)
        for name in _GROUP_FILES:
            if (here / part / name).exists() and not (there / part / name).exists():
                files.write_bytes(there / part / name, (here / part / name).read_bytes())


def refuse_promoted(plan: Plan) -> None:
    """Stop a job that would write into a volume that has been promoted.

    Parameters
    ----------
    plan
        The export.

    Raises
    ------
    UserError
        Names the link to remove for a new export beside the promoted one.
    """
    for target in plan.targets:
        if target.group.is_symlink():
            raise UserError(
                f"export: {target.group} was promoted to {target.group.resolve()}, which must not"
                f" change. To export anew beside it, remove the link {target.group} and the"
                " promoted.json of this export (of channels: export/promoted.json) and start the"
                " same command again."
            )
