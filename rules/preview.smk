# A look at the volume while the microscope still works: finished layers at their stage positions, in stack
# imaging_preview and a small pyramid below preview/. The jobs are those of ingest and export with other files.
# Only slabs with something new are rendered: `made_of` is the digest of all that a slab shows.

PREVIEW = config["preview"]
PREVIEW_STACK = "imaging_preview"


localrules:
    number_preview,
    check_preview,
    plan_preview_chunks,
    plan_preview,


use rule number_layers as number_preview with:
    input:  # not the gate of the transfer: what is finished can be looked at
        transfer="transfer/layers.tsv",
        headers="ingest/headers.tsv",
    output:
        layers="preview/layers.tsv",  # its own numbers, each time anew: those of ingest are frozen for good
        summary="preview/numbering.json",
    log:
        "logs/number_preview/layers.log",
    benchmark:
        "benchmarks/number_preview/layers.tsv"


use rule check_layers as check_preview with:
    input:
        masks=MASKS,
        layers="preview/layers.tsv",
        numbering="preview/numbering.json",
        headers="ingest/headers.tsv",
    output:
        problems="preview/problems.tsv",
        page="preview/validation.html",
        restarts="preview/restarts.tsv",
        missing="preview/missing_layers.tsv",
    log:
        "logs/check_preview/layers.log",
    benchmark:
        "benchmarks/check_preview/layers.tsv"


use rule publish_acquire as publish_preview with:
    input:
        masks=MASKS,
        layers="preview/layers.tsv",
        headers="ingest/headers.tsv",
        restarts="preview/restarts.tsv",
        problems="preview/problems.tsv",
        page="preview/validation.html",
    output:
        f"stacks/{PREVIEW_STACK}.json",
    log:
        "logs/publish_preview/stack.log",
    benchmark:
        "benchmarks/publish_preview/stack.tsv"


use rule plan_chunks as plan_preview_chunks with:
    input:
        "preview/layers.tsv",
        "preview/numbering.json",
    output:
        "preview/chunks.tsv",
    log:
        "logs/plan_preview_chunks/chunks.log",
    benchmark:
        "benchmarks/plan_preview_chunks/chunks.tsv"
    params:
        size=PREVIEW["slab_layers"],


use rule plan_export as plan_preview with:
    input:
        receipt=f"stacks/{PREVIEW_STACK}.json",
        chunks="preview/chunks.tsv",
    output:
        "preview/plan.json",
    log:
        "logs/plan_preview/all.log",
    benchmark:
        "benchmarks/plan_preview/all.tsv"
    params:
        volume=f"preview/{config['volume']}",
        export={key: EXPORT[key] for key in exports.PLANNED}
        | {key: PREVIEW[key] for key in ("formats", "block_zyx_px", "step_px")}
        | {"levels": 0, "review": False},


checkpoint plan_preview_slabs:
    input:
        plan="preview/plan.json",
        receipt=f"stacks/{PREVIEW_STACK}.json",
        chunks="preview/chunks.tsv",
        layers="preview/layers.tsv",
    output:
        table="preview/slabs.tsv",
        coordinates="preview/Zcoords.txt",
    log:
        "logs/plan_preview_slabs/all.log",
    benchmark:
        "benchmarks/plan_preview_slabs/all.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        render=RENDER,
    script:
        "../scripts/export/plan_preview_slabs.py"


use rule render_slab as render_preview with:
    input:  # all of these change with every new layer; what matters to a slab is in `made_of`
        plan=ancient("preview/plan.json"),
        receipt=ancient(f"stacks/{PREVIEW_STACK}.json"),
        chunks=ancient("preview/chunks.tsv"),
        coordinates=ancient("preview/Zcoords.txt"),
    output:
        "preview/slabs/{chunk}.json",
    log:
        "logs/render_preview/{chunk}.log",
    benchmark:
        "benchmarks/render_preview/{chunk}.tsv"
    params:
        **({"work": ""} if IMAGING else {}),  # `made_of` tells
        export={key: EXPORT[key] for key in SHOWN}
        | {"z_correction": False, "fill_gaps": "leave"},
        made_of=slab_made_of,


use rule build_pyramid as build_preview with:
    input:
        plan="preview/plan.json",
        slabs=preview_slabs,
    output:
        pyramid=update("preview/pyramid.json"),  # read first: what is there is extended
        # Snakemake restores the former after a failure, and it looks new then; this one is gone
        made="preview/pyramid.made.json",
    log:
        "logs/build_preview/all.log",
    benchmark:
        "benchmarks/build_preview/all.tsv"


rule close_preview:
    input:
        plan="preview/plan.json",
        table="preview/slabs.tsv",
        slabs=preview_slabs,
        pyramid="preview/pyramid.json",
        made="preview/pyramid.made.json",
    output:
        "preview/volume.json",
    log:
        "logs/close_preview/all.log",
    benchmark:
        "benchmarks/close_preview/all.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        volume=f"{config['volume']} preview",
        data_url=EXPORT["data_url"],
        neuroglancer_url=EXPORT["neuroglancer_url"],
    script:
        "../scripts/export/close_preview.py"


use rule plot_metadata as plot_preview_metadata with:
    input:
        "preview/layers.tsv",
    output:
        page="preview/metadata.html",
        summary="preview/metadata.json",
        rows="preview/metadata.csv",
        cache=update("preview/metadata.npz"),
    log:
        "logs/plot_preview_metadata/page.log",
    benchmark:
        "benchmarks/plot_preview_metadata/page.tsv"


# what the person at the microscope wants to know after a night
rule report_imaging:
    input:
        layers="preview/layers.tsv",
        restarts="preview/restarts.tsv",
        metadata="preview/metadata.json",
        cache="preview/metadata.npz",
        transferred="transfer/layers.tsv",
        quarantine="transfer/quarantine.tsv",
        misfits="transfer/misfits.tsv",
    output:
        page="preview/imaging.html",
        summary="preview/imaging.json",
    log:
        "logs/report_imaging/page.log",
    benchmark:
        "benchmarks/report_imaging/page.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        volume=config["volume"],
        planned_layers=config["acquisition"]["planned_layers"],
        z_nm=config["acquisition"]["z_nm"],
    script:
        "../scripts/ingest/report_imaging.py"
