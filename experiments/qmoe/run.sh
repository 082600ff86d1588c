#!/usr/bin/env bash
# QMoE: what packed experts of a Switch transformer take, and the time of a token with them; tokens of Mixtral by the
# number of experts that are kept on the GPU; measured runs on this machine; and what ternary experts cost a small
# model.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open qmoe
measure_alone
here=$experiments_dir/qmoe

# The four A6000 of the authors as one, whose memory holds all.
switch=(--model switch-c-2048 --machine a6000 --gpu-memory 192GB --precision bf16 --batch 1 --sequence 32
    --iterations 6)
for policy in resident qmoe; do
    lspo_row "$out/switch.csv" name $policy sim "${switch[@]}" --policy $policy
done

for cached in 0 1 2 3 4 5 6 7 8; do
    lspo_row "$out/mixtral.csv" cached $cached sim --model mixtral-8x7b --machine rtx3060 --policy qmoe \
        --precision fp16 --batch 1 --sequence 32 --iterations 6 --cached-experts $cached
done

# On this machine, where a link of 100 MB/s decides.
profile_measure
host=(--policy qmoe --model "$here/host.ini" --batch 1 --sequence 32 --iterations 24 --precision bf16 --link 100MB/s)
for cached in 0 4 8; do
    lspo_row "$out/host.csv" kind,cached predicted,$cached sim "${host[@]}" --cached-experts $cached \
        --machine "$PROFILE"
    lspo_row "$out/host.csv" kind,cached measured,$cached run "${host[@]}" --cached-experts $cached
done

# What ternary experts cost, of a small mixture that has learned a text: a dense Llama, and branches of it that each
# train on with other rows; their MLPs are the experts.  Calibrations and scored windows are of that text.
pretrain_model # its corpus
experts=4 batch=4 steps=200 branch_steps=30 rate=2e-3 seeds=1
[ "$EXPERIMENTS" != full ] || experts=8 batch=8 steps=1600 branch_steps=200 rate=1e-3 seeds="1 2 3"
teach() { # teach MODEL STEPS RATE SEED OUT
    "$LSPO" train --model "$1" --data "$corpus" --policy native --batch $batch --sequence 128 --steps "$2" \
        --warmup-steps 20 --learning-rate "$3" --seed "$4" --export "$5" > /dev/null 2>&1 || die "a training failed"
}
teach "$here/dense.ini" $steps 4e-3 1 "$out/dense"
branches=()
for ((i = 1; i <= experts; i++)); do
    teach "$out/dense" $branch_steps $rate $((100 + i)) "$out/branch$i"
    branches+=("$out/branch$i")
done
"$here/mixture.sh" "$out/mixture" "${branches[@]}"
field() { sed -n "s/.*\"$1\": \(.*\),/\1/p" <<< "$answer" | sed 's/null//'; }
perplexity() { # perplexity WEIGHTS QUANTIZER SEED FLAGS...: a row of perplexity.csv
    answer=$("$LSPO" generate --model "$out/mixture" --perplexity "$corpus" "${@:4}" --format json) ||
        die "no perplexity"
    echo "$1,$2,$3,$(field perplexity),$(field expert_zeros),$(field expert_bits),$(field weights_bytes)" \
        >> "$out/perplexity.csv"
}
echo weights,quantizer,seed,perplexity,expert_zeros,expert_bits,weights_bytes > "$out/perplexity.csv"
perplexity fp32 '' '' --weights fp32
perplexity ternary rtn '' --weights ternary --quantizer rtn
for seed in $seeds; do
    perplexity ternary gptq "$seed" --weights ternary --quantizer gptq --calibration "$corpus" --seed "$seed"
done
rm -rf "$out"/branch*

judge qmoe
plot qmoe "$out/qmoe"
