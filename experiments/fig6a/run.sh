#!/usr/bin/env bash
# The parts of an iteration under zero and under lsp, by simulation.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open fig6a
here=$experiments_dir/fig6a

while read -r model machine batch d r; do
    last_d=$d last_r=$r
    for policy in zero lsp; do
        mapfile -t own < <(own_flags $policy --subspace "$d" --nnz "$r")
        lspo_row "$out/fig6a.csv" d "$d" sim --model "$model" --machine "$machine" --policy $policy --batch "$batch" \
            --sequence 512 --precision fp16 "${own[@]}"
    done
done < <(grid_rows "$here/grid")

awk_csv "$here/bars.awk" "$out/fig6a.csv" > "$out/bars.csv"
mapfile -t ticks < <(grid_ticks "$here/grid")
plot fig6a "$out/fig6a" "${ticks[@]}" note="d = $last_d, r = $last_r, 512 tokens, fp16"
awk_csv "$here/check.awk" "$out/bars.csv"
