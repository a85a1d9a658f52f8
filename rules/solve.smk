# Matches -> one sparse solve of all tile transforms -> the align stack.
# what `solve_compare` would do otherwise must not solve the volume anew
SOLVE = {
    key: value
    for key, value in config["solve"].items()
    if key not in ("compare", "point_cutoff", "misalignment", "keep_px")
    and not key.startswith("refine")
}
MISALIGNMENT = config["solve"]["misalignment"]
# without fields nothing asks for their files: no job, and what the receipts hold is what it was
REFINED = config["solve"]["refine"] == "field"
# while layers still come, tiles that hardly move keep their place; fields are made anew each time
GROWS = IMAGING and not REFINED
KEEP_PX = config["solve"]["keep_px"] if GROWS else 0
REFINE = {
    "cell_px": config["solve"]["refine_cell_px"],
    "errors": config["solve"]["refine_errors"],
    "montage_weight": config["solve"]["montage_weight"],
    "window_px": MISALIGNMENT["window_px"],
}
COLLECTIONS = [f"matches/{COLLECTION}.json", f"matches/{REVIEWED}.json"]
MEASURED = ("window_px", "reach_px", "windows", "order_windows")
JUDGED = (
    *("look_px", "stop_px", "unconfirmed_pct"),
    *("order_sd", "order_share", "repeated_correlation"),
)


localrules:
    check_alignment,
    list_pairs,


# while layers come; after it only chunks of which a pair changed are asked for
checkpoint list_pairs:
    input:
        **listed(STACK["acquire"]),
        matches=COLLECTIONS,
        chunks="ingest/chunks.tsv",
        results=chunks("match/results/{run}/{chunk}.tsv.gz"),
        wide="match/wide/results.tsv.gz",
    output:
        "solve/pairs_listed.tsv",
    log:
        "logs/list_pairs/all.log",
    benchmark:
        "benchmarks/list_pairs/all.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        render=RENDER,
    script:
        "../scripts/solve/list_pairs.py"


rule gather_moments:
    input:
        **of_chunk(PAIRS_LISTED, matches=COLLECTIONS, chunks="ingest/chunks.tsv"),
    output:
        "solve/moments/{chunk}.npz",
    log:
        "logs/gather_moments/{chunk}.log",
    benchmark:
        "benchmarks/gather_moments/{chunk}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        # not read by the script
        **({"pairs": pairs_of_chunk} if IMAGING else {}),
        render=RENDER,
        z_distance=config["match"]["z_distance"],
        point_cutoff=config["solve"]["point_cutoff"],
    script:
        "../scripts/solve/gather_moments.py"


rule solve_transforms:
    input:
        **PAIRS_LISTED,
        trimmed=f"stacks/{STACK['trimmed']}.json",
        matches=[f"matches/{COLLECTION}.json", f"matches/{REVIEWED}.json"],
        moments=chunks("solve/moments/{chunk}.npz"),
        restarts="ingest/restarts.tsv",
        taken="takeover/transforms.json.gz" if TAKEN_TILES else [],
    output:
        transforms="solve/transforms.json.gz",
        tiles="solve/tiles.tsv",
        layers="solve/layers.tsv",
        pairs="solve/pairs.tsv.gz",
        worst_pairs=in_report("solve/worst_pairs.tsv", "worst"),
        figures="solve/solve.json",
    log:
        "logs/solve_transforms/solve.log",
    benchmark:
        "benchmarks/solve_transforms/solve.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1  # two BLAS threads slow a narrow band down
    resources:
        # 240,000 tiles in layers of 2 x 4 need 2 GB; a wider montage up to solve.max_band_gb more
        mem_mb=lambda wc, attempt: 8000 * attempt,
        runtime=lambda wc, attempt: 120 * attempt,
    params:
        render=RENDER,
        solve=SOLVE,
    script:
        "../scripts/solve/solve_transforms.py"


rule publish_align:
    input:
        **({"fields": chunks("solve/fields/{chunk}.json.gz")} if REFINED else {}),
        trimmed=f"stacks/{STACK['trimmed']}.json",
        transforms="solve/transforms.json.gz",
    output:
        f"stacks/{STACK['align']}.json",
    log:
        "logs/publish_align/publish.log",
    benchmark:
        "benchmarks/publish_align/publish.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        render=RENDER,
        stack=STACK["align"],
        solve=SOLVE,
        keep_px=KEEP_PX,
    script:
        "../scripts/solve/publish_align.py"


rule measure_displacements:
    input:
        trimmed=f"stacks/{STACK['trimmed']}.json",
        transforms="solve/transforms.json.gz",
        chunks="ingest/chunks.tsv",
    output:
        "solve/displacements/{chunk}.npz",
    log:
        "logs/measure_displacements/{chunk}.log",
    benchmark:
        "benchmarks/measure_displacements/{chunk}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 3000 * attempt,
        runtime=lambda wc, attempt: 240 * attempt,
    params:
        render=RENDER,
        cell_px=REFINE["cell_px"],
        misalignment={key: MISALIGNMENT[key] for key in MEASURED},
    script:
        "../scripts/solve/measure_displacements.py"


rule choose_refinement:
    input:
        trimmed=f"stacks/{STACK['trimmed']}.json",
        parts=chunks("solve/displacements/{chunk}.npz"),
    output:
        figures="solve/refinement.json",
        page="solve/refinement.html",
    log:
        "logs/choose_refinement/choose.log",
    benchmark:
        "benchmarks/choose_refinement/choose.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        render=RENDER,
        refine=REFINE,
    script:
        "../scripts/solve/choose_refinement.py"


rule refine_tiles:
    input:
        trimmed=f"stacks/{STACK['trimmed']}.json",
        transforms="solve/transforms.json.gz",
        chunks="ingest/chunks.tsv",
        parts=chunks("solve/displacements/{chunk}.npz"),
        refinement="solve/refinement.json",
    output:
        "solve/fields/{chunk}.json.gz",
    log:
        "logs/refine_tiles/{chunk}.log",
    benchmark:
        "benchmarks/refine_tiles/{chunk}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: 120 * attempt,
    params:
        render=RENDER,
        refine=REFINE,
    script:
        "../scripts/solve/refine_tiles.py"


rule measure_misalignment:
    input:
        **of_layers(
            STACK["align"],
            align=f"stacks/{STACK['align']}.json",
            chunks="ingest/chunks.tsv",
        ),
    output:
        "solve/misalignment/{chunk}.tsv.gz",
    log:
        "logs/measure_misalignment/{chunk}.log",
    benchmark:
        "benchmarks/measure_misalignment/{chunk}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 120 * attempt,
    params:
        # the layers that follow its last one are looked for so far: NEXT of the script
        **shown(STACK["align"], after=10),
        render=RENDER,
        misalignment={key: MISALIGNMENT[key] for key in MEASURED},
    script:
        "../scripts/solve/measure_misalignment.py"


rule close_misalignment:
    input:
        **listed(STACK["align"]),
        parts=chunks("solve/misalignment/{chunk}.tsv.gz"),
        pairs="solve/pairs.tsv.gz",
        tiles="review/tiles.tsv",
    output:
        places="solve/misalignment.tsv.gz",
        summary="solve/misalignment.json",
    log:
        "logs/close_misalignment/close.log",
    benchmark:
        "benchmarks/close_misalignment/close.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        pixel_nm=config["acquisition"]["pixel_nm"],
        misalignment={key: MISALIGNMENT[key] for key in JUDGED},
    script:
        "../scripts/solve/close_misalignment.py"


rule check_alignment:
    input:
        "solve/misalignment.json",
    output:
        "solve/gate.json",
    log:
        "logs/check_alignment/gate.log",
    benchmark:
        "benchmarks/check_alignment/gate.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 500 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    params:
        stop_px=MISALIGNMENT["stop_px"],
        accept=MISALIGNMENT["accept"],
    script:
        "../scripts/solve/check_alignment.py"


rule picture_solve:
    input:
        align=f"stacks/{STACK['align']}.json",
        layers="solve/layers.tsv",
        worst="solve/worst_pairs.tsv",
        figures="solve/solve.json",
    output:
        page=in_report("solve/solve.html", "solve"),
        pictures="solve/pictures.json",
    log:
        "logs/picture_solve/page.log",
    benchmark:
        "benchmarks/picture_solve/page.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        render=RENDER,
    script:
        "../scripts/solve/picture_solve.py"


rule solve_compare:
    input:
        **PAIRS_LISTED,
        trimmed=f"stacks/{STACK['trimmed']}.json",
        matches=[f"matches/{COLLECTION}.json", f"matches/{REVIEWED}.json"],
        moments=chunks("solve/moments/{chunk}.npz"),
        restarts="ingest/restarts.tsv",
    output:
        "solve/compare.html",
    log:
        "logs/solve_compare/page.log",
    benchmark:
        "benchmarks/solve_compare/page.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 8000 * attempt,
        runtime=lambda wc, attempt: 120 * attempt,
    params:
        render=RENDER,
        solve={
            key: value
            for key, value in config["solve"].items()
            if key not in ("misalignment", "keep_px") and not key.startswith("refine")
        },
    script:
        "../scripts/solve/solve_compare.py"
