#!/usr/bin/env bash
# The parts of an iteration under zero and under lsp, by simulation.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open fig6a
sweep fig6a "$out/fig6a.csv"
judge fig6a
mapfile -t ticks < <(sweep_ticks "$out/fig6a.csv")
plot fig6a "$out/fig6a" "${ticks[@]}" note="d = 512, r = 16, 512 tokens, fp16"
