#!/usr/bin/env bash
# lspo validate of plans of several host devices: yardsticks run on as many cores at once, each copy on its own; a
# signal ends all copies; the speed that they find counts for such plans only.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

column() { awk -f "$source_dir/bundle/lib.awk" -f "$source_dir/bundle/field.awk" -v name="$2" "$1"; }
# Two threads of one core count as one.
"$program" list devices --format csv > "$folder/devices.csv"
[ "$(column "$folder/devices.csv" core_count | head -n 1)" -gt 1 ] ||
    { echo "skipped: one core cannot run two yardsticks at once"; exit 77; }

validate() {
    "$program" validate --grid "$folder/grid" --machine "$folder/host.ini" --out "$folder/out" "$@" \
        2> "$folder/messages"
}

printf '[machine]\nbase = host-reference\nname = host\n[yardstick]\ngpt_tiny_native_s = 10ms\n' > "$folder/host.ini"
cat > "$folder/grid" <<'GRID'
flags --accumulation 2 --pipeline 2 --set net.Bps=100MB/s
link gpt-tiny 1 32 self free free axonn:1000000
GRID

# The first visit of a round is that of the yardstick on two cores.
copies() { # copies PID: what it has started, once that is lspo run
    local parent process
    for process in /proc/[0-9]*; do
        { read -r _ _ _ parent _ < "$process/stat"; } 2> /dev/null || continue
        [ "$parent" != "$1" ] || ! grep -qsz -- --timing-only "$process/cmdline" || echo "$process"
    done
}
"$program" validate --grid "$folder/grid" --machine "$folder/host.ini" --out "$folder/out" --budget 1min \
    > /dev/null 2> "$folder/messages" &
whole=$!
for _ in $(seq 600); do
    mapfile -t found < <(copies $whole)
    [ ${#found[@]} -lt 2 ] || break
    sleep 0.05
done
# Stopped, they cannot end by themselves, and what they are sent stays to be seen.
kill -STOP "${found[@]#/proc/}" || fail "${#found[@]} copies at once: $(cat "$folder/messages")"
check "two copies" 2 ${#found[@]}
of_both() { sed -n "s/^$1:[[:space:]]*//p" "${found[0]}/status" "${found[1]}/status" | xargs; }
check "each on a core of its own" 2 "$(of_both Cpus_allowed_list | tr ' ' '\n' | grep -x '[0-9]*' | sort -u | wc -l)"
kill -TERM $whole
sigterm=0000000000004000
for _ in $(seq 100); do [ "$(of_both ShdPnd)" != "$sigterm $sigterm" ] || break; sleep 0.05; done
check "the signal is passed on to both" "$sigterm $sigterm" "$(of_both ShdPnd)"
kill -CONT "${found[@]#/proc/}"
code=0
wait $whole || code=$?
check "interrupted" 130 "$code"
check "nothing of the second copy is left" "" "$(ls "$folder/out" "$folder/out/traces" | grep '[.]1$' || true)"

# Visits made up by hand: 0.8 of the calibrated speed on one core, 0.5 on both at once.
cell=$(column "$folder/out/cells.csv" flags)
yardstick="--iterations 11 --model gpt-tiny --batch 3 --sequence 192 --policy native"
{
    echo "round,disturbed,foreign_share,core_share,flags,samples_s"
    for round in 1 2; do
        echo "$round,false,0,1,$cell,0.02"
        echo "$round,false,0,1,2 cores $yardstick,0.02"
        echo "$round,false,0,1,$yardstick,0.0125"
    done
} > "$folder/out/visits.csv"
status_of validate --resume --budget 1us > /dev/null
check "both speeds are said" 1 "$(grep -c \
    'at 0.800 of its calibrated speed, and at 0.500 of its calibrated speed while 2 of its cores compute: ' \
    "$folder/out/report.txt")"
check "all visits count" 0 "$(grep -c 'do not count' "$folder/messages")"
at_speed() { # at_speed SPEED FLAG...: iteration_s of lspo sim
    local speed=$1
    shift
    "$program" sim --machine host-reference "$@" --set gpu.training_speed="$speed" --format csv > "$folder/sim.csv"
    column "$folder/sim.csv" iteration_s
}
predicted=$(at_speed 0.5 $cell)
check "the speed of two cores is that of the pipeline" "$predicted" "$(column "$folder/out/cells.csv" predicted_s)"
native=$(at_speed 0.8 --model gpt-tiny --batch 1 --sequence 32 --accumulation 2 --policy native)
check "its baseline is on one core" "$(awk -v p="$predicted" -v n="$native" 'BEGIN { printf "%.5g", p / n }')" \
    "$(column "$folder/out/cells.csv" predicted_slowdown | xargs printf %.5g)"

# Without them the speed of one core is taken.
sed -i '/2 cores /d' "$folder/out/visits.csv"
status_of validate --resume --budget 1us > /dev/null
check "no visit on two cores" "$(at_speed 0.8 $cell)" "$(column "$folder/out/cells.csv" predicted_s)"

finish "validate of several cores"
