#!/usr/bin/env bash
# KVPR: time per token against the share of the cache that is rebuilt, simulated and measured, beside the closed forms.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open kvpr
here=$experiments_dir/kvpr
models=(opt-6.7b "$here/models/opt-13b.ini" "$here/models/opt-30b.ini")

texts=(--policy kvpr --precision fp16 --batch 32 --iterations 8)
for model in "${models[@]}"; do
    for machine in "$here/machines/a100-peak.ini" a100-40gb; do
        for share in 0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1 auto; do
            lspo_row "$out/latency.csv" asked "$share" sim "${texts[@]}" --model "$model" --machine "$machine" \
                --sequence 1024 --recompute-share $share
        done
        for micros in 1 2 4 8 16; do
            for share in 0 auto; do
                lspo_row "$out/throughput.csv" asked "$share" sim "${texts[@]}" --model "$model" \
                    --machine "$machine" --sequence 128 --schedule throughput --cache-slots 4 \
                    --accumulation $micros --recompute-share $share
            done
        done
    done
done
for model in llama-2-7b llama-3.1-8b; do
    for schedule in latency throughput; do
        lspo_row "$out/grouped.csv" asked auto sim "${texts[@]}" --model $model --machine a100-40gb --sequence 1024 \
            --schedule $schedule
    done
done

# On this machine, with a link that leaves the best share in the middle.
profile_measure
host=(--policy kvpr --model gpt-small --batch 4 --sequence 248 --iterations 8 --precision fp32 --link 200MB/s)
for share in 0 0.2 0.4 0.6 0.8 1; do
    lspo_row "$out/host.csv" asked,kind "$share,measured" run "${host[@]}" --recompute-share $share
done
for share in 0 0.2 0.4 0.6 0.8 1 auto; do
    lspo_row "$out/host.csv" asked,kind "$share,predicted" sim "${host[@]}" --machine "$PROFILE" \
        --recompute-share $share
done

plot kvpr "$out/kvpr"
awk_csv "$here/check.awk" "$here/paper" "$out/latency.csv" "$out/throughput.csv" "$out/grouped.csv" "$out/host.csv"
