#!/usr/bin/env bash
# Held-out loss against measured time: real training on the host under four policies at the same rates.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open convergence
measure_alone
profile_measure

steps="8 24 56 104"
[ "$EXPERIMENTS" = full ] && steps="25 50 100 200 400 800"
workload=(--model gpt-tiny --batch 4 --sequence 64 --learning-rate 0.0005)
"$LSPO" sim "${workload[@]}" --policy zero --machine "$PROFILE" --format csv > "$out/probe.csv" ||
    die "the probe failed"
read -r link_Bps cpu_pps < <(rates_of "$out/probe.csv" 1.5 1)
rm "$out/probe.csv"

for policy in native zero zero-delayed lsp; do
    args=(--policy "$policy" --link "${link_Bps}B/s" --cpu "${cpu_pps}/s" --machine "$PROFILE")
    [ $policy != lsp ] || args+=(--subspace 64 --nnz 4 --train-rest on)
    for n in $steps; do
        lspo_row "$out/convergence.csv" steps "$n" run "${workload[@]}" --iterations "$n" --device host "${args[@]}"
    done
done
judge convergence
plot convergence "$out/convergence" \
    note="gpt-tiny, batch 4, 64 tokens, link $(rate "$link_Bps" B/s), CPU optimizer $(rate "$cpu_pps" /s)"
