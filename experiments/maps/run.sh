#!/usr/bin/env bash
# Which subspaces are free, which models fit, which lane limits: by simulation.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open maps
here=$experiments_dir/maps
sweep maps "$out/free.csv" free --columns subspace,link_Bps,slowdown,error
sweep maps "$out/largest.csv" largest --columns policy,gpu_memory_bytes,set,fits,error
sweep maps "$out/lanes.csv" lanes --columns policy,link_Bps,cpu_pps,bound,error
awk_csv "$here/free.awk" "$out/free.csv" > "$out/frontier.csv"
awk_csv "$here/most.awk" "$out/largest.csv" > "$out/most.csv"
awk_csv "$here/lane.awk" "$out/lanes.csv" > "$out/lane.csv"
plot maps "$out/maps"
awk_csv "$here/check.awk" "$out/free.csv" "$out/frontier.csv" "$out/most.csv" "$out/lane.csv"
