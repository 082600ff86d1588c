#!/usr/bin/env bash
# Slowdown and peak GPU memory of lsp against subspace size d and nonzeros per row r, by simulation.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open subspace
sweep subspace "$out/subspace.csv"
judge subspace
plot subspace "$out/subspace" note="lsp, simulated: llama-7b on paper-workstation, batch 8, 512 tokens, fp16"
