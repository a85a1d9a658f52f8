"""What a wave of new layers makes again, rule by rule, and what share of the work that is.

Measured on a small volume, where every job starts anew and the layers within reach of the wave are
a large part of all; and extrapolated: to more layers of the same tiles by the seconds of its jobs,
and to a volume of real size by `config/rates.tsv`. In both the chunks within reach of a wave, which
each rule made again there, stay as many as they are.
"""

import re
from dataclasses import dataclass

from scripts.transfer import fan_out, rates
from scripts.transfer.extent import Extent
from tests.benchmarks.conftest import ROOT
from tests.transfer.test_doctor import config

LAYERS, WAVE = 11_000, 1_000  # of the volume of real size, the wave with them
GRID = {"rows": 1, "columns": 2, "pixel_nm": 8, "z_nm": 8}
TILE_MPX = 31.06  # 8875 x 3500
CUT = 128  # layers of two blocks, of which one of the pyramid is made
PAIRS = 6  # of a tile with those of the layers that follow it
PUT_BACK = "made of the same before, and put back"
ANEW = re.compile(r"(\d+) pairs, (\d+) matched anew")
TASKS = re.compile(r"(\d+) here, (\d+) of them made now")
SPENT = re.compile(r"INFO job: done in .* of CPU ([\d.]+) s and ([\d.]+) s to start")
READ = re.compile(r"(\d+) records, (\d+) of them read back")
PYRAMID = {
    "build_span": "build_pyramid",
    "close_export": "close_export",
}  # a small one has no spans


@dataclass
class Remade:
    """Of one rule: jobs in all, those that started in a wave, and how many of them did the work."""

    jobs: int = 0
    started: int = 0
    worked: float = 0.0


def remade(volume, since_ns):
    """What each rule did after a moment, by the logs of its jobs."""
    found = {}
    for path in sorted(volume.work.glob("logs/**/*.log")):
        one = found.setdefault(path.relative_to(volume.work / "logs").parts[0], Remade())
        one.jobs += 1
        if path.stat().st_mtime_ns > since_ns:
            one.started += 1
            one.worked += _worked(volume, path, since_ns)
    return found


def _worked(volume, path, since_ns):
    """The share of its work that a job really did."""
    said = path.read_text()
    if PUT_BACK in said:
        return 0.0
    if path.parent.name == "render_slab":
        journal = volume.work / f"export/journals/{path.stem}.jsonl"
        return float(journal.exists() and journal.stat().st_mtime_ns > since_ns)
    for pattern in (ANEW, TASKS, READ):
        if counts := [(int(one[1]), int(one[2])) for one in pattern.finditer(said)]:
            return sum(n for _, n in counts) / max(1, sum(n for n, _ in counts))
    return 1.0


@dataclass
class Spent:
    """CPU seconds of the jobs of one rule in a run: at work, and until they began; the jobs."""

    work: float = 0.0
    start: float = 0.0
    jobs: int = 0


def spent(volume):
    """What the jobs of each rule took the last time they ran, by their logs."""
    found = {}
    for path in sorted(volume.work.glob("logs/**/*.log")):
        if said := SPENT.findall(path.read_text()):
            one = found.setdefault(path.relative_to(volume.work / "logs").parts[0], Spent())
            one.work += float(said[-1][0])
            one.start += float(said[-1][1])
            one.jobs += 1
    return found


def more_seconds(layers, voxels):
    """CPU seconds that jobs of the whole volume take more for so many layers of one tile each."""
    of_layer = {"tile": 1, "layer": 1, "pair": PAIRS}
    of_layer |= dict.fromkeys(("gvoxel", "gvoxel_top"), voxels / 1e9)
    table = rates.read(ROOT / "config/rates.tsv")
    return {
        one.item: one.s_per_unit * of_layer[one.unit] * layers
        for one in table
        if one.jobs == "one" and one.unit in of_layer
    }


def of_more_layers(found, one_run, chunks, times, more):
    """Share of the work of a run that a tenth of new layers takes in a longer volume.

    Parameters
    ----------
    found
        Of `remade`: the wave of one chunk of the short volume, which a tenth of it is.
    one_run
        Of `spent`: a run of all layers of the short volume.
    chunks
        Of the short volume, with the wave.
    times
        How often as long the long one is: its wave is so many chunks.
    more
        CPU seconds by rule that jobs of the whole volume take there beyond what they take here.
    """
    wave = whole = 0.0
    for rule, one in one_run.items():
        again = found.get(rule, Remade())
        if one.jobs >= chunks:  # a chunk is as long as it was, and those within reach as many
            runs = one.jobs / chunks
            whole += times * (one.work + one.start)
            for each, now in ((one.work, again.worked), (one.start, again.started)):
                jobs = max(0.0, now - runs) + times * runs
                wave += each / one.jobs * jobs if now else 0.0
        else:
            seconds = one.start + one.work + more.get(rule, 0.0)
            whole += seconds
            wave += seconds * (again.started / one.jobs)
    return wave / whole


def of_real_size(found, layers_of_chunk):
    """Share of the work of a run that a tenth of new layers takes at real size, and its parts.

    Parameters
    ----------
    found
        Of `remade`.
    layers_of_chunk
        Of the small volume.

    Returns
    -------
    share : float
        Without and with the wave's chunks cut from others; jobs start where they started.
    by_rule : dict
        CPU seconds of the wave, of the rules that take most.
    """
    mpx = TILE_MPX * GRID["columns"]
    extent = Extent(LAYERS, LAYERS * GRID["columns"], TILE_MPX, 0.95 * mpx, 4 * mpx, "extrapolated")
    table = rates.read(ROOT / "config/rates.tsv")
    wave, whole = {}, 0.0
    for item in fan_out.items(table, extent, config(acquisition=GRID)):
        jobs = len(item.shares)
        start, work = jobs * item.start_s, item.units * item.unit_s
        whole += start + work
        size = CUT if item.rule in PYRAMID else LAYERS / jobs
        share, started = _shares(_like(found, item.rule), layers_of_chunk, size)
        wave[item.rule] = wave.get(item.rule, 0.0) + started * start + share * work
    most = dict(sorted(wave.items(), key=lambda each: -each[1])[:8])
    return sum(wave.values()) / whole, most


def _like(found, rule):
    """What a rule made again; of the pyramid by the share of its blocks, as if one job a chunk."""
    if rule not in PYRAMID:
        one = found.get(rule)
        return one if one and one.jobs > 1 else None
    chunks, share = found["render_slab"].jobs, found[PYRAMID[rule]].worked
    return Remade(chunks, chunks, share * chunks)


def _shares(one, layers_of_chunk, size):
    """Shares of a rule's work, and of its starts, at real size, cut into `size` layers."""
    if one is None:
        return 1.0, 1.0

    def share(jobs):
        if jobs >= one.jobs:
            return 1.0
        reach = max(0.0, jobs - 1) * layers_of_chunk  # beyond the chunk that is new
        # one more chunk is cut by the end of what was there
        return min(1.0, (WAVE + reach + size) / LAYERS)

    return share(one.worked), share(one.started)
