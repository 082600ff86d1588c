#!/usr/bin/env bash
# Deep Optimizer States: what each of its three parts gains, and what the stride does, simulated beside the authors'.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open deep-optimizer-states
here=$experiments_dir/deep-optimizer-states

# phases FILE NAMES VALUES ARGS...: the phases of an iteration of this simulation, as a row behind VALUES.
phases() {
    local file=$1 names=$2 values=$3 row
    shift 3
    "$LSPO" sim --batch 1 --sequence 2048 --precision fp16 "$@" --trace "$out/sim.trace" > /dev/null ||
        die "failed: $LSPO sim $*"
    row=$("$LSPO" sql "$here/phases.sql" ops=<(sed '/^#/d' "$out/sim.trace")) || die "no phases"
    [ -s "$file" ] || echo "$names,forward_s,backward_s,step_s,iteration_s" > "$file"
    echo "$values,$row" >> "$file"
    rm "$out/sim.trace"
}

# Of four ranks, and subgroups of 1e8 parameters each.
subgroups=(--policy deep-optimizer-states --subgroup-size 400000000 --subgroup-slots 1)
alone=("${subgroups[@]}" --interleave off --down-convert blocking)
pageable=(--set software.h2d_limit_Bps=24GB/s) # four times 6 GB/s, frameworks/deepspeed-blocking.ini

h100=(--machine "$here/machines/h100-ranks.ini" --model "$here/models/20b.ini"
    --set software.cpu_adam_limit_pps=6.72G/s) # four times 1.68 G/s; gone with --framework, so set behind it
phases "$out/decomposition.csv" parts blocking --framework deepspeed-blocking "${h100[@]}" "${pageable[@]}" \
    --set software.d2h_limit_Bps=18GB/s --policy zero # four times 4.5 GB/s
phases "$out/decomposition.csv" parts flush --framework deepspeed "${h100[@]}" "${alone[@]}"
phases "$out/decomposition.csv" parts all --framework deepspeed "${h100[@]}" "${subgroups[@]}" --stride 2

for model in 13b 20b; do
    a100=(--machine "$here/machines/a100-ranks.ini" --model "$here/models/$model.ini")
    phases "$out/strides.csv" model,stride "$model,blocking" "${a100[@]}" "${pageable[@]}" "${alone[@]}"
    phases "$out/strides.csv" model,stride "$model,async" "${a100[@]}" "${subgroups[@]}" --interleave off
    for stride in auto 2 3 4 5 6 7 8 9 10; do
        phases "$out/strides.csv" model,stride "$model,$stride" "${a100[@]}" "${subgroups[@]}" --stride $stride
    done
done
judge deep-optimizer-states "$here"
