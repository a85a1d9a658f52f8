# Faults that are known before anything is done: `snakemake doctor`, and the start of every run.
from scripts.transfer import doctor as examination

EXAMINED = "acquisition transfer ingest review correct".split()


def examine_before_start():
    """Stop before the first job, with all findings, when one of them is an error."""
    try:
        examination.require(
            examination.examine(config, Path(DAT_ROOT), Path(WORK_DIR))
        )
    except UserError as error:
        raise WorkflowError(str(error)) from None


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
        runtime=10,
    params:
        sections=verbatim({key: config[key] for key in EXAMINED}),
        dat_root=verbatim(DAT_ROOT),
        fingerprint=layers_to_do,
    script:
        "../scripts/transfer/examine_volume.py"
