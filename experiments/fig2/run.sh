#!/usr/bin/env bash
# Where Zero-Offload's iteration goes, by simulation, as published and under other assumptions.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open fig2
sweep fig2 "$out/fig2.csv"
judge fig2
mapfile -t ticks < <(sweep_ticks "$out/fig2.csv")
plot fig2 "$out/fig2" "${ticks[@]}"
