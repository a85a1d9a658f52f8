# Is the match graph fit to be solved? Survey, patches in rounds, clusters, decisions, the gate, the trimmed stack.
from dataclasses import fields

from scripts.lib.schema import given
from scripts.review.evidence import Limits as GateLimits
from scripts.review.suspects import Limits as VerdictLimits

REVIEW = config["review"]
VERDICTS = {each.name: REVIEW[each.name] for each in fields(VerdictLimits)}
DECISIONS = {key: REVIEW[key] for key in ("auto", "exclude", "keep", "patch")}
GATE = {
    "limits": {each.name: REVIEW[each.name] for each in fields(GateLimits)},
    "given": given(REVIEW, SCHEMA["properties"]["review"]),
    "preset": config["match"]["preset"],
}
BRIDGES = ("bridge", "bridge_from_layers", "bridge_window_layers")


localrules:
    check_contrast,
    check_gate,


rule survey_tiles:
    input:
        **of_layers(
            STACK["acquire"],
            acquire=f"stacks/{STACK['acquire']}.json",
            chunks="ingest/chunks.tsv",
        ),
    output:
        "review/survey/{chunk}.tsv.gz",
    log:
        "logs/survey_tiles/{chunk}.log",
    benchmark:
        "benchmarks/survey_tiles/{chunk}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 120 * attempt,
    params:
        **shown(STACK["acquire"], before=2, after=2),  # REACH of the survey
        render=RENDER,
    script:
        "../scripts/review/survey_tiles.py"


# before the matching: nothing matches across a flip, and whatever is converted anew is matched anew. A checkpoint, since
# the jobs that take its output as `ancient` have reasons of their own, at which Snakemake does not look while this one waits
checkpoint check_contrast:
    input:
        **listed(STACK["acquire"]),
        survey=chunks("review/survey/{chunk}.tsv.gz"),
        layers="ingest/layers.tsv",
    output:
        "review/contrast.json",
    log:
        "logs/check_contrast/contrast.log",
    benchmark:
        "benchmarks/check_contrast/contrast.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 15 * attempt,
    params:
        most=REVIEW["max_contrast_flips"],
        kept=config["transfer"]["keep_contrast"],
    script:
        "../scripts/review/check_contrast.py"


checkpoint propose_patches:
    input:
        **listed(STACK["acquire"]),
        acquire=f"stacks/{STACK['acquire']}.json",
        matches=f"matches/{COLLECTION}.json",
        survey=chunks("review/survey/{chunk}.tsv.gz"),
        results=match_results,
        taken=TAKEN_TILES,
    output:
        proposed="review/patch_proposals.tsv",
        applied="review/patches/0.tsv",
    log:
        "logs/propose_patches/propose.log",
    benchmark:
        "benchmarks/propose_patches/propose.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        **DECISIONS,
        render=RENDER,
        limits=VERDICTS,
    script:
        "../scripts/review/propose_patches.py"


rule publish_patches:
    input:
        **listed(STACK["acquire"]),
        **{run: chunks(f"match/pairs/{run}/{{chunk}}.tsv.gz") for run in RUNS},
        acquire=f"stacks/{STACK['acquire']}.json",
        patches=lambda wc: f"review/patches/{int(wc.round) - 1}.tsv",
    output:
        **{run: f"review/patch_pairs/{{round}}/{run}.tsv.gz" for run in RUNS},
        receipt=f"stacks/{STACK['acquire']}_patch{{round}}.json",
    log:
        "logs/publish_patches/{round}.log",
    benchmark:
        "benchmarks/publish_patches/{round}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        render=RENDER,
        runs=RUNS,
        stack=lambda wc: f"{STACK['acquire']}_patch{wc.round}",
    script:
        "../scripts/review/publish_patches.py"


use rule match_pairs as match_patches with:
    input:
        stack=f"stacks/{STACK['acquire']}_patch{{round}}.json",
        pairs="review/patch_pairs/{round}/{run}.tsv.gz",
        taken=TAKEN_MATCHES,
    output:
        "review/patch_results/{round}/{run}.tsv.gz",
    log:
        "logs/match_patches/{round}/{run}.log",
    benchmark:
        "benchmarks/match_patches/{round}/{run}.tsv"
    params:
        **OF_SOURCE,
        **({"shown": ""} if IMAGING else {}),  # their inputs tell what is new
        render=RENDER,
        collection=REVIEWED,
        stage_tables=STAGE_TABLES,
        feature_cache_mb=config["match"]["feature_cache_mb"],


checkpoint settle_patches:
    input:
        acquire=f"stacks/{STACK['acquire']}.json",
        patches=lambda wc: f"review/patches/{int(wc.round) - 1}.tsv",
        results=patch_results_until,
    output:
        "review/patches/{round}.tsv",
    log:
        "logs/settle_patches/{round}.log",
    benchmark:
        "benchmarks/settle_patches/{round}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        render=RENDER,
    script:
        "../scripts/review/settle_patches.py"


rule review_connectivity:
    input:
        **listed(STACK["acquire"]),
        acquire=f"stacks/{STACK['acquire']}.json",
        matches=f"matches/{COLLECTION}.json",
        survey=chunks("review/survey/{chunk}.tsv.gz"),
        results=match_results,
        proposed="review/patch_proposals.tsv",
        applied=last_patches,
        patch_results=patch_results,
        taken=TAKEN_TILES,
    output:
        clusters="review/clusters.json",
        tiles="review/tiles.tsv",
        edges=in_report("review/edges.tsv", "edges"),
        patches="review/patches.tsv",
        bridges="review/bridges.tsv",
        statistics="review/statistics.tsv",
        proposals="review/proposals.yaml",
        matches=f"matches/{REVIEWED}.json",
    log:
        "logs/review_connectivity/review.log",
    benchmark:
        "benchmarks/review_connectivity/review.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        **DECISIONS,
        **{key: REVIEW[key] for key in BRIDGES},
        render=RENDER,
        collection=REVIEWED,
        limits=VERDICTS,
    script:
        "../scripts/review/review_connectivity.py"


rule review_page:
    input:
        **listed(STACK["acquire"]),
        acquire=f"stacks/{STACK['acquire']}.json",
        results=match_results,
        restarts="ingest/restarts.tsv",
        clusters="review/clusters.json",
        tiles="review/tiles.tsv",
        edges="review/edges.tsv",
        patches="review/patches.tsv",
        statistics="review/statistics.tsv",
        proposals="review/proposals.yaml",
        matches=f"matches/{COLLECTION}.json",
        summary="match/summary.tsv",
        layers="ingest/layers.tsv",
    output:
        page=in_report("review/index.html", "review"),
        pictures="review/pictures.json",
    log:
        "logs/review_page/page.log",
    benchmark:
        "benchmarks/review_page/page.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        render=RENDER,
        volume=config["volume"],
        collection=COLLECTION,
        gate=GATE,
    script:
        "../scripts/review/review_page.py"


rule check_gate:
    input:
        page="review/index.html",
        clusters="review/clusters.json",
        tiles="review/tiles.tsv",
        edges="review/edges.tsv",
        patches="review/patches.tsv",
        proposals="review/proposals.yaml",
        matches=f"matches/{COLLECTION}.json",
        summary="match/summary.tsv",
        layers="ingest/layers.tsv",
    output:
        "review/gate.json",
    log:
        "logs/check_gate/gate.log",
    benchmark:
        "benchmarks/check_gate/gate.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 15 * attempt,
    params:
        **GATE,
    script:
        "../scripts/review/check_gate.py"


rule publish_trimmed:
    input:
        acquire=f"stacks/{STACK['acquire']}.json",
        tiles="review/tiles.tsv",
        patches="review/patches.tsv",
        gate="review/gate.json",
    output:
        f"stacks/{STACK['trimmed']}.json",
    log:
        "logs/publish_trimmed/publish.log",
    benchmark:
        "benchmarks/publish_trimmed/publish.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        render=RENDER,
        stack=STACK["trimmed"],
    script:
        "../scripts/review/publish_trimmed.py"


# What the stage zcorr hands back: it fills its place on the page above, which is not written again.
rule review_thickness:
    input:
        acquire=f"stacks/{STACK['acquire']}.json",
        proposals="zcorr/proposals.yaml",
    output:
        part="review/thickness.js",
        pictures="review/thickness.json",
    log:
        "logs/review_thickness/page.log",
    benchmark:
        "benchmarks/review_thickness/page.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 15 * attempt,
    params:
        render=RENDER,
    script:
        "../scripts/review/review_thickness.py"
