# Names and paths that all stages share: identity, stacks, chunks, wildcards. No arithmetic, no pixels.
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.basedir)
# scripts find each other from the root; the Snakefile needs it too, for the schema alone
sys.path.insert(0, str(ROOT))
from scripts.correct import chain as corrections
from scripts.lib import exports, flow, resources, yaml_files
from scripts.lib.flow import column
from scripts.lib.job import UserError
from scripts.lib.schema import validate
from scripts.terminal import dry_run
from scripts.terminal.console import Console

CONSOLE = Console(
    workflow
)  # first, so that a fault of the config is reported in its words too

try:
    # Snakemake keeps the last of two equal keys without a word
    yaml_files.check(workflow.configfiles)
    SCHEMA = yaml_files.read(ROOT / "config" / "schema.yaml")
    validate(config, SCHEMA)
    TAKEOVER = config["takeover"] = flow.takeover(ROOT, config)
except UserError as error:
    raise WorkflowError(str(error)) from None

# relative paths in a config start at the folder of the Snakefile, wherever Snakemake was started
WORK_DIR = flow.resolved(ROOT, config["work_dir"])
DAT_ROOT = flow.resolved(ROOT, config["transfer"]["dat_root"]) or TAKEOVER["align_h5"]
# deployment is environment, never a param: moving the service must not re-run anything
os.environ.setdefault("RENDER_WS_URL", config["render"]["url"])
os.environ.setdefault("RENDER_WS_TOKEN_FILE", config["render"]["token_file"])
os.environ.setdefault("RENDER_WS_PATIENCE_S", str(config["render"]["patience_s"]))

RENDER = {"owner": config["render"]["owner"], "project": config["render"]["project"]}
COLLECTION = f"{RENDER['project']}_v1"
REVIEWED = f"{COLLECTION}_review"  # matches of patches, and derived ones
STEPS = config["correct"]["steps"]
STACK = {"acquire": "v1_acquire", "trimmed": "v1_acquire_trimmed"}
STACK["restart"] = f"{STACK['acquire']}_restart"
STACK["align"] = f"{STACK['trimmed']}_align"
try:
    corrections.check(STEPS)
except ValueError as error:
    raise WorkflowError(str(error)) from None
# step -> the stack it makes; without a step the aligned stack is the last
CORRECTED = dict(zip(STEPS, corrections.stacks(STACK["align"], STEPS)))
STACK["final"] = list(CORRECTED.values())[-1] if STEPS else STACK["align"]
CHANNELS = config["correct"]["16bit"]["channels"] if "16bit" in STEPS else []
STACK |= {f"channel_{k}": f"{STACK['final']}_channel_{k}" for k in CHANNELS[1:]}


GRID = {key: config["acquisition"][key] for key in ("rows", "columns")}
RUNS = flow.RUNS[flow.layout(**GRID)]


wildcard_constraints:
    chunk=r"\d\d\d\d+",  # not {4,}: Snakemake's wildcards know {n} and {n,m} only
    span=r"\d\d\d\d+",
    run="|".join(RUNS),
    round=r"[1-3]",
    step="|".join(corrections.STEPS),
    channel=r"\d",
    part=r"(channel|region|stack)\w*",
    stack=r"[A-Za-z0-9_]+",


def verbatim(value):
    """Param that is a path: Snakemake would take braces in it for wildcards."""
    return lambda wildcards: value


def chunks(pattern):
    """Input function: `pattern` for every chunk of the volume, and for every run it names."""

    def paths(wildcards):
        table = checkpoints.plan_chunks.get().output[0]
        return expand(
            pattern, chunk=column(table, "chunk"), run=RUNS, allow_missing=True
        )

    return paths


def refuse_embedded_on_cluster():
    """Stop before the first job when cluster nodes would share a SQLite file."""
    url = os.environ.get("RENDER_WS_URL", "")
    if workflow.non_local_exec and (not url or url.startswith("sqlite:")):
        raise WorkflowError(
            "render.url is empty: the embedded render-ws is a SQLite file, and SQLite cannot be written "
            "by several hosts over a network file system. Set render.url (or the environment variable "
            "RENDER_WS_URL) to a service all nodes reach, e.g. the site's render-ws, or one started with "
            "`python -m scripts.render_ws serve --write --host HOST --token-file FILE --db render-ws.db` on a "
            "host they reach (docs/cluster.md)."
        )
