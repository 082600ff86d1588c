#!/usr/bin/env bash
# Slowdown and peak GPU memory of lsp against subspace size d and nonzeros per row r, by simulation.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open subspace
here=$experiments_dir/subspace

model=llama-7b machine=paper-workstation batch=8
subspaces="128 256 512 1024 2048 4096"
nonzeros="2 8 32 128"
[ "$EXPERIMENTS" = full ] && nonzeros="1 2 4 8 16 32 64 128"

for r in $nonzeros; do
    for d in $subspaces; do
        lspo_row "$out/subspace.csv" d,r "$d,$r" sim --model $model --machine $machine --policy lsp \
            --batch $batch --sequence 512 --precision fp16 --subspace "$d" --nnz "$r"
    done
done

plot subspace "$out/subspace" note="lsp, simulated: $model on $machine, batch $batch, 512 tokens, fp16"
awk_csv "$here/check.awk" "$out/subspace.csv"
