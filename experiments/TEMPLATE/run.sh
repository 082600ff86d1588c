#!/usr/bin/env bash
# One sentence that says what this experiment computes.  (docs/adding-an-experiment.md)
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
name=$(basename "$(dirname "${BASH_SOURCE[0]}")")
results_open "$name"
sweep "$name" "$out/rows.csv"
judge "$name"
plot template "$out/$name" table=rows.csv note="llama-7b on paper-workstation, batch 8, 512 tokens, fp16"
