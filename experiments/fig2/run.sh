#!/usr/bin/env bash
# Where Zero-Offload's iteration goes, by simulation.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open fig2
here=$experiments_dir/fig2

while read -r model machine batch paper; do
    for transfer in fp16 fp32; do
        lspo_row "$out/fig2.csv" paper_total "$paper" sim --model "$model" --machine "$machine" --policy zero \
            --batch "$batch" --sequence 512 --precision fp16 --transfer $transfer
    done
done < <(grid_rows "$here/grid")

awk_csv "$here/bars.awk" "$out/fig2.csv" > "$out/bars.csv"
plot fig2 "$out/fig2"
awk_csv "$here/check.awk" "$out/bars.csv"
