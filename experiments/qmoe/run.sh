#!/usr/bin/env bash
# QMoE: what packed experts of a Switch transformer take, and the time of a token with them; tokens of Mixtral by the
# number of experts that are kept on the GPU; and measured runs on this machine.
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

judge qmoe
plot qmoe "$out/qmoe"
