# Everything rendered once, into N5 and OME-Zarr with a pyramid. The volumes are no declared outputs:
# Snakemake would delete them with a failed job. The records in export/ stand for them.

EXPORT = config["export"]
SHOWN = ("blend", "interpolation", "z_correction", "fill_gaps")  # what voxels depend on
# 16 bit are those of the raw files, which step 16bit of the corrections puts in the tiles' place
DTYPE = "uint16" if "16bit" in STEPS else "uint8"
WINDOWS = ("window_px", "reach_px", "windows")  # seams are compared as the solve does
PLANNED = exports.planned(EXPORT, DTYPE) | ({"grows": True} if GROWS else {})
CONTRAST = EXPORT["contrast"]
# what layers share is asked of their tiles
CROPPING = {"render": RENDER} if (EXPORT["crop"] or {}).get("shared_by") else {}
MEASURED = ("every_layers", "cell_px")


localrules:
    plan_export,
    plan_part,
    plan_slabs,
    compare_stacks,
    plan_tiffs,


rule plan_export:
    input:
        receipt=f"stacks/{STACK['final']}.json",
        chunks="ingest/chunks.tsv",
        gate="solve/gate.json",
    output:
        "export/plan.json",
    log:
        "logs/plan_export/all.log",
    benchmark:
        "benchmarks/plan_export/all.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    params:
        **CROPPING,
        volume=config["volume"],
        voxel_nm={key: config["acquisition"][key] for key in ("pixel_nm", "z_nm")},
        export=verbatim(PLANNED),
    script:
        "../scripts/export/plan_export.py"


rule measure_grey_values:
    input:
        **of_layers(
            STACK["final"],
            receipt=f"stacks/{STACK['final']}.json",
            chunks="ingest/chunks.tsv",
        ),
    output:
        "export/grey_values/{chunk}.npz",
    log:
        "logs/measure_grey_values/{chunk}.log",
    benchmark:
        "benchmarks/measure_grey_values/{chunk}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1500 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        **shown(STACK["final"]),
        **({"cells": place_of_cells} if IMAGING else {}),  # not read by the script
        **({"grows": True} if GROWS else {}),
        render=RENDER,
        settings={key: CONTRAST[key] for key in MEASURED},
    script:
        "../scripts/export/measure_grey_values.py"


rule set_contrast:
    input:
        **listed(STACK["final"]),
        measured=chunks("export/grey_values/{chunk}.npz"),
    output:
        limits="export/contrast.npz",
        shown="export/contrast.json",
    log:
        "logs/set_contrast/all.log",
    benchmark:
        "benchmarks/set_contrast/all.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        **({"keep_grey": CONTRAST["keep_grey"]} if GROWS else {}),
        settings={
            key: value
            for key, value in CONTRAST.items()
            if key not in (*MEASURED, "keep_grey")
        },
    script:
        "../scripts/export/set_contrast.py"


# while layers come; after it only slabs of which something changed are asked for
checkpoint plan_slabs:
    input:
        plan="export/plan.json",
        receipt=f"stacks/{STACK['final']}.json",
        chunks="ingest/chunks.tsv",
        coordinates="zcorr/Zcoords.txt",
        contrast=exports.contrast_of(PLANNED),
        listed=f"stacks/layers/{STACK['acquire']}.tsv",  # images of the same names may be others
    output:
        "export/slabs.tsv",
    log:
        "logs/plan_slabs/all.log",
    benchmark:
        "benchmarks/plan_slabs/all.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        render=RENDER,
        export={key: EXPORT[key] for key in SHOWN},
    script:
        "../scripts/export/plan_slabs.py"


rule render_slab:
    input:
        **of_chunk(
            SLABS_LISTED,
            plan="export/plan.json",
            receipt=f"stacks/{STACK['final']}.json",
            chunks="ingest/chunks.tsv",
            coordinates="zcorr/Zcoords.txt",
            contrast=exports.contrast_of(PLANNED),
        ),
        # what check_slab found lost or broken, if it did: newer than the slab's record, it is written again
        damaged=lambda wc: [*map(str, Path("export/damaged").glob(f"{wc.chunk}.json"))],
    output:
        "export/slabs/{chunk}.json",
    log:
        "logs/render_slab/{chunk}.log",
    benchmark:
        "benchmarks/render_slab/{chunk}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: resources.slab_mb(EXPORT, DTYPE, attempt),
        runtime=lambda wc, attempt: 120 * attempt,
    params:
        **({"work": slab_work} if IMAGING else {}),  # not read by the script
        render=RENDER,
        export={key: EXPORT[key] for key in SHOWN},
    script:
        "../scripts/export/render_slab.py"


rule check_slab:
    input:
        **of_chunk(
            SLABS_LISTED,
            plan="export/plan.json",
            # to compare the seams of tiles in what is stored; parts have none compared
            receipt=f"stacks/{STACK['final']}.json",
            coordinates="zcorr/Zcoords.txt",
        ),
        slab="export/slabs/{chunk}.json",
    output:
        "export/checked/{chunk}.json",
    log:
        "logs/check_slab/{chunk}.log",
    benchmark:
        "benchmarks/check_slab/{chunk}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: resources.slab_mb(EXPORT, DTYPE, attempt),
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        **({"grows": True} if GROWS else {}),
        render=RENDER,
        seam={key: EXPORT[key] for key in SHOWN}
        | {key: config["solve"]["misalignment"][key] for key in WINDOWS}
        | {"layers": EXPORT["seam_layers"]},
    script:
        "../scripts/export/check_slab.py"


rule build_span:
    input:
        **SLABS_LISTED,
        plan="export/plan.json",
        slabs=span_chunks("export/slabs/{chunk}.json"),
    output:
        "export/spans/{span}.json",
    log:
        "logs/build_span/{span}.log",
    benchmark:
        "benchmarks/build_span/{span}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: resources.pyramid_mb(EXPORT, DTYPE, attempt),
        runtime=lambda wc, attempt: 120 * attempt,
    params:
        **({"grows": True} if GROWS else {}),
    script:
        "../scripts/export/build_span.py"


rule build_pyramid:
    input:
        **SLABS_LISTED,
        plan="export/plan.json",
        slabs=chunks("export/slabs/{chunk}.json"),
        spans=spans("export/spans/{span}.json"),
    output:
        "export/pyramid.json",
    log:
        "logs/build_pyramid/all.log",
    benchmark:
        "benchmarks/build_pyramid/all.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: resources.pyramid_mb(EXPORT, DTYPE, attempt),
        runtime=lambda wc, attempt: 240 * attempt,
    params:
        **({"grows": True} if GROWS else {}),
    script:
        "../scripts/export/build_pyramid.py"


rule close_export:
    input:
        **SLABS_LISTED,
        plan="export/plan.json",
        slabs=chunks("export/slabs/{chunk}.json"),
        checked=chunks("export/checked/{chunk}.json"),
        spans=spans("export/spans/{span}.json"),
        pyramid="export/pyramid.json",
        coordinates="zcorr/Zcoords.txt",
    output:
        volume="export/volume.json",
        seams="export/seams.tsv",
    log:
        "logs/close_export/all.log",
    benchmark:
        "benchmarks/close_export/all.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: resources.pyramid_mb(EXPORT, DTYPE, attempt),
        runtime=lambda wc, attempt: 240 * attempt,
    params:
        **({"grows": True} if GROWS else {}),
        volume=config["volume"],
        data_url=EXPORT["data_url"],
        neuroglancer_url=EXPORT["neuroglancer_url"],
        in_z={key: EXPORT[key] for key in ("z_correction", "fill_gaps")},
    script:
        "../scripts/export/close_export.py"


# Exports beside the whole one: other channels of a 16-bit volume, and a region. The same jobs with other
# files; {part} names the export, see `export_parts` in scripts/lib/flow.py.


use rule plan_export as plan_part with:
    input:
        receipt=lambda wc: f"stacks/{PARTS[wc.part]['stack']}.json",
        chunks="ingest/chunks.tsv",
    output:
        "exports/{part}/plan.json",
    log:
        "logs/plan_part/{part}.log",
    benchmark:
        "benchmarks/plan_part/{part}.tsv"
    params:
        volume=lambda wc: PARTS[wc.part]["volume"],
        export=lambda wc: PLANNED | PARTS[wc.part]["cut"],


use rule measure_grey_values as measure_part_grey_values with:
    input:
        receipt=lambda wc: f"stacks/{PARTS[wc.part]['stack']}.json",
        chunks="ingest/chunks.tsv",
    output:
        "exports/{part}/grey_values/{chunk}.npz",
    log:
        "logs/measure_part_grey_values/{part}/{chunk}.log",
    benchmark:
        "benchmarks/measure_part_grey_values/{part}/{chunk}.tsv"
    params:
        # their inputs tell what is new
        **({"shown": "", "cells": ""} if IMAGING else {}),


use rule set_contrast as set_part_contrast with:
    input:
        measured=chunks("exports/{part}/grey_values/{chunk}.npz"),
    output:
        limits="exports/{part}/contrast.npz",
        shown="exports/{part}/contrast.json",
    log:
        "logs/set_part_contrast/{part}.log",
    benchmark:
        "benchmarks/set_part_contrast/{part}.tsv"


use rule render_slab as render_part with:
    input:
        plan="exports/{part}/plan.json",
        receipt=lambda wc: f"stacks/{PARTS[wc.part]['stack']}.json",
        chunks="ingest/chunks.tsv",
        coordinates="zcorr/Zcoords.txt",
        contrast=lambda wc: exports.contrast_of(
            PLANNED | PARTS[wc.part]["cut"], wc.part
        ),
        damaged=lambda wc: [
            *map(str, Path(f"exports/{wc.part}/damaged").glob(f"{wc.chunk}.json"))
        ],
    output:
        "exports/{part}/slabs/{chunk}.json",
    log:
        "logs/render_part/{part}/{chunk}.log",
    benchmark:
        "benchmarks/render_part/{part}/{chunk}.tsv"
    params:
        **({"work": ""} if IMAGING else {}),  # their inputs tell what is new


use rule check_slab as check_part with:
    input:
        plan="exports/{part}/plan.json",
        slab="exports/{part}/slabs/{chunk}.json",
    output:
        "exports/{part}/checked/{chunk}.json",
    log:
        "logs/check_part/{part}/{chunk}.log",
    benchmark:
        "benchmarks/check_part/{part}/{chunk}.tsv"


use rule build_span as build_part_span with:
    input:
        plan="exports/{part}/plan.json",
        slabs=span_chunks("exports/{part}/slabs/{chunk}.json"),
    output:
        "exports/{part}/spans/{span}.json",
    log:
        "logs/build_part_span/{part}/{span}.log",
    benchmark:
        "benchmarks/build_part_span/{part}/{span}.tsv"


use rule build_pyramid as build_part with:
    input:
        plan="exports/{part}/plan.json",
        slabs=part_chunks("exports/{part}/slabs/{chunk}.json"),
        spans=spans("exports/{part}/spans/{span}.json"),
    output:
        "exports/{part}/pyramid.json",
    log:
        "logs/build_part/{part}.log",
    benchmark:
        "benchmarks/build_part/{part}.tsv"


use rule close_export as close_part with:
    input:
        plan="exports/{part}/plan.json",
        slabs=part_chunks("exports/{part}/slabs/{chunk}.json"),
        checked=part_chunks("exports/{part}/checked/{chunk}.json"),
        spans=spans("exports/{part}/spans/{span}.json"),
        pyramid="exports/{part}/pyramid.json",
        coordinates="zcorr/Zcoords.txt",
    output:
        "exports/{part}/volume.json",
    log:
        "logs/close_part/{part}.log",
    benchmark:
        "benchmarks/close_part/{part}.tsv"
    params:
        volume=lambda wc: f"{config['volume']} {wc.part}",


rule compare_stacks:
    input:
        expand("exports/{part}/volume.json", part=SIDE_BY_SIDE),
    output:
        f"exports/stacks{CUT}.json",
    log:
        "logs/compare_stacks/all.log",
    benchmark:
        "benchmarks/compare_stacks/all.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 500 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    params:
        names=[each["name"] for each in SIDE_BY_SIDE.values()],
        neuroglancer_url=EXPORT["neuroglancer_url"],
    script:
        "../scripts/export/compare_stacks.py"


# TIFF of a finished volume, on demand


rule plan_tiffs:
    input:
        plan="export/plan.json",
        volume="export/volume.json",
    output:
        "tiff/plan.json",
    log:
        "logs/plan_tiffs/all.log",
    benchmark:
        "benchmarks/plan_tiffs/all.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 500 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    params:
        volume=config["volume"],
        settings=EXPORT["tiff"],
    script:
        "../scripts/export/plan_tiffs.py"


rule write_tiffs:
    input:
        plan="tiff/plan.json",
        export="export/plan.json",
        chunks="ingest/chunks.tsv",
    output:
        "tiff/slices/{chunk}.json",
    log:
        "logs/write_tiffs/{chunk}.log",
    benchmark:
        "benchmarks/write_tiffs/{chunk}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 2500 * attempt,
        runtime=lambda wc, attempt: 120 * attempt,
    script:
        "../scripts/export/write_tiffs.py"


rule close_tiffs:
    input:
        plan="tiff/plan.json",
        slices=chunks("tiff/slices/{chunk}.json"),
    output:
        "tiff/tiff.json",
    log:
        "logs/close_tiffs/all.log",
    benchmark:
        "benchmarks/close_tiffs/all.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 2500 * attempt,
        runtime=lambda wc, attempt: 480 * attempt,
    script:
        "../scripts/export/close_tiffs.py"
