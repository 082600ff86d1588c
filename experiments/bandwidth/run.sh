#!/usr/bin/env bash
# Slowdown of every policy against the bandwidth of the link, by simulation.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open bandwidth
here=$experiments_dir/bandwidth

links="1 2 4 8 16 32 64"
[ "$EXPERIMENTS" = full ] && links="1 1.4 2 2.8 4 5.7 8 11.3 16 22.6 32 45.3 64"

# Long plans, so that the start of a policy's windows does not matter.
iterations=96
all_policies=$(policies)
while read -r model machine batch; do
    for policy in $all_policies; do
        for link in $links; do
            lspo_row "$out/bandwidth.csv" link_GBps "$link" sim --model "$model" --machine "$machine" \
                --policy "$policy" --batch "$batch" --sequence 512 --precision fp16 --link "${link}GB/s" \
                --iterations $iterations
        done
    done
done < <(grid_rows "$here/grid")

awk_csv "$here/columns.awk" "$out/bandwidth.csv" > "$out/columns.csv"
titles=()
while read -r model machine batch; do
    titles+=("title_$((${#titles[@]} + 1))=$model on $machine, batch $batch")
done < <(grid_rows "$here/grid")
plot bandwidth "$out/bandwidth" note="512 tokens, fp16" "${titles[@]}"
awk_csv "$here/check.awk" "$out/bandwidth.csv"
