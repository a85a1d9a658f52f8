# Functions of single stages, apart from the rules (as `snakemake --lint` wants them): what a param is made of.
# what waits on the scope and in the folders is asked where Snakemake runs: the answer decides what to run
from scripts.transfer import state


def resolved(path):
    """Absolute path; relative ones start at the folder of the Snakefile. None stays None."""
    return None if path is None else str((ROOT / path).resolve())


def resolved_scope(scope):
    """Section transfer.scope with absolute folders, when they are of this computer."""
    if scope is None or scope["host"] is not None:
        return scope
    local = {
        key: resolved(scope[key]) for key in ("root_dat_path", "keep_path", "lock")
    }
    return scope | local


def waiting_on_scope(wildcards):
    """Ticket of copy_dats: what waits on the scope, or the last ticket when nothing does."""
    return state.copy_ticket(SCOPE, config["acquisition"])


def layers_to_do(wildcards):
    """Ticket of plan_transfer: which layers are new, changed or failed, or the last ticket."""
    return state.plan_ticket(Path(DAT_ROOT), config["acquisition"], quiet_time_s())


def quiet_time_s():
    """Seconds the newest layer must be at rest: as configured, or an hour where a scope still sends."""
    configured = config["transfer"]["quiet_time_s"]
    if configured is not None:
        return configured
    return 3600 if config["transfer"]["scope"] else 0


def chunk_work(wildcards):
    """Digest of the plan's rows of one chunk: it changes when a layer of the chunk is to be done."""
    return state.chunk_digest(Path("transfer/plan.tsv"), wildcards.chunk)


def planned(pattern):
    """Input function: `pattern` for every chunk of the plan."""

    def paths(wildcards):
        table = checkpoints.plan_transfer.get().output.plan
        return expand(pattern, chunk=column(table, "chunk"))

    return paths


def stage_tables(preset):
    """Content of the stage tables to choose from by tile size: it is a param, so an edit re-runs."""
    if preset == "auto":
        return [stage_table("small_tiles"), stage_table("block")]
    if preset == "reference":
        grid = layout(config["acquisition"]["rows"], config["acquisition"]["columns"])
        return [stage_table({"single_tile": "small_cell"}.get(grid, grid))]
    return [stage_table(preset)]


def stage_table(name):
    """Content of one table: a name in config/match_stages, or the path of a YAML file."""
    own = ROOT / "config" / "match_stages" / f"{name}.yaml"
    path = own if own.exists() else ROOT / name
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in own.parent.glob("*.yaml")))
        raise WorkflowError(
            f"match.preset: found {name!r}, expected auto, reference, {known}, or the path of a YAML file"
        )
    return yaml.safe_load(path.read_text())


def configured_truth():
    """Path of report.truth, or None to look beside the .dat files."""
    path = config["report"].get("truth")
    return str((ROOT / path).resolve()) if path else None


def preview_slabs(wildcards):
    """Records of all slabs of the preview as it is now."""
    table = checkpoints.plan_preview_slabs.get().output.table
    return expand("preview/slabs/{chunk}.json", chunk=column(table, "chunk"))


def slab_made_of(wildcards):
    """What one slab of the preview is made of now."""
    table = checkpoints.plan_preview_slabs.get().output.table
    digests = dict(zip(column(table, "chunk"), column(table, "made_of"), strict=True))
    return digests[wildcards.chunk]


def patch_rounds():
    """Numbers of the rounds of patches that there is work for, as far as is known."""
    rounds, table = [], checkpoints.propose_patches.get().output.applied
    for number in range(1, config["review"]["patch_rounds"] + 1):
        if str(number) not in column(table, "round"):
            break
        rounds.append(number)
        if number < config["review"]["patch_rounds"]:
            table = checkpoints.settle_patches.get(round=number).output[0]
    return rounds


def patch_results_until(wildcards):
    """Results of the patches of one round and of those before it."""
    return expand(
        "review/patch_results/{round}/{run}.tsv.gz",
        round=range(1, int(wildcards.round) + 1),
        run=RUNS,
    )


def patch_results(wildcards):
    """Results of all rounds of patches."""
    return expand(
        "review/patch_results/{round}/{run}.tsv.gz", round=patch_rounds(), run=RUNS
    )


def last_patches(wildcards):
    """Table of patches that the last round started from."""
    return f"review/patches/{max(len(patch_rounds()) - 1, 0)}.tsv"


def step_settings(wildcards):
    """Section of a step, without what only the proposal reads."""
    section = config["correct"][wildcards.step]
    return {key: value for key, value in section.items() if key != "sample_tiles"}


def step_evidence(wildcards):
    """What a step looks at besides the stack before it."""
    if wildcards.step == "16bit":
        restored = CORRECT["16bit"]["restore"]
        return ["correct/16bit_plan.tsv"] + (
            chunks("correct/restored/{chunk}.tsv")(wildcards) if restored else []
        )
    if wildcards.step != "intensity":
        return []
    layers = (
        [] if CORRECT["intensity"]["layers"] == "none" else ["zcorr/layers/{chunk}.npz"]
    )
    tiles = ["correct/overlaps/{chunk}.npz"] if CORRECT["intensity"]["tiles"] else []
    ranges = ["correct/16bit.npz"] if "16bit" in STEPS else []
    return [
        path for each in layers + tiles for path in chunks(each)(wildcards)
    ] + ranges


STAGE_TABLES = stage_tables(config["match"]["preset"])


# ---- export ----


def slab_mb(attempt):
    """Memory of a slab's job, MB: a task's voxels, 1/7 more for lower levels, a third for review
    levels, four float32 planes of it, and 500 for the program, two layers of tiles and blocks being packed.
    """
    export, depth = config["export"], config["export"]["block_zyx_px"][0]
    if "zarr3" in export["formats"]:
        depth *= export["shard_blocks_zyx"][0]
    task, voxels = export["task_px"] ** 2 / 1e6, 8 / 7 + export["review"] / 3
    return int((500 + task * (VOXEL_BYTES * depth * voxels + 16)) * attempt)


def pyramid_mb(attempt):
    """Memory of a pyramid's job, MB: a task of level 1, the files of one depth that it is made of
    (four times as many voxels, twice while they are read), and 500 for the program.
    """
    export = config["export"]
    depth = export["block_zyx_px"][0]
    if "zarr3" in export["formats"]:
        depth *= export["shard_blocks_zyx"][0]
    task = export["task_px"] ** 2 / 4e6 * depth * VOXEL_BYTES
    return int((500 + task * 9) * attempt)


# the pyramid of so many layers is one job: 10 to 20 CPU minutes of a volume 10,000 px wide
SPAN_LAYERS = 1024


def span_runs(found):
    """Chunks of each span, by its first chunk: about SPAN_LAYERS layers. None for a single one."""
    size = max(1, SPAN_LAYERS // config["chunks"]["layers"])
    runs = [found[i : i + size] for i in range(0, len(found), size)]
    return {run[0]: run for run in runs} if len(runs) > 1 else {}


def spans(pattern):
    """Input function: `pattern` for every span of the volume, or of a part."""
    return lambda wc: expand(
        pattern, span=span_runs(exported_chunks(wc)), allow_missing=True
    )


def span_chunks(pattern):
    """Input function: `pattern` for every chunk of a span of the volume, or of a part."""
    return lambda wc: expand(
        pattern, chunk=span_runs(exported_chunks(wc))[wc.span], allow_missing=True
    )


def export_parts():
    """Exports beside the whole: name -> stack, volume (path without suffix), part of the stack."""
    parts = {
        f"channel_{k}": {
            "stack": STACK[f"channel_{k}"],
            "volume": f"{config['volume']}.channel-{k}",
            "cut": {},
        }
        for k in CHANNELS[1:]
    }
    name = region_name()
    parts[name] = {
        "stack": STACK["final"],
        "volume": f"exports/{name}/{config['volume']}",
        "cut": {
            "box": config["export"]["box"] or {},
            "step_px": round(1 / config["export"]["scale"]),
        },
    }
    return parts


def channel_files(name):
    """A file of the export of each channel beside the first."""
    return [f"exports/channel_{k}/{name}" for k in CHANNELS[1:]]


def region_name():
    """Name of the region of export.box and export.scale: another region is another folder."""
    ranges = (config["export"]["box"] or {}).items()
    pieces = [f"{key[0]}{r[0]}to{r[1]}" for key, r in sorted(ranges) if r]
    step = round(1 / config["export"]["scale"])
    return "_".join(["region", *pieces, *([f"by{step}"] if step > 1 else [])])


def exported_chunks(wildcards):
    """Chunks of the volume, or those that hold a layer of a part."""
    table = checkpoints.plan_chunks.get().output[0]
    part = PARTS[wildcards.part] if hasattr(wildcards, "part") else {"cut": {}}
    low, high = (part["cut"].get("box") or {}).get("z_px") or (0, sys.maxsize)
    rows = zip(*(column(table, key) for key in ("chunk", "z_first", "z_last")))
    return [c for c, first, last in rows if int(last) >= low and int(first) < high]


def part_chunks(pattern):
    """Input function: `pattern` for every chunk that holds a layer of a part."""
    return lambda wc: expand(pattern, chunk=exported_chunks(wc), allow_missing=True)


PARTS = export_parts()
