# Faults that are known before anything is done: target `doctor`, and the start of every run.
EXAMINED = "acquisition transfer takeover ingest match review solve zcorr correct export report".split()


localrules:
    examine_volume,


rule examine_volume:
    output:
        "doctor/passed.json",
    log:
        "logs/examine_volume/volume.log",
    benchmark:
        "benchmarks/examine_volume/volume.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    params:
        sections=verbatim({key: config[key] for key in EXAMINED} | {"render": RENDER}),
        dat_root=verbatim(DAT_ROOT),
        fingerprint=layers_to_do,
    script:
        "../scripts/transfer/examine_volume.py"
