# Layer numbers, tile specs and chunks: stack v1_acquire in render-ws.


rule number_layers:
    input:
        "transfer/layers.tsv",
    output:
        update("ingest/layers.tsv"),  # read first: a z, once given, is frozen
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
        grid=[config["acquisition"]["rows"], config["acquisition"]["columns"]],
        drop=config["ingest"]["drop_layers"],
    script:
        "../scripts/ingest/number_layers.py"


rule publish_acquire:
    input:
        layers="ingest/layers.tsv",
        transfer="transfer/layers.tsv",
    output:
        receipt=f"stacks/{STACK['acquire']}.json",
        restarts="ingest/restarts.tsv",
    log:
        "logs/publish_acquire/stack.log",
    benchmark:
        "benchmarks/publish_acquire/stack.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        # about 10 kB per tile spec: 100,000 tiles need 1 GB
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=60,
    params:
        render=RENDER,
        ingest={k: v for k, v in config["ingest"].items() if k != "drop_layers"},
        acquisition={
            k: config["acquisition"][k]
            for k in ("rows", "columns", "pixel_nm", "z_nm")
        },
    script:
        "../scripts/ingest/publish_acquire.py"


checkpoint plan_chunks:
    input:
        "ingest/layers.tsv",
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
