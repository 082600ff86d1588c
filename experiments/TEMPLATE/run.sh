#!/usr/bin/env bash
# One sentence that says what this experiment computes.  (docs/adding-an-experiment.md)
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=$(basename "$here")
results_open "$name"
sweep "$name" "$out/$name.csv"
plot template "$out/$name" table="$name.csv" note="llama-7b on paper-workstation, batch 8, 512 tokens, fp16"
awk_csv "$here/check.awk" "$out/$name.csv"
