# Scope to storage: .dat files -> raw 16-bit and 8-bit align HDF5, verified, one file per layer.
import hashlib


def dat_listing(wildcards):
    """Digest of names, sizes and times below transfer.dat_root: new or changed files make a new plan."""
    files = sorted(Path(DAT_ROOT).rglob("*.dat"))
    lines = [
        f"{path}\t{path.stat().st_size}\t{path.stat().st_mtime_ns}" for path in files
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def converted(wildcards):
    """Paths of the conversion tables of all chunks of the plan."""
    table = checkpoints.plan_transfer.get().output[0]
    return expand("transfer/converted/{chunk}.tsv", chunk=column(table, "chunk"))


checkpoint plan_transfer:
    output:
        "transfer/plan.tsv",
    log:
        "logs/plan_transfer/plan.log",
    benchmark:
        "benchmarks/plan_transfer/plan.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=30,
    params:
        dat_root=DAT_ROOT,
        acquisition=config["acquisition"],
        layers_per_job=config["transfer"]["layers_per_job"],
        listing=dat_listing,  # not read by the script: it is what the plan was made of
    script:
        "../scripts/transfer/plan_transfer.py"


rule convert_layers:
    input:
        plan="transfer/plan.tsv",
    output:
        "transfer/converted/{chunk}.tsv",
    log:
        "logs/convert_layers/{chunk}.log",
    benchmark:
        "benchmarks/convert_layers/{chunk}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        # one .dat and one channel of every tile of a layer: 2 GB for 6 tiles of 290 MB
        mem_mb=lambda wc, attempt: 2500 * attempt,
        runtime=120,
    params:
        dat_root=DAT_ROOT,
        transfer=config["transfer"],
    script:
        "../scripts/transfer/convert_layers.py"


rule close_transfer:
    input:
        converted=converted,
    output:
        layers="transfer/layers.tsv",
        quarantine="transfer/quarantine.tsv",
    log:
        "logs/close_transfer/layers.log",
    benchmark:
        "benchmarks/close_transfer/layers.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=30,
    params:
        dat_root=DAT_ROOT,
        grid={name: config["acquisition"][name] for name in ("rows", "columns")},
    script:
        "../scripts/transfer/close_transfer.py"
