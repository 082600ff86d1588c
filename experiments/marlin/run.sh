#!/usr/bin/env bash
# MARLIN: how much faster a token of many texts is with weights of 4 bits, by the number of texts, simulated on an A10
# beside the authors' figures, and measured on this machine.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open marlin
measure_alone
here=$experiments_dir/marlin

# The card's data sheet, as the authors' roofline: 600 GB/s and 125 TFLOP/s, and no other times.
peak=(--set gpu.stream_Bps=600GB/s --set gpu.gemm_fp16_flops=125TFLOP/s --set gpu.launch_s=0s --set gpu.op_s=0s)
texts=(--model "$here/layer.ini" --machine a10 --precision fp16 --sequence 1 --iterations 6)
for rows in 1 2 4 8 16 32 48 64 96 128; do
    for policy in resident marlin; do
        lspo_row "$out/peak.csv" rows $rows sim "${texts[@]}" "${peak[@]}" --policy $policy --batch $rows
        lspo_row "$out/profile.csv" rows $rows sim "${texts[@]}" --policy $policy --batch $rows
    done
done

# On this machine, with weights that no cache holds.
host=(--precision fp32 --sequence 1 --iterations 6 --seed 1)
for rows in 1 4 16; do
    for policy in resident marlin; do
        lspo_row "$out/host.csv" rows $rows run "${host[@]}" --model "$here/host.ini" --policy $policy --batch $rows
    done
done

judge marlin "$here/paper.csv"
plot marlin "$out/marlin"
