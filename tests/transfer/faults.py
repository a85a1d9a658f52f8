"""Faults, tried one by one: ``python -m tests.transfer.faults`` rewrites the table of them.

The table is faults.tsv beside this file, and docs/faults.md is made of it.

A run is killed, or told that the disk is full, at its n-th call of the file system, for n = 1, 2, 3
… until it gets through. After every one: no byte of an acquired tile is lost (it waits on the scope
with its flag, or is whole here), nothing half done lies under a final name, and the next run
completes with the very bytes of a run that was never disturbed.
"""

import builtins
import errno
import io
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import h5py

from scripts.lib.files import read_table, write_table
from scripts.transfer import copy_dats
from tests.transfer.scopes import dat_bytes, dat_name
from tests.transfer.volume import Volume, inside, visible

ROOT = Path(__file__).resolve().parents[2]
PAGE, TABLE = ROOT / "docs/faults.md", ROOT / "tests/transfer/faults.tsv"
COLUMNS = ("fault", "times", "tiles_lost", "next_run")
CALLS = [
    *((os, name) for name in ("replace", "rename", "unlink", "mkdir", "fsync", "chmod", "listdir")),
    *((io, "open"), (builtins, "open"), (h5py.Group, "create_dataset"), (h5py.File, "__init__")),
]


class Killed(BaseException):
    """The process is dead: this call did not happen, and none after it does."""


@dataclass
class Trap:
    """Counts calls of the file system; from the n-th on (or at it alone) they fail."""

    at: int
    error: Callable[[], BaseException]
    forever: bool
    calls: int = 0

    def check(self):
        self.calls += 1
        if self.calls == self.at or (self.forever and self.calls > self.at):
            raise self.error()

    @property
    def sprung(self):
        return self.calls >= self.at


@contextmanager
def trap(at: int, *, full: bool = False) -> Iterator[Trap]:
    """Let the n-th call of the file system fail: by death, or once for want of space."""
    made = Trap(at, (lambda: OSError(errno.ENOSPC, "No space left on device")) if full else Killed,
                forever=not full)  # fmt: skip
    saved = [(owner, name, getattr(owner, name)) for owner, name in CALLS]
    for owner, name, real in saved:
        setattr(owner, name, _trapped(made, name, real))
    try:
        yield made
    finally:
        for owner, name, real in saved:
            setattr(owner, name, real)


def _trapped(made, name, real):
    def call(*args, **options):
        made.check()
        # flushing is the disk's affair: the order of the calls is what is tested
        return None if name == "fsync" else real(*args, **options)

    return call


# ---------------------------------------------------------------------------------------------
# the volumes that are disturbed
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Story:
    """A volume as it is when the disturbed run begins, and all that was ever acquired."""

    name: str
    prepare: Callable[
        [Path | None], tuple[Volume, dict[str, bytes]]
    ]  # None: only say what is there


def _acquire(volume, acquired):
    for name, data in acquired.items() if volume.root else ():
        volume.scope.acquire(name, data)


def fresh(root):
    """Two flagged tiles on the scope, nothing here."""
    volume = Volume(root, hashed=True)
    acquired = {dat_name(0, f"0-0-{c}"): dat_bytes(c) for c in range(2)}
    _acquire(volume, acquired)
    return volume, acquired


def late(root):
    """One tile archived and its `.dat` gone; the other comes late."""
    volume = Volume(root)
    first, second = ({dat_name(0, f"0-0-{c}"): dat_bytes(c)} for c in range(2))
    _acquire(volume, first)
    if root:
        volume.run()
        assert not list(volume.dats.rglob("*.dat"))
    _acquire(volume, second)
    return volume, first | second


def kept(root):
    """Without an archive: the raw HDF5 stays and the `.dat` files go."""
    volume = Volume(root, archived=False)
    acquired = {dat_name(0, f"0-0-{c}"): dat_bytes(c) for c in range(2)}
    _acquire(volume, acquired)
    return volume, acquired


STORIES = [
    Story("first run: copy, convert, verify, archive, remove", fresh),
    Story("late tile of an archived layer", late),
    Story("no archive, .dat files removed", kept),
]


@dataclass(frozen=True)
class Tried:
    """How often a fault was tried, how many bytes' owners were lost, how the next run ended."""

    fault: str
    times: int
    lost: int
    ended: str


def again(story, folder):
    """A copy of the prepared volume, beside the template that is made for the first one."""
    template = folder.parent / "template"
    if not template.exists():
        story.prepare(template)
    shutil.copytree(template, folder)  # times of files as well
    volume, acquired = story.prepare(None)
    return replace(volume, root=folder), acquired


def golden(story, folder):
    """What a run that nobody disturbs leaves."""
    volume, _ = again(story, folder)
    assert volume.run() == ""
    return volume.products()


def check_after(volume, acquired, wanted):
    """Check that nothing is lost, and that the next run ends complete; give the lost names."""
    lost = volume.lost(acquired)
    for name, copies in volume.tiles().items():
        # nothing half done under a final name
        assert copies == {acquired[name]}, name
    said = volume.run()
    assert said == "", said
    assert volume.products() == wanted
    assert volume.leftovers() == [], volume.leftovers()
    assert volume.scope.waiting() == []
    return lost


def disturbed(story, folder, at, wanted, *, full=False):
    """Disturb one run at call number `at`; give (whether it came to that, lost names)."""
    volume, acquired = again(story, folder)
    # death, or a job that ends with an error
    with trap(at, full=full) as made, suppress(Killed, OSError):
        volume.run()
    return made.sprung, check_after(volume, acquired, wanted)


def every_call(story, *, full=False, step=1, start=1) -> Tried:
    """Disturb a run at each of its calls of the file system, one after another."""
    times, lost, at = 0, 0, start
    with scratch() as folder:
        wanted = golden(story, folder / "golden")
        sprung = True
        while sprung:
            sprung, names = disturbed(story, folder / str(at), at, wanted, full=full)
            shutil.rmtree(folder / str(at))
            times, lost, at = times + sprung, lost + len(names), at + step
    what = "disk full" if full else "killed"
    return Tried(f"{what} at every call of the file system: {story.name}", times, lost, "complete")


def sigkill(story, times, seed=0) -> Tried:
    """Kill a forked run with SIGKILL at random moments."""
    clock, lost = random.Random(seed), 0
    with scratch() as folder:
        start = time.perf_counter()
        wanted = golden(story, folder / "golden")
        length_s = time.perf_counter() - start
        for i in range(times):
            volume, acquired = again(story, folder / str(i))
            child = os.fork()
            if child == 0:
                try:
                    volume.run()
                finally:
                    os._exit(0)
            time.sleep(clock.uniform(0, length_s))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            lost += len(check_after(volume, acquired, wanted))
            shutil.rmtree(folder / str(i))
    return Tried(f"SIGKILL at random moments: {story.name}", times, lost, "complete")


@contextmanager
def scratch():
    """A folder in memory if there is one: thousands of small files."""
    base = Path("/", "dev", "shm")
    with tempfile.TemporaryDirectory(dir=base if os.access(base, os.W_OK) else None) as folder:
        yield Path(folder)


# ---------------------------------------------------------------------------------------------
# damaged files
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Damage:
    """Something wrong with the files; `named` is what the next run has to say (empty: nothing)."""

    name: str
    do: Callable[[Volume, str], None]
    named: str


NAME = dat_name(1, "0-0-1")
OTHER = dat_bytes(55)


def _write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _here(volume, name=NAME):
    return volume.dats / "2024/03/07/10" / name


def _flip(path):
    data = bytearray(path.read_bytes())
    data[1100] ^= 4
    path.write_bytes(data)


def _late_flip(volume, name):
    _fetch(volume)
    _flip(_here(volume))


def _fetch(volume):
    """Copy alone, as a run that was stopped after it."""
    volume.work.mkdir(exist_ok=True)
    with inside(volume.work):
        copy_dats.main(
            scope={**vars(volume.scope.settings()), "hash": "sha256"},
            first_dat=None,
            last_dat=None,
            scope_name=None,
            dat_root=str(volume.dats),
            archive_root=str(volume.archive),
            free_space_gb=0,
            fingerprint="",
            copied="transfer/copied.tsv",
            copy_state="transfer/copy.json",
        )


DAMAGES = [
    Damage("truncated .dat on the scope",
           lambda v, n: v.scope.path(n).write_bytes(dat_bytes(3)[:1100]), "truncated"),
    Damage("zero-length .dat on the scope",
           lambda v, n: v.scope.path(n).write_bytes(b""), "expected a header of 1024 bytes"),
    Damage("truncated .dat here, whole on the scope",
           lambda v, n: _write(_here(v), dat_bytes(3)[:1100]), ""),
    Damage("zero-length .dat here, whole on the scope", lambda v, n: _write(_here(v), b""), ""),
    Damage("bit-flipped .dat between copy and conversion", _late_flip, "changed since"),
    Damage("renamed .dat here", lambda v, n: _write(v.dats / "tile.dat", dat_bytes(3)),
           "'tile.dat' is no tile name"),
    Damage("duplicated .dat here", lambda v, n: _write(v.dats / "b" / n, dat_bytes(3)), ""),
    Damage("other .dat of the same name in another folder",
           lambda v, n: _write(v.dats / "b" / n, OTHER), "Both are kept"),
    Damage("other .dat of the same name on the scope",
           lambda v, n: _write(_here(v), OTHER), "found others"),
    Damage("flag without a .dat",
           lambda v, n: v.scope.flag(dat_name(7)).touch(), "a flag without a file"),
    Damage(".dat without a flag", lambda v, n: v.scope.flag(dat_name(1, "0-0-0")).unlink(), ""),
    Damage("clock of the scope set back: a layer older than the first",
           lambda v, n: [v.scope.acquire(dat_name(0, f"0-0-{c}", "24-03-06"), dat_bytes(c + 8))
                         for c in range(2)], ""),
    Damage("clock of the scope set back: the name of an earlier tile again",
           lambda v, n: (_fetch(v), v.scope.acquire(n, OTHER)), "found others"),
    Damage("files here from the future",
           lambda v, n: (_fetch(v), os.utime(_here(v), ns=(2**62, 2**62))), ""),
]  # fmt: skip


def damaged(damage, folder) -> Tried:
    """Damage a volume of two layers, run twice, and look what became of it."""
    volume = Volume(folder, hashed=True)
    acquired = {dat_name(i, f"0-0-{c}"): dat_bytes(2 * i + c) for i in range(2) for c in range(2)}
    _acquire(volume, acquired)
    damage.do(volume, NAME)
    precious = _precious(volume, acquired)
    first = volume.run()
    said = volume.run()
    assert bool(first) >= bool(said), damage.name  # what is wrong is said at once
    if damage.named:
        assert damage.named in said, (damage.name, said)
    else:
        assert said == "", (damage.name, said)
    lost = [name for name, data in precious if not _safe(volume, name, data, said)]
    layers = {row["layer_id"]: row for row in volume.layers()}
    assert layers[dat_name(0).rsplit("_", 1)[0]]["status"] == "ok"  # the other layer goes on
    ended = f"named: {damage.named}" if damage.named else "complete"
    return Tried(damage.name, 1, len(lost), ended)


def _precious(volume, acquired):
    """(name, bytes) of what is on the scope after the damage, and of whole files here."""
    scope = {(path.name, path.read_bytes()) for path in visible(volume.scope.images, ".dat")}
    here = {(path.name, path.read_bytes()) for path in visible(volume.dats, ".dat")}
    whole = {*acquired.values(), OTHER}
    return sorted(scope | {(name, data) for name, data in here if data in whole})


def _safe(volume, name, data, said):
    """Here, or waiting with a flag, or still on the scope and named."""
    if data in volume.tiles().get(name, ()):
        return True
    there = name in acquired_names(volume) and volume.scope.path(name).read_bytes() == data
    return there and (volume.scope.flag(name).exists() or name in said)


def acquired_names(volume):
    return {path.name for path in visible(volume.scope.images, ".dat")}


def row(tried) -> dict:
    """The row of the table, as it is read back."""
    values = (tried.fault, tried.times, tried.lost, tried.ended)
    return dict(zip(COLUMNS, map(str, values), strict=True))


def page(rows) -> str:
    lines = [
        "# Faults tried on transfer",
        "",
        "Written by `python -m tests.transfer.faults`. After each fault no byte of an acquired",
        "tile was lost, nothing half done lay under a final name, and the next run ended as the",
        "last column says. The tests run the same faults.",
        "",
        "| fault | times | tiles lost | the next run |",
        "|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(row.values())} |" for row in rows]
    times, lost = (sum(int(row[name]) for row in rows) for name in ("times", "tiles_lost"))
    return "\n".join([*lines, f"| **all** | {times} | {lost} | |", ""])


def main():
    logging.disable(logging.CRITICAL)
    rows = [every_call(story) for story in STORIES]
    rows += [every_call(story, full=True) for story in STORIES]
    rows += [sigkill(story, 100, seed=i) for i, story in enumerate(STORIES)]
    for damage in DAMAGES:
        with scratch() as folder:
            rows.append(damaged(damage, folder))
    write_table(TABLE, COLUMNS, map(row, rows))
    PAGE.write_text(page(read_table(TABLE)))
    sys.stdout.write(PAGE.read_text())


if __name__ == "__main__":
    main()
