# ingest: layers get numbers, tiles get specs: stack v1_acquire in render-ws.

INGEST = config["ingest"]
INGEST["mask"] = flow.resolved_masks(ROOT, INGEST["mask"])
MASK_IMAGES = flow.mask_images(INGEST["mask"])
# no param where nothing is exchanged: a new one would publish a stack again
EXCHANGED = {"exchange": INGEST["exchange"]} if INGEST["exchange"] else {}
MASKS = "ingest/masks.tsv" if MASK_IMAGES else []


localrules:
    copy_masks,
    number_layers,
    check_layers,
    publish_restart,
    plan_chunks,
    list_layers,


# of long volumes: the first reading takes a millisecond a tile
rule read_headers:
    input:
        lambda wc: expand(
            "transfer/converted/{chunk}.tsv", chunk=header_spans()[wc.span]
        ),
    output:
        "ingest/read/{span}.npz",
    log:
        "logs/read_headers/{span}.log",
    benchmark:
        "benchmarks/read_headers/{span}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 500 * attempt,
        runtime=lambda wc, attempt: 30 * attempt,
    script:
        "../scripts/ingest/read_headers.py"


rule cache_headers:
    input:
        transfer="transfer/layers.tsv",
        parts=lambda wc: expand("ingest/read/{span}.npz", span=header_spans()),
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
        runtime=lambda wc, attempt: 120 * attempt,
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
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        rows=config["acquisition"]["rows"],
        columns=config["acquisition"]["columns"],
        first_dat=config["acquisition"]["first_dat"],
        last_dat=config["acquisition"]["last_dat"],
        scope_name=config["acquisition"]["scope"],
        declared=INGEST["layers"],
    script:
        "../scripts/ingest/number_layers.py"


# the copies lie beside the table, in ingest/masks/, each named by its content
rule copy_masks:
    output:
        "ingest/masks.tsv",
    log:
        "logs/copy_masks/masks.log",
    benchmark:
        "benchmarks/copy_masks/masks.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    params:
        images=mask_contents,
    script:
        "../scripts/ingest/copy_masks.py"


rule check_layers:
    input:
        masks=MASKS,
        layers="ingest/layers.tsv",
        numbering="ingest/numbering.json",
        headers="ingest/headers.tsv",
    output:
        problems="ingest/problems.tsv",
        page=in_report("ingest/validation.html", "ingest"),
        restarts="ingest/restarts.tsv",
        missing="ingest/missing_layers.tsv",
    log:
        "logs/check_layers/layers.log",
    benchmark:
        "benchmarks/check_layers/layers.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        **EXCHANGED,
        scan_correction=INGEST["scan_correction"],
        mask=verbatim(INGEST["mask"]),
        tile_overlap_um=INGEST["tile_overlap_um"],
        stage_offsets=INGEST["stage_offsets"],
        restart=INGEST["restart"],
        rows=config["acquisition"]["rows"],
        columns=config["acquisition"]["columns"],
        pixel_nm=config["acquisition"]["pixel_nm"],
        pixel_deviation_pct=INGEST["pixel_deviation_pct"],
        sample_ids=INGEST["sample_ids"],
        declared=INGEST["layers"],
    script:
        "../scripts/ingest/check_layers.py"


rule publish_acquire:
    input:
        masks=MASKS,
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
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        **EXCHANGED,
        render=RENDER,
        scan_correction=INGEST["scan_correction"],
        mask=verbatim(INGEST["mask"]),
        tile_overlap_um=INGEST["tile_overlap_um"],
        stage_offsets=INGEST["stage_offsets"],
        pixel_nm=config["acquisition"]["pixel_nm"],
        z_nm=config["acquisition"]["z_nm"],
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
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        render=RENDER,
        context_layers=INGEST["restart"]["context_layers"],
        pixel_nm=config["acquisition"]["pixel_nm"],
        z_nm=config["acquisition"]["z_nm"],
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
        runtime=lambda wc, attempt: 10 * attempt,
    params:
        size=config["chunks"]["layers"],
    script:
        "../scripts/ingest/plan_chunks.py"


# while layers come; after it only chunks of which a layer changed are asked for
checkpoint list_layers:
    input:
        receipt="stacks/{stack}.json",
        # images of the same names may be others, of any stack
        acquired=lambda wc: (
            []
            if wc.stack == STACK["acquire"]
            else f"stacks/layers/{STACK['acquire']}.tsv"
        ),
    output:
        "stacks/layers/{stack}.tsv",
    log:
        "logs/list_layers/{stack}.log",
    benchmark:
        "benchmarks/list_layers/{stack}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        render=RENDER,
    script:
        "../scripts/ingest/list_layers.py"
