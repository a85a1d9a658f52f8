# Layer thickness: correlations of neighbouring layers -> corrected z, and the layers that do not fit.


rule correlate_layers:
    input:
        receipt=f"stacks/{STACK['align']}.json",
        chunks="ingest/chunks.tsv",
    output:
        correlations="zcorr/correlations/{chunk}.npz",
        layers="zcorr/layers/{chunk}.npz",
    log:
        "logs/correlate_layers/{chunk}.log",
    benchmark:
        "benchmarks/correlate_layers/{chunk}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        # comparison_range + 1 pictures at low scale, and the tiles of one layer
        mem_mb=lambda wc, attempt: 3000 * attempt,
        runtime=60,
    params:
        render=RENDER,
        zcorr=config["zcorr"],
    script:
        "../scripts/zcorr/correlate_layers.py"


rule infer_z:
    input:
        correlations=chunks("zcorr/correlations/{chunk}.npz"),
    output:
        coordinates="zcorr/Zcoords.txt",
        report="zcorr/qc.json",
        page="zcorr/thickness.html",
    log:
        "logs/infer_z/all.log",
    benchmark:
        "benchmarks/infer_z/all.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=30,
    params:
        volume=config["volume"],
        zcorr=config["zcorr"],
    script:
        "../scripts/zcorr/infer_z.py"
