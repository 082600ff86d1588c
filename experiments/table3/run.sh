#!/usr/bin/env bash
# Quality after equal time, one row per method, from the trainings of Figure 5, which are run first if necessary.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
runs=$RESULTS/fig5/runs.csv
[ -s "$runs" ] || "$experiments_dir/fig5/run.sh" > /dev/null || die "fig5 did not run through"
results_open table3
judge table3 "$runs"
