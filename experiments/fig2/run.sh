#!/usr/bin/env bash
# Where Zero-Offload's iteration goes, by simulation, as published and under other assumptions.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open fig2
here=$experiments_dir/fig2

# cell NAME FLAGS: one model of the grid under one assumption.
cell() {
    local name=$1 flags=$2
    flags=${flags//2xH2D/$h2d_twice}
    # shellcheck disable=SC2086 # flags are words
    lspo_row "$out/fig2.csv" assumption,paper_low,paper_high,paper_rest "$name,$low,$high,${rest#-}" sim \
        --model "$model" \
        --machine "$machine" --policy zero --batch "$batch" --sequence 512 --precision fp16 $flags
}

while read -r model machine batch low high rest; do
    h2d_twice=$(awk -v rate="$(machine_value "$machine" link.h2d_Bps)" 'BEGIN { printf "%.9gGB/s", 2 * rate / 1e9 }')
    while IFS=';' read -r name on flags; do
        on=${on// /}
        if [ "$on" = all ] || [ "$on" = "$machine" ]; then
            cell "$name" "$flags"
        fi
    done < <(grid_rows "$here/assumptions")
done < <(grid_rows "$here/grid")

awk_csv "$here/bars.awk" "$out/fig2.csv" > "$out/bars.csv"
awk_csv "$here/totals.awk" "$out/fig2.csv" > "$out/totals.csv"
mapfile -t ticks < <(grid_ticks "$here/grid")
plot fig2 "$out/fig2" "${ticks[@]}"
awk_csv "$here/check.awk" "$out/bars.csv" "$out/totals.csv"
