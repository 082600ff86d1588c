#!/usr/bin/env bash
# Slowdown of every policy against the bandwidth of the link, by simulation.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open bandwidth
sweep bandwidth "$out/bandwidth.csv"
judge bandwidth
mapfile -t titles < <(sweep_titles "$out/bandwidth.csv")
plot bandwidth "$out/bandwidth" note="512 tokens, fp16" "${titles[@]}"
