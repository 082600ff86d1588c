#!/usr/bin/env bash
# kill_sweep.sh LSPO KILLS - kill -9 lspo sweep at random moments and continue it, until KILLS have hit it; each file
# that comes out must be that of a sweep that was left alone.  Part of make check-all.
set -euo pipefail
program=$(realpath "$1") wanted=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
printf '%s\n' '[all]' 'model = gpt2-774m' 'machine = paper-laptop' 'policy = zero lsp lora native' 'batch = 1 2 4' \
    'link = log2(1GB/s, 64GB/s, 24)' > grid.ini
"$program" sweep grid.ini -o whole.csv > /dev/null
kills=0 sweeps=0
while [ "$kills" -lt "$wanted" ]; do
    "$program" sweep grid.ini -o rows.csv -j 2 --resume > /dev/null 2>&1 &
    victim=$!
    sleep 0."$(printf '%03d' $((RANDOM % 250)))"
    kill -9 $victim 2> /dev/null && kills=$((kills + 1))
    wait $victim 2> /dev/null || true
    if [ -f rows.csv ] && [ ! -f rows.csv.part ]; then
        cmp whole.csv rows.csv
        rm rows.csv
        sweeps=$((sweeps + 1))
    fi
done 2> /dev/null
"$program" sweep grid.ini -o rows.csv --resume > /dev/null
cmp whole.csv rows.csv
echo "$kills kills, $((sweeps + 1)) sweeps completed, all the same"
