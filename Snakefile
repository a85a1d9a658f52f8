# From raw FIB-SEM tiles to aligned volumes. This file is an index: stages in data order.
# One volume = one YAML file = one working directory; see README.md and config/README.md.
from snakemake.utils import min_version

min_version("9.27")


report: "docs/captions/workflow.rst"


OF_THE_DEMO = ""
# the demo volume, unless --configfile names another; never both, so that nothing of it leaks into yours
if "volume" not in config:
    OF_THE_DEMO = "\n  No --configfile names a volume, so this is the demo's: `make demo` makes and runs it."

    configfile: workflow.source_path("config/config.yaml")


include: "rules/common.smk"
include: "rules/functions.smk"


# a dry run leaves no trace: it works in a mirror of the folder
workdir: dry_run.place(workflow, WORK_DIR)


include: "rules/transfer.smk"
include: "rules/takeover.smk"
include: "rules/doctor.smk"
include: "rules/estimate.smk"
include: "rules/ingest.smk"
include: "rules/metadata.smk"
include: "rules/match.smk"
include: "rules/review.smk"
include: "rules/solve.smk"
include: "rules/zcorr.smk"
include: "rules/correct.smk"
include: "rules/export.smk"
include: "rules/report.smk"
include: "rules/preview.smk"
include: "rules/finish.smk"


localrules:
    all,
    transfer,
    ingest,
    match,
    review,
    solve,
    zcorr,
    correct,
    export,
    region,
    stacks,
    tiff,
    report,
    preview,
    promote,
    promote_region,
    cleanup_listing,
    cleanup,
    doctor,
    estimate,


rule all:
    default_target: True
    input:
        "report/index.html",
        "export/volume.json",
        channel_files("volume.json"),
        # a run that is killed while it makes them anew takes them away, and what was made of them is
        # as it was: nobody else would ask for them
        expand(
            "ingest/{table}.tsv",
            table=("chunks", "problems", "missing_layers", "restarts"),
        ),


rule doctor:
    input:
        "doctor/passed.json",


rule estimate:
    input:
        "estimate/estimate.json",


rule transfer:
    input:
        "transfer/gate.json",


rule ingest:
    input:
        f"stacks/{STACK['acquire']}.json",
        f"stacks/{STACK['restart']}.json",
        "ingest/chunks.tsv",


rule match:
    input:
        f"matches/{COLLECTION}.json",


rule review:
    input:
        f"stacks/{STACK['trimmed']}.json",


rule solve:
    input:
        f"stacks/{STACK['align']}.json",
        "solve/solve.html",


rule zcorr:
    input:
        "zcorr/Zcoords.txt",


rule correct:
    input:
        f"stacks/{STACK['final']}.json",
        [f"stacks/{STACK[f'channel_{k}']}.json" for k in CHANNELS[1:]],


rule export:
    input:
        "export/volume.json",
        channel_files("volume.json"),


rule region:
    input:
        f"exports/{REGION}/volume.json",


rule stacks:
    input:
        f"exports/stacks{CUT}.json",


rule tiff:
    input:
        "tiff/tiff.json",


rule report:
    input:
        "report/index.html",


rule preview:
    input:
        "preview/volume.json",
        "preview/metadata.html",
        "preview/imaging.html",


rule promote:
    input:
        "export/promoted.json",


rule promote_region:
    input:
        f"exports/{REGION}/promoted.json",


rule cleanup_listing:
    input:
        "cleanup/listing.tsv",


rule cleanup:
    input:
        "cleanup/removed.tsv",


CLAIMS = claims.of_run(workflow, Path(WORK_DIR), logger.warning)


bill()


onstart:
    refuse_embedded_on_cluster()
    refuse_loopback_on_cluster()
    refuse_paths_that_lsf_takes_apart()
    CONSOLE.start(expected, side_by_side(None)["parallel"])
    examine_before_start()
    make_folders()
    stand_by_the_cluster()


onsuccess:
    CONSOLE.succeeded(config)


onerror:
    CONSOLE.failed(log, config)
