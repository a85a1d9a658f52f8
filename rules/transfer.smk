# Scope to storage: .dat files -> raw 16-bit and 8-bit align HDF5, verified, one file per layer; archive.
# Fingerprints (see scripts/transfer/state.py) stay the same while there is nothing to do: work is derived, per
# layer, from what lies there, each time the workflow is read. Folders of the deployment (.dat files, archive) are
# resolved to absolute paths once, in common.smk and here: where they lie is a param, since no rule makes them.

TRANSFER = config["transfer"]
TRANSFER |= {k: flow.resolved(ROOT, TRANSFER[k]) for k in ("raw_h5", "align_h5")}
ARCHIVE_ROOT = flow.resolved(ROOT, TRANSFER["archive_root"])
SCOPE = flow.resolved_scope(ROOT, TRANSFER["scope"])
QUIET_TIME_S = flow.quiet_time_s(TRANSFER)
ENDS = {key: config["acquisition"][key] for key in ("first_dat", "last_dat", "scope")}
# layers that lie there already are looked at in takeover.smk and not planned
TAKEN = "takeover/layers.tsv" if TAKEOVER["align_h5"] else []
# params of the jobs that open files; none for .dat files, so that their finished jobs stay as they are
SOURCE = {"source": verbatim(origin.section(config))} if TRANSFER["source"] else {}
SETTLES = ARCHIVE_ROOT is not None or TRANSFER["remove_dats"]


localrules:
    copy_dats,
    plan_transfer,
    close_transfer,
    check_transfer,


rule copy_dats:
    output:
        copied=update("transfer/copied.tsv"),
        state=update("transfer/copy.json"),
    log:
        "logs/copy_dats/scope.log",
    benchmark:
        "benchmarks/copy_dats/scope.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 600 * attempt,
    params:
        scope=verbatim(SCOPE),
        first_dat=config["acquisition"]["first_dat"],
        last_dat=config["acquisition"]["last_dat"],
        scope_name=config["acquisition"]["scope"],
        dat_root=verbatim(DAT_ROOT),
        archive_root=verbatim(ARCHIVE_ROOT),
        free_space_gb=TRANSFER["free_space_gb"],
        fingerprint=waiting_on_scope,
    script:
        "../scripts/transfer/copy_dats.py"


checkpoint plan_transfer:
    input:
        copied="transfer/copied.tsv" if SCOPE else [],
        taken=TAKEN,
    output:
        plan=update("transfer/plan.tsv"),  # read first: layers stay in their chunks
        misfits="transfer/misfits.tsv",
        state="transfer/plan.json",
    log:
        "logs/plan_transfer/plan.log",
    benchmark:
        "benchmarks/plan_transfer/plan.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        **SOURCE,
        dat_root=verbatim(DAT_ROOT),
        rows=config["acquisition"]["rows"],
        columns=config["acquisition"]["columns"],
        first_dat=config["acquisition"]["first_dat"],
        last_dat=config["acquisition"]["last_dat"],
        scope_name=config["acquisition"]["scope"],
        layers_per_job=TRANSFER["layers_per_job"],
        quiet_time_s=QUIET_TIME_S,
        archive_root=verbatim(ARCHIVE_ROOT),
        fingerprint=layers_to_do,
    script:
        "../scripts/transfer/plan_transfer.py"


rule convert_layers:
    input:
        plan=ancient("transfer/plan.tsv"),  # `work` tells whether anything of this chunk changed
        copied=ancient("transfer/copied.tsv") if SCOPE else [],
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
        runtime=lambda wc, attempt: 120 * attempt,
    params:
        **SOURCE,
        dat_root=verbatim(DAT_ROOT),
        archive_root=verbatim(ARCHIVE_ROOT),
        bad_tiles=TRANSFER["bad_tiles"],
        channel=TRANSFER["channel"],
        mipmap_levels=TRANSFER["mipmap_levels"],
        chunk_px=TRANSFER["chunk_px"],
        gzip_level=TRANSFER["gzip_level"],
        fill=TRANSFER["fill"],
        keep_contrast=TRANSFER["keep_contrast"],
        free_space_gb=TRANSFER["free_space_gb"],
        work=chunk_work,  # not read by the script
    script:
        "../scripts/transfer/convert_layers.py"


rule archive_layers:
    input:
        plan=ancient("transfer/plan.tsv"),
        converted="transfer/converted/{chunk}.tsv",
    output:
        "transfer/archived/{chunk}.tsv",
    log:
        "logs/archive_layers/{chunk}.log",
    benchmark:
        "benchmarks/archive_layers/{chunk}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 120 * attempt,
    params:
        dat_root=verbatim(DAT_ROOT),
        archive_root=verbatim(ARCHIVE_ROOT),
        remove_dats=TRANSFER["remove_dats"],
        free_space_gb=TRANSFER["free_space_gb"],
    script:
        "../scripts/transfer/archive_layers.py"


rule close_transfer:
    input:
        converted=planned("transfer/converted/{chunk}.tsv"),
        archived=planned("transfer/archived/{chunk}.tsv") if SETTLES else [],
        copied="transfer/copied.tsv" if SCOPE else [],
        taken=TAKEN,
    output:
        layers="transfer/layers.tsv",
        quarantine=in_report("transfer/quarantine.tsv", "quarantine"),
    log:
        "logs/close_transfer/layers.log",
    benchmark:
        "benchmarks/close_transfer/layers.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        **SOURCE,
        dat_root=verbatim(DAT_ROOT),
        archive_root=verbatim(ARCHIVE_ROOT),
        rows=config["acquisition"]["rows"],
        columns=config["acquisition"]["columns"],
    script:
        "../scripts/transfer/close_transfer.py"


rule check_transfer:
    input:
        layers="transfer/layers.tsv",
        quarantine="transfer/quarantine.tsv",
        misfits="transfer/misfits.tsv",
        scope="transfer/copy.json" if SCOPE else [],
    output:
        "transfer/gate.json",
    log:
        "logs/check_transfer/gate.log",
    benchmark:
        "benchmarks/check_transfer/gate.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 500 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    params:
        max_bad_share=TRANSFER["max_bad_share"],
        max_bad_tiles=TRANSFER["max_bad_tiles"],
    script:
        "../scripts/transfer/check_transfer.py"
