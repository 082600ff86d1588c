#!/usr/bin/env bash
# Throughput of the paper's systems, normalised by native training, and the authors' own step times, by simulation.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open fig7
here=$experiments_dir/fig7
sweep fig7 "$out/fig7.csv"
# The authors' step times: para_offload_modules.py as their README calls it.
sweep fig7 "$out/steps.csv" steps
judge fig7 "$here/means.csv"

mapfile -t ticks < <(sweep_ticks "$out/fig7.csv")
mapfile -t steps < <(sweep_ticks "$out/steps.csv" | sed 's/^tick/step/; s/-coder-/-|coder-/')
plot fig7 "$out/fig7" note="512 tokens, fp16, fp32 on the link" "${ticks[@]}" "${steps[@]}"
