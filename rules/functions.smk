# Input functions and params of single stages: what needs Snakemake's checkpoints. All else is in scripts/lib/flow.py.
# what waits on the scope and in the folders is asked where Snakemake runs: the answer decides what to run
import shlex

from snakemake.logging import logger

from scripts.export import contrast
from scripts.lib import commands, costs, growing, layer_digests
from scripts.lib.files import digest_of_file
from scripts.lib.job import remember_needs
from scripts.lib.service import session
from scripts.match import stage_files
from scripts.terminal import claims, earlier_jobs, patience
from scripts.terminal.pace import Expected
from scripts.transfer import doctor as examination
from scripts.transfer import (
    belonging,
    extent,
    fan_out,
    origin,
    rates,
    roots,
    state,
    taken,
)

RATES = ROOT / "config" / "rates.tsv"
CATEGORIES = {
    "The volume": ["volume", "section"],
    "Stages": ["ingest", "metadata", "review", "solve", "thickness"],
    "Tables": ["quarantine", "match", "edges", "worst"],
}


def in_report(path, about):
    """Output that Snakemake's own report shows, with the caption docs/captions/<about>.rst."""
    return report(
        path,
        caption=str(ROOT / "docs" / "captions" / f"{about}.rst"),
        category=next(name for name, each in CATEGORIES.items() if about in each),
        labels={"shows": about},
    )


def examine_before_start(*others):
    """Stop before the first job, with all findings and other faults, when one of them is an error."""
    # a transfer goes on without the service; a dry run asks nobody
    dry = dry_run.is_one(workflow)
    ask = not (dry or others) and set(workflow.dag_settings.targets) != {"transfer"}
    queues = [] if others else sent_to()
    try:
        found = examination.examine(
            config, Path(DAT_ROOT), Path(WORK_DIR), ask=ask, resources=queues
        )
        examination.require(found, others)
    except UserError as error:
        raise WorkflowError(f"{error}{OF_THE_DEMO}") from None
    remember_needs(examination.needs(found))
    for each in examination.worth_a_look(found, Path(WORK_DIR)):
        logger.warning(each.text())


def make_folders():
    """Let the working directory say whose it is, and link its folders that lie outside of it."""
    if not set(workflow.dag_settings.targets) <= {"doctor", "estimate"}:
        belonging.remember(config, Path(DAT_ROOT), Path(WORK_DIR))
        roots.place(config["transfer"], Path(WORK_DIR))


def sent_to():
    """Resources of the rules as the profile says them, on a cluster."""
    rules = workflow.rules if workflow.non_local_exec else []
    return [
        {
            name: each.raw
            for name, each in rule.resources.items()
            if hasattr(each, "raw")
        }
        for rule in rules
    ]


def bill():
    """Let the volume's project pay for its jobs, whatever the profile says."""
    payer = config["cluster"]["billing_project"]
    for made in workflow.rules if payer else ():
        made.resources["lsf_project"] = made.resources["slurm_account"] = payer


def refuse_paths_that_lsf_takes_apart():
    """Stop before the first job when a shell would take a path apart that the LSF plugin gives it."""
    if not workflow.non_local_exec or workflow.executor_plugin.name != "lsf":
        return
    bare = {"work_dir": WORK_DIR, "the folder you are in": workflow.workdir_init}
    odd = {key: path for key, path in bare.items() if shlex.quote(path) != path}
    # given in single quotes within double ones: blanks do no harm there
    odd |= {
        "--configfile": f for f in workflow.configfiles if set(str(f)) & set("\"'$`\\")
    }
    for key, path in odd.items():
        raise WorkflowError(
            f"{key}: expected a path of letters, digits and _@%+=:,./- alone, found {path}: "
            "Snakemake's LSF plugin gives it to a shell as it is. Use another path, on LSF."
        )


def stand_by_the_cluster():
    """Cancel what a killed run left to the scheduler, and wait for a scheduler that is away."""
    mine = CLAIMS.held or claims.wanted(workflow.dag_settings.targets)
    claims.release_shared(CLAIMS, workflow)
    if workflow.non_local_exec:
        try:
            earlier_jobs.cancel(
                workflow.executor_plugin.name,
                Path(WORK_DIR),
                lambda rule, rule_file: claims.part_of(rule, rule_file) in mine,
                logger.warning,
            )
        except UserError as error:
            raise WorkflowError(str(error)) from None
        patience.of_run(workflow, logger.warning)


def expected():
    """What the jobs of each rule take in the whole volume, as is known now; nothing before there are files."""
    try:
        size = extent.measure(config, Path(DAT_ROOT), Path(WORK_DIR))
    except UserError:
        return {}
    known, done = rates.read(RATES), costs.read(Path(WORK_DIR) / "benchmarks")
    found = fan_out.expected(fan_out.items(known, size, config, done))
    return {name: Expected(*each) for name, each in found.items()}


def say_what_is_hidden():
    """Tell what a dry run does not know: which jobs of chunks there will be, and how many the whole has."""
    if (Path(WORK_DIR) / "ingest" / "chunks.tsv").exists():
        if config["acquisition"]["last_dat"] is None:
            logger.info(
                "Imaging goes on (acquisition.last_dat is null): jobs of chunks that new layers add or change are "
                "listed only as far as they are known now. More may follow list_layers, list_pairs and plan_slabs, "
                f"which find what has changed. How many layers are new: {commands.module('scripts.status')}"
            )
        return
    try:
        size = extent.measure(config, Path(DAT_ROOT), Path(WORK_DIR))
        known = rates.read(RATES)
        planned = f" Planned: {fan_out.words(fan_out.items(known, size, config))}."
    except UserError:  # nothing to count yet, which the examination has reported
        planned = ""
    logger.info(
        f"Jobs of chunks are not listed: they are known when the layers are numbered.{planned} Core-hours,"
        f" memory and space of the whole volume: {commands.run('estimate')}"
    )


def refuse_loopback_on_cluster():
    """Stop before the first job when a service answers on this host alone, and jobs run on others."""
    url = os.environ.get("RENDER_WS_URL", "")
    one_host = os.environ.get("RENDER_WS_ONE_HOST")  # the whole cluster is this host
    if workflow.non_local_exec and session.is_loopback(url) and not one_host:
        raise WorkflowError(
            f"render.url is {url}: only jobs on this host reach it. Set render.url to a name that all nodes know; "
            "serve with --host HOST --token-file FILE, and set render.token_file (docs/cluster.md). On a cluster of "
            "this host alone set the environment variable RENDER_WS_ONE_HOST=1."
        )


def asked(wildcards):
    """What the first attempt of each rule's jobs asks for, with what the profile sets."""
    needs = {
        r.name: (r, r.expand_resources({}, [], 1)) for r in workflow.rules if r.script
    }
    return {
        name: {
            "stage": Path(str(rule.snakefile)).stem,
            "cores": need["_cores"],
            "mem_mb": need["mem_mb"],
            "runtime_min": need["runtime"],
        }
        for name, (rule, need) in needs.items()
    }


def side_by_side(wildcards):
    """How many jobs the profile runs at one time, and whether a cluster runs them."""
    settings, cluster = workflow.resource_settings, workflow.non_local_exec
    return {
        "parallel": (settings.nodes if cluster else settings.cores) or 1,
        "cluster": cluster,
    }


def waiting_on_scope(wildcards):
    """Fingerprint for copy_dats: what waits on the scope, or the last one when nothing does."""
    return state.copy_fingerprint(SCOPE, config["acquisition"])


def layers_to_do(wildcards):
    """Fingerprint for plan_transfer: which layers are new, changed or failed, or the last one."""
    acquisition, root = config["acquisition"], TAKEOVER["align_h5"]
    return state.plan_fingerprint(
        Path(DAT_ROOT),
        acquisition,
        QUIET_TIME_S,
        taken=taken.names(Path(root) if root else None),
        source=origin.section(config),
    )


def layers_to_take(wildcards):
    """Fingerprint for take_layers: which align HDF5 lie in the folder that is taken over."""
    root = TAKEOVER["align_h5"]
    return taken.fingerprint(Path(root), config["acquisition"]) if root else ""


def mask_contents(wildcards):
    """Masks that are pictures, by path, each with a digest of its file: a new one is copied again."""
    return {
        image: digest_of_file(image) if Path(image).is_file() else ""
        for image in MASK_IMAGES
    }


def content_to_take(wildcards):
    """Fingerprint for take_thickness: what the file says."""
    path = TAKEOVER["zcoords"]
    return digest_of_file(path) if path and Path(path).is_file() else ""


def chunk_work(wildcards):
    """Digest of the plan's rows of one chunk: it changes when a layer of the chunk is to be done."""
    return state.chunk_digest(Path("transfer/plan.tsv"), wildcards.chunk)


# While layers come a job of a chunk starts when something of its chunk changed, which digests in tables tell: it takes its
# other inputs as `ancient`. Checkpoints make these tables: behind each Snakemake looks at the params once more. Whatever reads
# what such jobs make has the table among its inputs, too: it must not begin before it is known which of them start.
IMAGING = config["acquisition"]["last_dat"] is None
SLABS_LISTED = {"listed": "export/slabs.tsv"} if IMAGING else {}
PAIRS_LISTED = {"listed": "solve/pairs_listed.tsv"} if IMAGING else {}


def listed(stack):
    """Input of what is made of jobs of chunks: digests of the layers of a stack."""
    return {"listed": f"stacks/layers/{stack}.tsv"} if IMAGING else {}


def of_chunk(tables, /, **inputs):
    """Inputs of a job of a chunk; of a volume that grows their time does not matter."""
    found = inputs | tables
    return (
        {key: ancient(path) for key, path in found.items() if path}
        if tables
        else inputs
    )


def of_layers(stack, /, **inputs):
    """Inputs of a job that reads the layers of a chunk, see `shown`."""
    return of_chunk(listed(stack), **inputs)


def shown(stack, before=0, after=0):
    """Param of a job of a chunk: digest of the layers that it reads; not read by the script."""
    table, chunks_table = f"stacks/layers/{stack}.tsv", "ingest/chunks.tsv"

    def digest(wildcards):
        return layer_digests.of_chunk(
            table, chunks_table, wildcards.chunk, before=before, after=after
        )

    return {"shown": digest} if IMAGING else {}


def box_of_pictures(wildcards):
    """Box in which layers are compared, which few waves change."""
    return growing.box_of(f"stacks/{STACK['align']}.json")


def place_of_cells(wildcards):
    """Cells in which grey values are measured, which few waves change."""
    return contrast.place_of_grid(
        f"stacks/{STACK['final']}.json", CONTRAST["cell_px"], whole=GROWS
    )


def slab_work(wildcards):
    """Digest of all that a slab depends on; empty while it is not known."""
    return state.chunk_digest(Path("export/slabs.tsv"), wildcards.chunk)


def pairs_of_chunk(wildcards):
    """Digest of what the pairs of a chunk are made of; empty while it is not known."""
    return state.chunk_digest(Path("solve/pairs_listed.tsv"), wildcards.chunk)


def planned(pattern):
    """Input function: `pattern` for every chunk of the plan."""

    def paths(wildcards):
        table = checkpoints.plan_transfer.get().output.plan
        return expand(pattern, chunk=column(table, "chunk"))

    return paths


def header_spans():
    """Chunks of the transfer whose headers one job reads, by the first; none of a short volume."""
    table = checkpoints.plan_transfer.get().output.plan
    return flow.spans(column(table, "chunk"), config["transfer"]["layers_per_job"])


def preview_slabs(wildcards):
    """Records of all slabs of the preview as it is now."""
    table = checkpoints.plan_preview_slabs.get().output.table
    return expand("preview/slabs/{chunk}.json", chunk=column(table, "chunk"))


def slab_made_of(wildcards):
    """What one slab of the preview is made of now."""
    table = checkpoints.plan_preview_slabs.get().output.table
    digests = dict(zip(column(table, "chunk"), column(table, "made_of"), strict=True))
    return digests[wildcards.chunk]


def match_mb(wildcards, attempt):
    """Memory of a job that matches pairs of tiles of this volume's size."""
    return resources.match_mb(
        config["match"]["feature_cache_mb"],
        attempt,
        STAGE_TABLES,
        resources.tile_px("ingest/layers.tsv"),
    )


def match_results(wildcards):
    """Results of all runs and chunks, and those of the wide search."""
    runs = chunks("match/results/{run}/{chunk}.tsv.gz")(wildcards)
    return [*runs, "match/wide/results.tsv.gz"]


def patch_rounds():
    """Numbers of the rounds of patches that there is work for, as far as is known."""

    def table_of(number):
        if number == 0:
            return checkpoints.propose_patches.get().output.applied
        return checkpoints.settle_patches.get(round=number).output[0]

    return flow.rounds(config["review"]["patch_rounds"], table_of)


def patch_results_until(wildcards):
    """Results of the patches of one round and of those before it."""
    rounds = range(1, int(wildcards.round) + 1)
    return expand("review/patch_results/{round}/{run}.tsv.gz", round=rounds, run=RUNS)


def patch_results(wildcards):
    """Results of all rounds of patches."""
    rounds = patch_rounds()
    return expand("review/patch_results/{round}/{run}.tsv.gz", round=rounds, run=RUNS)


def last_patches(wildcards):
    """Table of patches that the last round started from."""
    return f"review/patches/{max(len(patch_rounds()) - 1, 0)}.tsv"


def step_settings(wildcards):
    """Section of a step, without what only the proposal reads, or only a volume that grows."""
    section, others = config["correct"][wildcards.step], ("sample_tiles", "keep_grey")
    return {key: value for key, value in section.items() if key not in others}


def step_evidence(wildcards):
    """What a step looks at besides the stack before it."""
    found = corrections.evidence(wildcards.step, STEPS, CORRECT)
    return [
        path
        for each in found
        for path in (chunks(each)(wildcards) if "{chunk}" in each else [each])
    ]


def beside(pattern, before, after=0):
    """Input function: `pattern` for a chunk and for those with the layers next to it."""

    def paths(wildcards):
        names = column(checkpoints.plan_chunks.get().output[0], "chunk")
        size = config["chunks"]["layers"]
        near = flow.chunks_around(
            names, wildcards.chunk, size, before=before, after=after
        )
        return expand(pattern, chunk=near)

    return paths


def exported_chunks(wildcards):
    """Chunks of the volume, or those that hold a layer of a part."""
    part = PARTS[wildcards.part]["cut"] if hasattr(wildcards, "part") else {}
    table = checkpoints.plan_chunks.get().output[0]
    return flow.chunks_within(table, (part.get("box") or {}).get("z_px"))


def part_chunks(pattern):
    """Input function: `pattern` for every chunk that holds a layer of a part."""
    return lambda wc: expand(pattern, chunk=exported_chunks(wc), allow_missing=True)


def span_runs(wildcards):
    """Chunks of each span of the volume, or of a part, by its first chunk."""
    return flow.spans(exported_chunks(wildcards), config["chunks"]["layers"])


def spans(pattern):
    """Input function: `pattern` for every span of the volume, or of a part."""
    return lambda wc: expand(pattern, span=span_runs(wc), allow_missing=True)


def span_chunks(pattern):
    """Input function: `pattern` for every chunk of a span of the volume, or of a part."""
    return lambda wc: expand(pattern, chunk=span_runs(wc)[wc.span], allow_missing=True)


def channel_files(name):
    """A file of the export of each channel beside the first."""
    return [f"exports/channel_{k}/{name}" for k in CHANNELS[1:]]


try:
    STAGE_TABLES = flow.stage_tables(
        config["match"]["preset"],
        ROOT,
        stage_files.read_table,
        **GRID,
        project=RENDER["project"],
    )
except UserError as error:
    # nothing can be planned without them; what else is wrong is told, too
    examine_before_start(str(error))
PARTS = flow.export_parts(config, STACK, CHANNELS)
REGION = flow.region_name(config["export"])
CUT = REGION.removeprefix("region")
try:
    SIDE_BY_SIDE = exports.stacks(config, STACK["align"], CORRECTED, CUT)
except UserError as error:
    raise WorkflowError(str(error)) from None
PARTS |= SIDE_BY_SIDE

if dry_run.is_one(workflow):
    examine_before_start()
    say_what_is_hidden()
