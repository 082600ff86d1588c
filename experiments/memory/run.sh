#!/usr/bin/env bash
# Peak memory of every policy, predicted and measured, on each of up to 4 cores a share of the cells.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open memory
measure_alone
profile_measure
grid=$experiments_dir/memory/grid shares=${#beside_cores[@]}
[ "$EXPERIMENTS" != full ] || grid=$experiments_dir/memory/grid-full
[ "$shares" -le 4 ] || shares=4 # each takes up to half a gigabyte
for share in $(seq "$shares"); do
    beside /dev/null "$LSPO" sweep "$grid" -o "$out/memory.csv" --run --machine "$PROFILE" --shard "$share/$shares"
done
beside_all
"$LSPO" sweep merge -o "$out/memory.csv" > /dev/null || die "cells are missing"
rm -f "$out"/memory.csv.*
judge memory
