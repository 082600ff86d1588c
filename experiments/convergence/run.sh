#!/usr/bin/env bash
# Held-out loss against measured time: real training on the host under four policies at the same rates.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open convergence
measure_alone
profile_measure

# The longest training of each policy is measured; for fewer steps only the loss counts.
fewer="8 24 56" most=104
[ "$EXPERIMENTS" = full ] && fewer="25 50 100 200 400" most=800
workload=(--model gpt-tiny --batch 4 --sequence 64 --learning-rate 0.0005)
"$LSPO" sim "${workload[@]}" --policy zero --machine "$PROFILE" --format csv > "$out/probe.csv" ||
    die "the probe failed"
read -r link_Bps cpu_pps < <(rates_of "$out/probe.csv" 1.5 1)
rm "$out/probe.csv"

rates=(--link "${link_Bps}B/s" --cpu "${cpu_pps}/s" --machine "$PROFILE")
loss() { # loss STEPS ARGS...: a row of losses.csv
    local n=$1 run=$out/run.$BASHPID
    "$LSPO" run "${workload[@]}" --iterations "$n" --device host "${@:2}" --format csv > "$run" 2> "$run.err" ||
        { cat "$run.err" >&2; die "a training failed"; }
    query "$run" "SELECT policy || printf(',%d,%.9g', given('steps'), held_out_after) FROM rows" --given steps="$n"
    rm "$run" "$run.err"
}
echo policy,steps,held_out_after > "$out/losses.csv"
policies=(native zero zero-delayed "lsp --subspace 64 --nnz 4 --train-rest on")
# shellcheck disable=SC2086 # flags
for policy in "${policies[@]}"; do
    lspo_row "$out/timed.csv" steps $most run "${workload[@]}" --iterations $most --device host --policy $policy \
        "${rates[@]}"
done
# shellcheck disable=SC2086 # flags
for policy in "${policies[@]}"; do
    for n in $fewer; do beside "$out/losses.csv" loss "$n" --policy $policy; done
done
beside_all
judge convergence
plot convergence "$out/convergence" \
    note="gpt-tiny, batch 4, 64 tokens, link $(rate "$link_Bps" B/s), CPU optimizer $(rate "$cpu_pps" /s)"
