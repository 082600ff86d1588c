#!/usr/bin/env bash
# The simulator against this machine: predict every cell of the grid from a profile measured beforehand, measure each in rounds.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open sim-vs-host
here=$experiments_dir/sim-vs-host
grid=$here/grid budget=70s
if [ "$EXPERIMENTS" = full ]; then
    grid=$here/grid-full budget=12min
fi
profile_measure
# Any text will do; a file is read faster than the machine's own.
cat "$experiments_dir"/../{plan,sim,real}/*.c > "$out/text"

verdict=0
"$LSPO" validate --device host --machine "$PROFILE" --grid "$grid" --budget $budget --ablate --text "$out/text" --out "$out" \
    --format table 2> "$out/messages" || verdict=$?
# 5: outside the thresholds, which is for the gates to say.
case $verdict in
0 | 5) grep -v "^lspo: error: the predictions are outside" "$out/messages" >&2 || true ;;
*) cat "$out/messages" >&2; die "lspo validate failed" ;;
esac
[ -s "$out/cells.csv" ] || die "nothing was measured"
plot sim-vs-host "$out/sim-vs-host"
plot validate-errors "$out/errors"
awk_csv "$here/check.awk" -v verdict=$verdict -v full="$([ "$EXPERIMENTS" = full ] && echo 1 || echo 0)" "$out/cells.csv" "$out/summary.csv"
