#!/usr/bin/env bash
# Peak memory of every policy, predicted and measured.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open memory
measure_alone
profile_measure
sweep memory "$out/memory.csv" grid --run --machine "$PROFILE"
judge memory
