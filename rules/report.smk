# All receipts and tables -> one page, one summary, one text for the tracking issue.
import time

from scripts.report import eased, progress


localrules:
    publish_issue,


REPORTED = {
    "volume": config["volume"],
    "work_dir": config["work_dir"],
    "acquire": STACK["acquire"],
    "align": STACK["align"],
    "final": STACK["final"],
    "collection": COLLECTION,
    "corrections": [[step, BEFORE[step], CORRECTED[step]] for step in STEPS],
    "pixel_nm": config["acquisition"]["pixel_nm"],
    "z_nm": config["acquisition"]["z_nm"],
    "z_range": config["solve"]["z_range"],
    "fill_gaps": config["export"]["fill_gaps"],
    "overlap_um": config["ingest"]["tile_overlap_um"],
    "archive_root": ARCHIVE_ROOT,
    "imaging": config["acquisition"]["last_dat"] is None,
    "left_px": config["solve"]["misalignment"]["look_px"],
    **GRID,
    "runs": len(RUNS),
}
if config["transfer"]["keep_contrast"]:
    REPORTED["keep_contrast"] = config["transfer"]["keep_contrast"]
# limits that the config made wider; a volume without any has the params of before
if widened := eased.eased(config, SCHEMA):
    REPORTED["eased"] = widened
if config["zcorr"]["scale_z"]:
    REPORTED["held_layers"] = None  # no step of z is one that was inferred
elif REPORTED["imaging"]:
    REPORTED["held_layers"] = config["zcorr"]["keep_thickness"]
OF_REPORTS = {
    "render": RENDER,
    "dat_root": verbatim(DAT_ROOT),
    "truth": verbatim(flow.resolved(ROOT, config["report"].get("truth"))),
    "limits": config["report"]["limits"],
    "names": REPORTED,
    "asked": asked,
}
# corrected z that is taken over was not measured here
MEASURED_Z = [] if TAKEOVER["zcoords"] else ["zcorr/qc.json", "review/thickness.json"]


rule make_report:
    input:
        **listed(STACK["acquire"]),
        receipts=expand("stacks/{stack}.json", stack=sorted(set(STACK.values()))),
        results=match_results,
        corrections=expand("correct/{step}.json", step=STEPS),
        matches=f"matches/{COLLECTION}.json",
        quarantine="transfer/quarantine.tsv",
        restarts="ingest/restarts.tsv",
        missing="ingest/missing_layers.tsv",
        metadata="ingest/metadata.json",
        chunks="ingest/chunks.tsv",
        review="review/tiles.tsv",
        edges="review/edges.tsv",
        gate="review/gate.json",
        proposals="review/pictures.json",
        residuals="solve/tiles.tsv",
        pairs="solve/pairs.tsv.gz",
        solve=["solve/solve.html", "solve/pictures.json"],
        left_over=["solve/misalignment.json", "solve/misalignment.tsv.gz"],
        z_coords="zcorr/Zcoords.txt",
        quality=MEASURED_Z,
        volume="export/volume.json",
    output:
        page=in_report("report/index.html", "volume"),
        picture=in_report("report/section.png", "section"),
        summary="report/summary.json",
        issue="report/issue.md",
    log:
        "logs/make_report/report.log",
    benchmark:
        "benchmarks/make_report/report.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        **OF_REPORTS,
    script:
        "../scripts/report/make_report.py"


# on demand: the text into the volume's tracking issue, or what would change there
rule publish_issue:
    input:
        text="report/issue.md",
        summary="report/summary.json",
    output:
        record="report/published.json",
        shown="report/published.txt",
    log:
        "logs/publish_issue/issue.log",
    benchmark:
        "benchmarks/publish_issue/issue.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 500 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    params:
        tracking=config["tracking"],
        volume=config["volume"],
        imaging=config["acquisition"]["last_dat"] is None,
        # not read by the script: the issue, and what was done since, may change at any time
        asked_at=lambda wildcards: time.time_ns(),
    script:
        "../scripts/report/publish_issue.py"


# at any point of a run, on demand: what is done, what stopped it, what is to do
rule report_so_far:
    output:
        page="report/so_far.html",
        summary="report/so_far.json",
    log:
        "logs/report_so_far/report.log",
    benchmark:
        "benchmarks/report_so_far/report.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        **OF_REPORTS,
        seen=lambda wildcards: progress.fingerprint(),
    script:
        "../scripts/report/report_so_far.py"
