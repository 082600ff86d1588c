#!/usr/bin/env bash
# KVPR: time per token against the share of the cache that is rebuilt, simulated and measured, beside the closed forms.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open kvpr
measure_alone
sweep kvpr "$out/cells.csv"

# On this machine, with a link that leaves the best share in the middle.
profile_measure
host=(--policy kvpr --model gpt-small --batch 4 --sequence 248 --iterations 8 --precision fp32 --link 200MB/s)
for share in 0 0.2 0.4 0.6 0.8 1; do
    lspo_row "$out/host.csv" asked,kind "$share,measured" run "${host[@]}" --recompute-share $share
done
for share in 0 0.2 0.4 0.6 0.8 1 auto; do
    lspo_row "$out/host.csv" asked,kind "$share,predicted" sim "${host[@]}" --machine "$PROFILE" \
        --recompute-share $share
done

judge kvpr "$experiments_dir/kvpr/paper.csv"
plot kvpr "$out/kvpr"
