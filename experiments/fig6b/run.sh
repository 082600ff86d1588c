#!/usr/bin/env bash
# Bias on held-out gradients against r at equal extra GPU memory: random and learned projectors, and GaLore's basis.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open fig6b
here=$experiments_dir/fig6b
pretrain_model

subspaces="16 64" nonzeros="2 8 16" gradients=8
[ "$EXPERIMENTS" = full ] && subspaces="16 32 64 96" nonzeros="2 4 8 16 32 64" gradients=32

# A fine-tuning has just begun: the step is too small to change the weights.
workload=(--model "$pretrained" --text "$corpus" --batch 4 --sequence 128 --iterations 2 --learning-rate 1e-9
    --calibration $gradients --validation $gradients --bias-threshold 0.01 --fit-steps 100)
for d in $subspaces; do
    for r in $nonzeros; do
        [ "$r" -le "$d" ] || continue
        "$LSPO" fit "${workload[@]}" --subspace "$d" --nnz "$r" --format csv > "$out/cell.csv" || die "lspo fit failed"
        [ -s "$out/fig6b.csv" ] || head -n 1 "$out/cell.csv" > "$out/fig6b.csv"
        tail -n +2 "$out/cell.csv" >> "$out/fig6b.csv"
    done
done
rm "$out/cell.csv"

awk_csv "$here/mean.awk" "$out/fig6b.csv" > "$out/mean.csv"
plot fig6b "$out/fig6b"
awk_csv "$here/check.awk" "$out/fig6b.csv"
