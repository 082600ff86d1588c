#!/usr/bin/env bash
# Slowdown and peak GPU memory of lsp against subspace size d and nonzeros per row r, by simulation.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open subspace
sweep subspace "$out/subspace.csv"
plot subspace "$out/subspace" note="lsp, simulated: llama-7b on paper-workstation, batch 8, 512 tokens, fp16"
awk_csv "$experiments_dir/subspace/check.awk" "$out/subspace.csv"
