#!/usr/bin/env bash
# Gantt charts of every schedule, simulated and measured: the same plan played twice.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open fig3
measure_alone
profile_measure

# Rates at which zero's gradients take about its GPU time on the link and on the CPU, so that every lane is seen.
workload=(--model gpt-tiny --batch 4 --sequence 256)
"$LSPO" sim "${workload[@]}" --policy zero --machine "$PROFILE" --format csv > "$out/probe.csv" ||
    die "the probe failed"
read -r link_Bps cpu_pps < <(rates_of "$out/probe.csv" 0.9 0.6)
rm "$out/probe.csv"

# Iterations that the pictures show, warm-up behind: two of eight, or zenflow's whole window between two updates on the
# CPU.
window=4
all_policies=$(policies)
shown="gpt-tiny, batch 4, 256 tokens, link $(rate "$link_Bps" B/s), CPU optimizer $(rate "$cpu_pps" /s)"
for policy in $all_policies; do
    first=4 count=2 args=(--iterations 8)
    if [ "$policy" = zenflow ]; then
        first=$((4 * window)) count=$window args=(--iterations $((5 * window)) --update-every $window)
    fi
    mapfile -t own < <(own_flags "$policy" --subspace 64 --nnz 4)
    args+=("${workload[@]}" "${own[@]}" --policy "$policy" --machine "$PROFILE" --link "${link_Bps}B/s" \
        --cpu "${cpu_pps}/s")
    # The simulated picture has error bars: where 90 of 100 draws of the profile's noise start and end each op.
    lspo_row "$out/predicted.csv" side sim sim "${args[@]}" --trace "$out/$policy.sim.trace" --noise 1 \
        --gantt "$out/$policy.sim.csv" --first $first --count $count
    lspo_row "$out/measured.csv" side run run "${args[@]}" --device host --trace "$out/$policy.run.trace"
    "$LSPO" trace export "$out/$policy.run.trace" --gantt "$out/$policy.run.csv" --first $first --count $count
    "$LSPO" compare "$out/$policy.sim.trace" "$out/$policy.run.trace" --format csv > "$out/$policy.compare.csv"
done
judge fig3
for policy in $all_policies; do
    count=2
    [ "$policy" != zenflow ] || count=$window
    beside /dev/null plot gantt "$out/$policy" policy="$policy" note="$count iterations of $shown"
done
beside_all
plot gantt-overview "$out/fig3" policies="$(echo $all_policies)" \
    note="$shown; dotted: the end of an iteration's last backward"
