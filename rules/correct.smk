# Corrections of the aligned stack, one after another: parameters and the next stack, never pixel copies.

# step -> the stack it reads; stack -> the step that makes it
BEFORE, MAKER = {}, {}
for number, step in enumerate(STEPS):
    BEFORE[step] = STACK["align"] + "".join(SUFFIX[name] for name in STEPS[:number])
    MAKER[BEFORE[step] + SUFFIX[step]] = step


rule correct_step:
    input:
        source=lambda wc: f"stacks/{BEFORE[wc.step]}.json",
    output:
        "correct/{step}.json",
    log:
        "logs/correct_step/{step}.log",
    benchmark:
        "benchmarks/correct_step/{step}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=30,
    params:
        render=RENDER,
    script:
        "../scripts/correct/correct_step.py"


rule publish_corrected:
    input:
        source=lambda wc: f"stacks/{BEFORE[MAKER[wc.stack]]}.json",
        parameters=lambda wc: f"correct/{MAKER[wc.stack]}.json",
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
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=30,
    params:
        render=RENDER,
        voxel_nm={key: config["acquisition"][key] for key in ("pixel_nm", "z_nm")},
    script:
        "../scripts/correct/publish_corrected.py"
