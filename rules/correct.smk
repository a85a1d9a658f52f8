# Corrections of the aligned stack, one after another: parameters and the next stack, never pixel copies.

# step -> the stack it reads; stack -> the step that makes it
BEFORE = dict(zip(STEPS, [STACK["align"], *CORRECTED.values()]))
MAKER = {stack: step for step, stack in CORRECTED.items()}
CORRECT = config["correct"]
INTENSITY = CORRECT["intensity"]
# while layers still come, tiles whose map hardly changes keep it
HELD_GREY = GROWS and "intensity" in STEPS
# stacks whose layers are compared for the levels
COMPARED = {STACK["align"]} | (
    {BEFORE.get("intensity")} if INTENSITY["tiles"] else set()
)
LEVELLED = [f"stacks/layers/{stack}.tsv" for stack in sorted(COMPARED - {None})]
LEVELLED = LEVELLED if IMAGING else []
VOXEL_NM = {key: config["acquisition"][key] for key in ("pixel_nm", "z_nm")}


localrules:
    level_layers,


rule plan_sixteen_bit:
    input:
        source=f"stacks/{BEFORE.get('16bit')}.json",
        taken=TAKEN,
    output:
        "correct/16bit_plan.tsv",
    log:
        "logs/plan_sixteen_bit/all.log",
    benchmark:
        "benchmarks/plan_sixteen_bit/all.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        render=RENDER,
        restore=CORRECT["16bit"]["restore"],
        archive_root=verbatim(ARCHIVE_ROOT),
    script:
        "../scripts/correct/plan_sixteen_bit.py"


rule restore_raw:
    input:
        plan="correct/16bit_plan.tsv",
        chunks="ingest/chunks.tsv",
    output:
        "correct/restored/{chunk}.tsv",
    log:
        "logs/restore_raw/{chunk}.log",
    benchmark:
        "benchmarks/restore_raw/{chunk}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 480 * attempt,
    script:
        "../scripts/correct/restore_raw.py"


rule measure_overlaps:
    input:
        **of_layers(
            BEFORE.get("intensity"),
            source=f"stacks/{BEFORE.get('intensity')}.json",
            chunks="ingest/chunks.tsv",
        ),
    output:
        "correct/overlaps/{chunk}.npz",
    log:
        "logs/measure_overlaps/{chunk}.log",
    benchmark:
        "benchmarks/measure_overlaps/{chunk}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 120 * attempt,
    params:
        **shown(BEFORE.get("intensity")),
        render=RENDER,
        regions=INTENSITY["regions"],
        overlap_scale=INTENSITY["overlap_scale"],
    script:
        "../scripts/correct/measure_overlaps.py"


rule compare_layers:
    input:
        **of_layers(STACK["align"]),
        layers=beside("zcorr/layers/{chunk}.npz", before=corrections.COMPARED_LAYERS),
    output:
        "correct/compared/{chunk}.npz",
    log:
        "logs/compare_layers/{chunk}.log",
    benchmark:
        "benchmarks/compare_layers/{chunk}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        method=INTENSITY["layers"],
        cutoff_share=INTENSITY["cutoff_share"],
    script:
        "../scripts/correct/compare_layers.py"


rule level_layers:
    input:
        listed=LEVELLED,
        compared=(
            chunks("correct/compared/{chunk}.npz")
            if INTENSITY["layers"] != "none"
            else []
        ),
        overlaps=chunks("correct/overlaps/{chunk}.npz") if INTENSITY["tiles"] else [],
    output:
        "correct/levels.npz",
    log:
        "logs/level_layers/all.log",
    benchmark:
        "benchmarks/level_layers/all.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        method=INTENSITY["layers"],
        hold_layers=INTENSITY["hold_layers"],
    script:
        "../scripts/correct/level_layers.py"


rule balance_tiles:
    input:
        **listed(BEFORE.get("intensity")),
        source=f"stacks/{BEFORE.get('intensity')}.json",
        chunks="ingest/chunks.tsv",
        overlaps=beside(
            "correct/overlaps/{chunk}.npz",
            before=INTENSITY["window_layers"],
            after=INTENSITY["window_layers"],
        ),
        levels="correct/levels.npz",
    output:
        "correct/maps/{chunk}.npz",
    log:
        "logs/balance_tiles/{chunk}.log",
    benchmark:
        "benchmarks/balance_tiles/{chunk}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        render=RENDER,
        settings={
            key: INTENSITY[key]
            for key in ("regions", "window_layers", "smoothness", "identity", "shared")
        },
    script:
        "../scripts/correct/balance_tiles.py"


rule correct_step:
    input:
        source=lambda wc: f"stacks/{BEFORE[wc.step]}.json",
        evidence=step_evidence,
    output:
        parameters="correct/{step}.json",
        arrays="correct/{step}.npz",
    log:
        "logs/correct_step/{step}.log",
    benchmark:
        "benchmarks/correct_step/{step}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: 120 * attempt,
    params:
        **({"keep_px": KEEP_PX} if KEEP_PX else {}),
        **({"keep_grey": INTENSITY["keep_grey"]} if HELD_GREY else {}),
        render=RENDER,
        settings=step_settings,
        voxel_nm=VOXEL_NM,
    script:
        "../scripts/correct/correct_step.py"


rule publish_corrected:
    input:
        source=lambda wc: f"stacks/{BEFORE[MAKER[wc.stack]]}.json",
        parameters=lambda wc: f"correct/{MAKER[wc.stack]}.json",
        arrays=lambda wc: f"correct/{MAKER[wc.stack]}.npz",
    output:
        "stacks/{stack}.json",
    log:
        "logs/publish_corrected/{stack}.log",
    benchmark:
        "benchmarks/publish_corrected/{stack}.tsv"
    wildcard_constraints:
        # without a step no stack matches
        stack="|".join(MAKER) or "-",
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        render=RENDER,
        voxel_nm=VOXEL_NM,
    script:
        "../scripts/correct/publish_corrected.py"


rule publish_channel:
    input:
        source=f"stacks/{STACK['final']}.json",
        parameters="correct/16bit.json",
    output:
        f"stacks/{STACK['final']}_channel_{{channel}}.json",
    log:
        "logs/publish_channel/{channel}.log",
    benchmark:
        "benchmarks/publish_channel/{channel}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        render=RENDER,
        voxel_nm=VOXEL_NM,
    script:
        "../scripts/correct/publish_channel.py"


rule destreak_proposal:
    input:
        source=f"stacks/{BEFORE.get('destreak', STACK['align'])}.json",
    output:
        proposal="correct/destreak_proposal.json",
        page="correct/destreak_proposal.html",
    log:
        "logs/destreak_proposal/all.log",
    benchmark:
        "benchmarks/destreak_proposal/all.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        volume=config["volume"],
        render=RENDER,
        voxel_nm=VOXEL_NM,
        settings=CORRECT["destreak"],
    script:
        "../scripts/correct/destreak_proposal.py"
