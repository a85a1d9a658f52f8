# After a good export, on demand: the volume to its place, and what it no longer needs away.


localrules:
    promote_volume,
    promote_part,


rule promote_volume:
    input:
        # the channels go with the whole: all of them can be renamed, or none is
        plans=["export/plan.json", *channel_files("plan.json")],
        volumes=["export/volume.json", *channel_files("volume.json")],
    output:
        "export/promoted.json",
    log:
        "logs/promote_volume/all.log",
    benchmark:
        "benchmarks/promote_volume/all.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 500 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    params:
        promote_root=verbatim(flow.resolved(ROOT, EXPORT["promote_root"])),
    script:
        "../scripts/export/promote_volume.py"


use rule promote_volume as promote_part with:
    input:
        plans=["exports/{part}/plan.json"],
        volumes=["exports/{part}/volume.json"],
    output:
        "exports/{part}/promoted.json",
    log:
        "logs/promote_part/{part}.log",
    benchmark:
        "benchmarks/promote_part/{part}.tsv"


rule list_leftovers:
    input:
        layers="transfer/layers.tsv",
        volume="export/volume.json",
    output:
        listing="cleanup/listing.tsv",
        word="cleanup/word.txt",
    log:
        "logs/list_leftovers/all.log",
    benchmark:
        "benchmarks/list_leftovers/all.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        archive_root=verbatim(ARCHIVE_ROOT),
    script:
        "../scripts/export/list_leftovers.py"


rule remove_leftovers:
    input:
        layers="transfer/layers.tsv",
        volume="export/volume.json",
        listing="cleanup/listing.tsv",
    output:
        "cleanup/removed.tsv",
    log:
        "logs/remove_leftovers/all.log",
    benchmark:
        "benchmarks/remove_leftovers/all.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 120 * attempt,
    params:
        word=EXPORT["cleanup_word"],
        archive_root=verbatim(ARCHIVE_ROOT),
    script:
        "../scripts/export/remove_leftovers.py"
