# What the volume will cost, before it is spent: target `estimate`, as of now each time it is asked for.
import time

ESTIMATED = "acquisition transfer takeover ingest chunks match review solve correct export render".split()


localrules:
    estimate_volume,


rule estimate_volume:
    output:
        json="estimate/estimate.json",
        table="estimate/estimate.tsv",
        text="estimate/estimate.txt",
        # read first: estimates of before are compared with what was used since
        history=update("estimate/history.json"),
    log:
        "logs/estimate_volume/volume.log",
    benchmark:
        "benchmarks/estimate_volume/volume.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    params:
        sections=verbatim({key: config[key] for key in ESTIMATED}),
        dat_root=verbatim(DAT_ROOT),
        table=verbatim(str(RATES)),
        asked=asked,
        limits=side_by_side,
        # not read by the script: what there is changes with every job and file
        asked_at=lambda wildcards: time.time_ns(),
    script:
        "../scripts/transfer/estimate_volume.py"
