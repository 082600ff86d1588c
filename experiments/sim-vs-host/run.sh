#!/usr/bin/env bash
# The simulator against this machine: predict every cell from a profile measured beforehand, run it, join.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open sim-vs-host
here=$experiments_dir/sim-vs-host
grid=$here/grid
iterations=10
if [ "$EXPERIMENTS" = full ]; then
    grid=$here/grid-full
    iterations=20
fi
profile_measure
memcpy_Bps=$(machine_value "$PROFILE" link.d2h_Bps)
# A link above a tenth of what one core copies would slow the other lanes.
most_Bps=$(awk -v memcpy="$memcpy_Bps" 'BEGIN { printf "%.0f", 0.09 * memcpy }')

# rates LINK_GPU CPU_GPU POLICY_ARGS...: set link_Bps and cpu_pps.  Transfers are fp32: 4 bytes a parameter.
rates() {
    local link_gpu=$1 cpu_gpu=$2
    shift 2
    "$LSPO" sim "${workload[@]}" "$@" --machine "$PROFILE" --format csv > "$out/probe.csv" || die "the probe failed"
    read -r link_Bps cpu_pps < <(awk_csv "$here/rates.awk" -v link_gpu="$link_gpu" -v cpu_gpu="$cpu_gpu" -v most_Bps="$most_Bps" \
        "$out/probe.csv")
}

group_id=0
cell=0
while read -r group model batch sequence rates_of link_gpu cpu_gpu cells; do
    group_id=$((group_id + 1))
    workload=(--model "$model" --batch "$batch" --sequence "$sequence" --iterations $iterations)
    # Native is measured beside each group's cells: the machine drifts.
    measure_row "$out/native.csv" group_id $group_id "${workload[@]}" --policy native --machine "$PROFILE"
    for spec in $cells; do
        IFS=: read -r policy d r <<< "$spec"
        args=(--policy "$policy")
        [ -z "$d" ] || args+=(--subspace "$d" --nnz "$r")
        if [ "$rates_of" = self ]; then
            rates "$link_gpu" "$cpu_gpu" "${args[@]}"
        else
            rates "$link_gpu" "$cpu_gpu" --policy "$rates_of"
        fi
        cell=$((cell + 1))
        args+=(--link "${link_Bps}B/s" --cpu "${cpu_pps}/s" --machine "$PROFILE")
        columns=cell,group_id,rates_of
        lspo_row "$out/predicted.csv" $columns "$cell,$group_id,$rates_of" sim "${workload[@]}" "${args[@]}"
        measure_row "$out/measured.csv" $columns "$cell,$group_id,$rates_of" "${workload[@]}" "${args[@]}"
        [ ! -t 2 ] || printf '\r  cell %d' $cell >&2
    done
done < <(grid_rows "$grid")
[ ! -t 2 ] || printf '\r' >&2
rm -f "$out/probe.csv"

awk_csv "$here/join.awk" "$out/native.csv" "$out/predicted.csv" "$out/measured.csv" > "$out/cells.csv"
plot sim-vs-host "$out/sim-vs-host"
awk_csv "$here/check.awk" -v memcpy="$memcpy_Bps" "$out/cells.csv"
