#!/usr/bin/env bash
# Which subspaces are free, which models fit, which lane limits: by simulation.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open maps
sweep maps "$out/free.csv" free --columns subspace,link_Bps,slowdown,error
sweep maps "$out/largest.csv" largest --columns policy,gpu_memory_bytes,set,fits,error
sweep maps "$out/lanes.csv" lanes --columns policy,link_Bps,cpu_pps,bound,error
judge maps
plot maps "$out/maps"
