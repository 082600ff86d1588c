#!/usr/bin/env bash
# The best exact settings that lspo tune finds, beside zero's usual ones: simulated, and measured in turns.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open tune
measure_alone
here=$experiments_dir/tune
profile_measure
# Any text will do; a file is read faster than the machine's own.
cat "$experiments_dir"/*/*.{md,sh,sql} > "$out/text"
rounds=2 iterations=5 models=models
[ "$EXPERIMENTS" != full ] || { rounds=7 iterations=12 models=models-full; }

# one KIND ROUND FLAGS...: measure a setting of the cell.
one() {
    local kind=$1 round=$2
    shift 2
    lspo_row "$out/tune.csv" cell,changes,kind,round,predicted_s "$cell,\"$shown\",$kind,$round,${predicted[$kind]}" \
        run --device host --text "$out/text" --machine "$PROFILE" --iterations $iterations \
        "${workload[@]}" "${paced[@]}" "$@"
}

cell=0
declare -A predicted
while read -r model changes; do
    workload=(--model "$model" --sequence 32 --precision fp32)
    for change in $changes; do workload+=(--set "$change"); done
    shown=${changes//model./} shown=${shown% mlp_width=*} shown=${shown// /, }
    "$LSPO" sim "${workload[@]}" --batch 4 --policy zero --machine "$PROFILE" --format csv > "$out/probe.csv" ||
        die "the probe failed"
    gpu_bytes=$(query "$out/probe.csv" "SELECT peak_gpu_bytes FROM rows")
    while read -r link_gpu cpu_gpu; do
        read -r link_Bps cpu_pps < <(
            rates_of "$out/probe.csv" "$link_gpu" "$cpu_gpu")
        paced=(--link "${link_Bps}B/s" --cpu "${cpu_pps}/s")
        cell=$((cell + 1))
        predicted[zero]=$(lspo_field iteration_s sim "${workload[@]}" "${paced[@]}" --batch 4 --policy zero \
            --machine "$PROFILE")
        # With a twentieth more memory than zero takes, which native exceeds.
        "$LSPO" tune --exact-only --sequences 4 --machine "$PROFILE" "${workload[@]}" "${paced[@]}" \
            --gpu-memory "$((gpu_bytes * 21 / 20))B" --format csv > "$out/found.csv" 2> /dev/null ||
            die "lspo tune failed"
        first() { query "$out/found.csv" "SELECT $1 FROM rows LIMIT 1"; }
        predicted[tuned]=$(first iteration_s)
        read -ra settings <<< "$(first settings)"
        for round in $(seq $rounds); do
            one zero "$round" --batch 4 --policy zero
            one tuned "$round" --batch "$(first batch)" --policy "$(first policy)" "${settings[@]}"
        done
    done < <(grid_rows "$here/rates")
done < <(grid_rows "$here/$models")
rm "$out/probe.csv" "$out/found.csv" "$out/text"
judge tune
mapfile -t ticks < <(query "$out/cells.csv" "SELECT printf('tick_%d=%s|%s|%.0f MB/s|%.0f M/s|%s', rowid, model,
    replace(changes, ', ', '|'), link_Bps / 1e6, cpu_pps / 1e6, policy) FROM rows")
plot tune "$out/tune" "${ticks[@]}" note="$rounds runs of $iterations steps each, in turns; the shortest"
