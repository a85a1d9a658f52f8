# Header fields of all tiles over z: one page, for the report and for whoever watches the microscope.


rule plot_metadata:
    input:
        "ingest/layers.tsv",
    output:
        page=in_report("ingest/metadata.html", "metadata"),
        summary="ingest/metadata.json",
        rows="ingest/metadata.csv",
        cache=update("ingest/metadata.npz"),  # read first: only new files are opened
    log:
        "logs/plot_metadata/page.log",
    benchmark:
        "benchmarks/plot_metadata/page.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        # 1 kB per tile, a few times over
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        volume=config["volume"],
    script:
        "../scripts/ingest/plot_metadata.py"
