#!/usr/bin/env bash
# Fine-tuning on another text: held-out perplexity against measured time, each method for as long as the others, and
# the same losses against time simulated on the paper's laptop.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open fig5
measure_alone
here=$experiments_dir/fig5
profile_measure
pretrain_model

seeds=1 budget_s=2.2 eval_batches=6
[ "$EXPERIMENTS" = full ] && seeds="1 2 3" budget_s=6 eval_batches=8
workload=(--batch 4 --sequence 128)

# simulated POLICY FIELD [FLAGS...]: on this machine's profile, at the rates of this figure.
simulated() {
    local policy=$1 field=$2
    shift 2
    lspo_field "$field" sim --model "$pretrained" --machine "$PROFILE" "${workload[@]}" --policy "$policy" \
        "${rates[@]}" "$@"
}

# Link and optimizer rates at which zero spends 1.5 times its GPU time on the link, and the same on the CPU.
rates=()
"$LSPO" sim --model "$pretrained" --machine "$PROFILE" "${workload[@]}" --policy zero --format csv > "$out/probe.csv" ||
    die "the probe failed"
read -r link_Bps cpu_pps < <(rates_of "$out/probe.csv" 1.5 1)
rm "$out/probe.csv"
rates=(--link "${link_Bps}B/s" --cpu "${cpu_pps}/s")

# with_rank POLICY FLAGS RANK: peak GPU memory with the flags, in which RANK is replaced.
with_rank() {
    # shellcheck disable=SC2086 # flags
    simulated "$1" peak_gpu_bytes ${2/RANK/$3}
}

# plan_method METHOD POLICY RATE FLAGS...: how many steps fit into the time.
plan_method() {
    local method=$1 policy=$2 rate=$3 step_s steps
    shift 3
    step_s=$(simulated "$policy" iteration_s "$@")
    steps=$(awk -v budget=$budget_s -v step="$step_s" 'BEGIN { n = int(budget / step); print (n > 8 ? n : 8) }')
    case $method in
    lsp) lsp_steps=$steps ;;
    full-steps) steps=$lsp_steps ;;
    esac
    echo "$method $policy $rate $steps $*" >> "$out/plan"
}

# fine_tune SEED METHOD POLICY RATE STEPS FLAGS...
fine_tune() {
    local seed=$1 method=$2 policy=$3 rate=$4 steps=$5 own
    shift 5
    mapfile -t own < <(own_flags "$policy" --nnz 4 --subspace 512 --rank 16)
    case "$*" in *"--adam-basis eigen"*) own+=(--adam-basis eigen) ;; esac
    "$LSPO" train --model "$pretrained" --data "$corpus" --machine "$PROFILE" --policy "$policy" "${workload[@]}" \
        "${rates[@]}" --steps "$steps" --warmup-steps $((steps / 10)) --learning-rate "$rate" \
        --eval-every $(((steps + 7) / 8)) --seed "$seed" --eval-batches $eval_batches \
        --iterations $(((steps + 7) / 8)) --metrics "$out/metrics.csv" --format csv "$@" > "$out/run.csv" \
        2> "$out/err" ||
        { cat "$out/err" >&2; die "training by $method failed"; }
    [ -s "$out/runs.csv" ] || sed -n '1s/^/method,/p' "$out/run.csv" > "$out/runs.csv"
    sed -n "2s/^/$method,/p" "$out/run.csv" >> "$out/runs.csv"
    append "$out/curves.csv" "$out/metrics.csv" "$method" "$seed"
    # A step of the same schedule on the paper's laptop, where d is 512.
    "$LSPO" join --metrics "$out/metrics.csv" --model gpt2-774m --machine paper-laptop --policy "$policy" \
        --batch 4 --sequence 512 --evaluated --format csv "${own[@]}" > "$out/join.csv" 2> "$out/err" ||
        { cat "$out/err" >&2; die "join failed"; } # that its steps are larger than those trained is meant
    append "$out/joined.csv" "$out/join.csv" "$method" "$seed"
}

# append ALL ONE METHOD SEED: append the rows of one CSV to another.
append() {
    [ -s "$1" ] || sed -n '1s/^/method,seed,/p' "$2" > "$1"
    sed -n "2,\$s/^/$3,$4,/p" "$2" >> "$1"
}

lsp_flags=$(grid_rows "$here/methods" | awk '$1 == "lsp" { $1 = $2 = $3 = ""; print }')
# shellcheck disable=SC2086 # flags
lsp_bytes=$(simulated lsp peak_gpu_bytes $lsp_flags)
while read -r method policy rate flags; do
    case $flags in *RANK*) flags=${flags/RANK/$(largest_rank "$lsp_bytes" with_rank "$policy" "$flags")} ;; esac
    # shellcheck disable=SC2086 # flags
    plan_method "$method" "$policy" "$rate" $flags
done < <(grid_rows "$here/methods")
for seed in $seeds; do
    while read -r method policy rate steps flags; do
        # shellcheck disable=SC2086 # flags
        fine_tune "$seed" "$method" "$policy" "$rate" "$steps" $flags
    done < "$out/plan"
done
rm -f "$out/plan" "$out/metrics.csv" "$out/metrics.csv.training" "$out/run.csv" "$out/join.csv" "$out/err"

judge fig5 of_record="$here/recorded.csv" equal_steps="$experiments_dir/adam-basis/recorded.csv"
bands=
[ "${seeds% *}" = "$seeds" ] || bands=", bands over $(wc -w <<< "$seeds") seeds"
plot fig5 "$out/fig5" joined_note="gpt2-774m on paper-laptop" \
    note="Fine-tuning gpt-tiny on C headers: batch 4, 128 tokens, link $(
    rate "$link_Bps" B/s), CPU optimizer $(rate "$cpu_pps" /s)$bands"
