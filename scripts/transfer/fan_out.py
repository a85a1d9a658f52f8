"""Fan-out: how many jobs each rule gets, and how much work each of them has."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from scripts.lib import flow
from scripts.lib.costs import Cost
from scripts.transfer.extent import Extent, pairs
from scripts.transfer.rates import ON_DEMAND, STORED, Item, Rate, at_the_pace

Config = Mapping[str, Any]
Shares = dict[str, float]
USUAL_ROUNDS = 1  # of patches; more are made where tiles without an image lie side by side


def units(extent: Extent, config: Config) -> dict[str, tuple[float, float]]:
    """Return how much of everything a volume has.

    Parameters
    ----------
    extent
        Size of the volume.
    config
        Config of the volume.

    Returns
    -------
    dict
        Unit -> number, and Mpx of one.
    """
    compared = pairs(extent, config)
    deep = 2 if "16bit" in config["correct"]["steps"] else 1
    gvoxels = extent.gvoxels * deep
    whole = not _spans(extent, config)
    return {
        "layer": (extent.layers, extent.layer_mpx),
        "tile": (extent.tiles, extent.tile_mpx),
        "dat_tile": (extent.tiles, extent.dat_mb / extent.tiles / 2),
        "dat_mb": (extent.dat_mb, 0),
        "dat_gb": (extent.dat_mb / 1000, 0),
        "mpx": (extent.tiles * extent.tile_mpx, 0),
        "pair": (math.fsum(compared.values()), extent.tile_mpx),
        **{f"pair of {run}": (n, extent.tile_mpx) for run, n in compared.items()},
        "gvoxel": (gvoxels, 0),
        "gvoxel_byte": (extent.gvoxels * _bytes(config), 0),
        # spans leave a thousandth to the last job
        "gvoxel_top": (gvoxels if whole else gvoxels / 1000, 0),
    }


def items(
    table: Sequence[Rate], extent: Extent, config: Config, done: Sequence[Cost] = ()
) -> list[Item]:
    """Return the jobs of a whole run.

    Parameters
    ----------
    table
        All rates.
    extent
        Size of the volume.
    config
        Config of the volume.
    done
        What jobs took that have run.

    Returns
    -------
    list of Item
        In order of the table, without rules that this volume does not need.
    """
    amounts = units(extent, config)
    of_rule: dict[str, list[Cost]] = {}
    for cost in done:
        of_rule.setdefault(cost.rule, []).append(cost)
    found = [
        Item(rate.item, run, rate, *amounts[_unit(rate, run)], shares, _done(of_rule, rate, run))
        for rate in table
        if rate.jobs not in (STORED, ON_DEMAND)
        for run, shares in _jobs(rate, extent, config)
        if shares
    ]
    return at_the_pace(found)


def words(found: Sequence[Item]) -> str:
    """Say how many jobs there are, in all and of each rule that has more than one.

    Parameters
    ----------
    found
        Of `items`.

    Returns
    -------
    str
        The rules with the most jobs first.
    """
    counts: dict[str, int] = {}
    for item in found:
        counts[item.rule] = counts.get(item.rule, 0) + len(item.shares)
    many = sorted((one for one in counts.items() if one[1] > 1), key=lambda one: -one[1])
    each = ", ".join(f"{rule} {count:,}" for rule, count in many)
    return f"{sum(counts.values()):,} jobs" + (f" ({each})" if each else "")


def expected(found: Sequence[Item]) -> dict[str, tuple[int, float]]:
    """Return what a run expects of the jobs of each rule, and of each run of the matching.

    Parameters
    ----------
    found
        Of `items`.

    Returns
    -------
    dict of tuple
        Rule, and run where there is one -> number of jobs, seconds of one on average.
    """
    return {
        f"{item.rule} {item.run}".strip(): (
            len(item.shares),
            math.fsum(map(item.job_s, item.shares)) / len(item.shares),
        )
        for item in found
    }


def _unit(rate: Rate, run: str) -> str:
    return f"pair of {run}" if run and rate.unit == "pair" else rate.unit


def _done(of_rule: Mapping[str, Sequence[Cost]], rate: Rate, run: str) -> list[Cost]:
    found = of_rule.get(rate.item, ())
    return [cost for cost in found if not run or run in cost.place]


def _jobs(rate: Rate, extent: Extent, config: Config) -> Iterator[tuple[str, Shares]]:
    """Yield runs of the matching, or an empty text, with the jobs of each."""
    shares = KINDS[rate.jobs](extent, config)
    if rate.jobs not in ("run_chunk", "patch_run"):
        yield "", shares
        return
    acquisition = config["acquisition"]
    for run in flow.RUNS[flow.layout(acquisition["rows"], acquisition["columns"])]:
        if not rate.part or run.startswith(rate.part):
            yield run, shares


def _cut(layers: int, size: int) -> Shares:
    """Layers in chunks of `size`, as `ingest` and `transfer` number them."""
    starts = range(0, layers, size)
    return {f"{i:04d}": min(size, layers - at) / layers for i, at in enumerate(starts)}


def _same(names: Sequence[Any]) -> Shares:
    return {str(name): 1 / len(names) for name in names}


def _chunks(extent: Extent, config: Config) -> Shares:
    return _cut(extent.layers, config["chunks"]["layers"])


def _section(config: Config) -> Config:
    found: Config = config.get("takeover") or {}
    return found


def _source(config: Config) -> Config:
    found: Config = _section(config).get("render") or {}
    return found


def _taken(config: Config) -> bool:
    return bool(_section(config).get("align_h5"))


def _transfer(extent: Extent, config: Config) -> Shares:
    if _taken(config) and config["transfer"]["dat_root"] is None:
        return {}  # nothing is converted
    return _cut(extent.layers, config["transfer"]["layers_per_job"])


def _archive(extent: Extent, config: Config) -> Shares:
    transfer = config["transfer"]
    settles = transfer["archive_root"] is not None or transfer["remove_dats"]
    return _transfer(extent, config) if settles else {}


def _spans(extent: Extent, config: Config) -> Shares:
    return _joined(_chunks(extent, config), config["chunks"]["layers"])


def _transfer_spans(extent: Extent, config: Config) -> Shares:
    return _joined(_transfer(extent, config), config["transfer"]["layers_per_job"])


def _joined(chunks: Shares, layers: int) -> Shares:
    spans = flow.spans(list(chunks), layers)
    return {span: math.fsum(chunks[each] for each in run) for span, run in spans.items()}


def _rounds(_extent: Extent, config: Config) -> Shares:
    return _same(range(1, min(USUAL_ROUNDS, config["review"]["patch_rounds"]) + 1))


def _bytes(config: Config) -> int:
    """Return the bytes that are written of a voxel."""
    if "16bit" not in config["correct"]["steps"]:
        return 1
    return {"auto": 2, "uint8": 1, "both": 3}[config["export"]["dtype"]]


def _if_in_8_bit(jobs: Callable[[Extent, Config], Shares]) -> Callable[..., Shares]:
    """Only where 16 bit are shown in 8."""

    def of_contrast(extent: Extent, config: Config) -> Shares:
        shown = "16bit" in config["correct"]["steps"] and config["export"]["dtype"] != "auto"
        return jobs(extent, config) if shown else {}

    return of_contrast


def _if_step(step: str, jobs: Callable[[Extent, Config], Shares]) -> Callable[..., Shares]:
    return lambda extent, config: jobs(extent, config) if step in config["correct"]["steps"] else {}


def _if_fields(jobs: Callable[[Extent, Config], Shares]) -> Callable[..., Shares]:
    def of_fields(extent: Extent, config: Config) -> Shares:
        return jobs(extent, config) if config["solve"]["refine"] == "field" else {}

    return of_fields


def _one(_extent: Extent, _config: Config) -> Shares:
    return {"": 1.0}


def _steps(_extent: Extent, config: Config) -> Shares:
    # each of them goes over all tiles
    return dict.fromkeys(config["correct"]["steps"], 1.0)


def _each_channel(jobs: Callable[[Extent, Config], Shares]) -> Callable[..., Shares]:
    def of_channels(extent: Extent, config: Config) -> Shares:
        if "16bit" not in config["correct"]["steps"]:
            return {}
        others = config["correct"]["16bit"]["channels"][1:]
        each = jobs(extent, config).items()
        return {f"channel_{k}/{name}": share for k in others for name, share in each}

    return of_channels


KINDS: dict[str, Callable[[Extent, Config], Shares]] = {
    "one": _one,
    "takeover": lambda _, config: {"": 1.0} if _taken(config) else {},
    "taken_matches": lambda _, config: {"": 1.0} if _source(config).get("matches") else {},
    "taken_stack": lambda _, config: {"": 1.0} if _source(config).get("stack") else {},
    "taken_z": lambda _, config: {"": 1.0} if _section(config).get("zcoords") else {},
    "scope": lambda _, config: {"": 1.0} if config["transfer"]["scope"] else {},
    "chunk": _chunks,
    "run_chunk": _chunks,
    "transfer_chunk": _transfer,
    "transfer_span": _transfer_spans,
    "archive_chunk": _archive,
    "span": _spans,
    "patch_round": _rounds,
    "patch_run": _rounds,
    "step": _steps,
    "intensity": _if_step("intensity", _one),
    "intensity_chunk": _if_step("intensity", _chunks),
    "sixteen_bit": _if_step("16bit", _one),
    "sixteen_bit_chunk": _if_step("16bit", _chunks),
    "field": _if_fields(_one),
    "field_chunk": _if_fields(_chunks),
    "channel": _each_channel(_one),
    "channel_chunk": _each_channel(_chunks),
    "channel_span": _each_channel(_spans),
    "in_8_bit": _if_in_8_bit(_one),
    "in_8_bit_chunk": _if_in_8_bit(_chunks),
    "channel_in_8_bit": _if_in_8_bit(_each_channel(_one)),
    "channel_in_8_bit_chunk": _if_in_8_bit(_each_channel(_chunks)),
}
