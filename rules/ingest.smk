# ingest: layers get numbers, tiles get specs: stack v1_acquire in render-ws.

INGEST = config["ingest"]
SPECS = ("scan_correction", "mask", "tile_overlap_um")  # what tile specs are made with


rule cache_headers:
    input:
        "transfer/layers.tsv",
    output:
        "ingest/headers.tsv",  # the cache is beside it, in ingest/headers/; it may be removed
    log:
        "logs/cache_headers/headers.log",
    benchmark:
        "benchmarks/cache_headers/headers.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=120,
    script:
        "../scripts/ingest/cache_headers.py"


rule number_layers:
    input:
        transfer="transfer/layers.tsv",
        headers="ingest/headers.tsv",
        gate="transfer/gate.json",
    output:
        layers=update("ingest/layers.tsv"),  # read first: a z, once given, is frozen
        # Snakemake restores the former after a failure, and it looks new then; this one is gone
        summary="ingest/numbering.json",
    log:
        "logs/number_layers/layers.log",
    benchmark:
        "benchmarks/number_layers/layers.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=30,
    params:
        acquisition=config["acquisition"],
        declared=config["ingest"]["layers"],
    script:
        "../scripts/ingest/number_layers.py"


rule check_layers:
    input:
        layers="ingest/layers.tsv",
        numbering="ingest/numbering.json",
        headers="ingest/headers.tsv",
    output:
        problems="ingest/problems.tsv",
        page="ingest/validation.html",
        restarts="ingest/restarts.tsv",
    log:
        "logs/check_layers/layers.log",
    benchmark:
        "benchmarks/check_layers/layers.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=30,
    params:
        ingest={key: INGEST[key] for key in SPECS + ("restart",)},
        expected={key: config["acquisition"][key] for key in (*GRID, "pixel_nm")}
        | {key: INGEST[key] for key in ("pixel_deviation_pct", "sample_ids")},
    script:
        "../scripts/ingest/check_layers.py"


rule publish_acquire:
    input:
        layers="ingest/layers.tsv",
        headers="ingest/headers.tsv",
        restarts="ingest/restarts.tsv",
        problems="ingest/problems.tsv",
        page="ingest/validation.html",
    output:
        f"stacks/{STACK['acquire']}.json",
    log:
        "logs/publish_acquire/stack.log",
    benchmark:
        "benchmarks/publish_acquire/stack.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        # one day of headers and one batch of tile specs: it does not grow with the volume
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=60,
    params:
        render=RENDER,
        ingest={key: INGEST[key] for key in SPECS},
        acquisition={key: config["acquisition"][key] for key in ("pixel_nm", "z_nm")},
    script:
        "../scripts/ingest/publish_acquire.py"


rule publish_restart:
    input:
        acquire=f"stacks/{STACK['acquire']}.json",
        restarts="ingest/restarts.tsv",
    output:
        f"stacks/{STACK['restart']}.json",
    log:
        "logs/publish_restart/stack.log",
    benchmark:
        "benchmarks/publish_restart/stack.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=60,
    params:
        render=RENDER,
        context_layers=INGEST["restart"]["context_layers"],
        acquisition={key: config["acquisition"][key] for key in ("pixel_nm", "z_nm")},
    script:
        "../scripts/ingest/publish_restart.py"


checkpoint plan_chunks:
    input:
        "ingest/layers.tsv",
        "ingest/numbering.json",
    output:
        "ingest/chunks.tsv",
    log:
        "logs/plan_chunks/chunks.log",
    benchmark:
        "benchmarks/plan_chunks/chunks.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 500 * attempt,
        runtime=10,
    params:
        size=config["chunks"]["layers"],
    script:
        "../scripts/ingest/plan_chunks.py"
