#!/usr/bin/env bash
# Fine-tuning on instructions for code, in the form in which DeepSeek-Coder is tuned, after equal predicted time.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
here=$experiments_dir/table4
results_open table4
pretrain_model

seeds=1 steps=60
[ "$EXPERIMENTS" = full ] && seeds="1 2 3"
large=(--model deepseek-coder-1.3b --machine paper-laptop --batch 1 --sequence 1024)
workload=(--batch 8 --sequence 128)
# A macro's name and value, where JSON needs no escapes.
define='#[ ]*define[[:blank:]]+([A-Za-z_0-9]+)[[:blank:]]+([^"\\[:cntrl:]]{1,40})'
grep -m 1500 -Ex "$define" "$corpus" |
    sed -E "s/^$define\$/{\"instruction\": \"Define the C macro \\1.\", \"output\": \"#define \\1 \\2\"}/" \
        > "$out/code.jsonl"
# As a folder, in which the template is; its text is the King James Bible, as that of the other figures.
"$LSPO" train --model "$here/deepseek.ini" --policy native --batch 8 --sequence 128 --steps 150 --warmup-steps 15 \
    --learning-rate 2e-3 --export "$out/deepseek" --format csv > "$out/pretraining.csv" || die "pretraining failed"
cp "$here/chat_template.jinja" "$out/deepseek/"
train_equally "$out/code.csv" code $steps "$here/methods" "$out/deepseek" --data "$out/code.jsonl" \
    --chat-template folder --held-out 0.1 --eval-batches 12 "${workload[@]}"
beside_all
rm -r "$out/deepseek" "$out/code.jsonl" "$out/pretraining.csv"
judge table4 "$here/paper.csv"
