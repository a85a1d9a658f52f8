# What another pipeline made of this volume: looked at, listed, and gone on from; see section takeover of the config.
# The folders and collections are params: no rule makes them, and none writes there.


localrules:
    take_layers,


rule take_layers:
    output:
        layers="takeover/layers.tsv",
        receipt="takeover/align.json",
    log:
        "logs/take_layers/layers.log",
    benchmark:
        "benchmarks/take_layers/layers.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 120 * attempt,
    params:
        align_h5=verbatim(TAKEOVER["align_h5"]),
        raw_h5=verbatim(TAKEOVER["raw_h5"]),
        acquisition=verbatim(ENDS | GRID),
        whole=config["transfer"]["dat_root"] is None,
        files=layers_to_take,  # not read by the script
    script:
        "../scripts/transfer/take_layers.py"
