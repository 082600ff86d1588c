#!/usr/bin/env bash
# lspo broker --run: a chain of peers under mpirun, of which one is killed or does not answer; a backup takes its part,
# and the weights at the end are those of an undisturbed training, bit for bit.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$folder"

for text in README.md HACKING; do cat "$source_dir/$text"; done > text
cat > peers.ini <<'PEERS'
[peers]
Bps = 100 MB/s
latency_s = 15 ms
[peer a]
[peer small]
memory_bytes = 1 MB
[peer b]
count = 2
speed = 0.8
PEERS
job=(broker --peers peers.ini --chain a:3/b:4 --model gpt-tiny --batch 1 --sequence 32 --accumulation 2 --clip 0.5
    --text text --steps 24 --save-every 5 --format csv)

# What is refused before anything starts.
check "no peers" "2 1" "$(status_of "$program" broker --run none --model gpt-tiny) $(grep -c \
    'two peers or more' messages)"
check "churn" "2 1" "$(status_of "$program" "${job[@]}" --run none --stay 1h) $(grep -c 'excludes --stay' messages)"
check "a short time-out" "2 1" "$(status_of "$program" "${job[@]}" --run none --timeout 1s) $(grep -c \
    'must be from 2s to 86400s' messages)"
check "no launcher" "1 1" "$(status_of "$program" "${job[@]}" --run none --launcher ./no-mpi) $(grep -c \
    'is there an MPI' messages)"
check "an empty launcher" 2 "$(status_of "$program" "${job[@]}" --run none --launcher ' ')"
check "nothing is left of them" "" "$(ls | grep none || true)"

if ! command -v mpirun > /dev/null || [ ! -f "$(dirname "$program")/liblspo-mpi.so" ]; then
    echo "no MPI: its tests are skipped"
    finish "a broker that refuses"
fi
export ASAN_OPTIONS=detect_leaks=0
job+=(--timeout 10s) # a busy machine is silent for a while
field() { awk -F, -v wanted="$1" 'NR == 1 { for (i = 1; i <= NF; i++) name[i] = $i }
    NR == 2 { for (i = 1; i <= NF; i++) if (name[i] == wanted) print $i }' stdout; }

# strike FOLDER RANK SIGNAL: the rank of the job of that folder, when its first steps are saved.
strike() {
    local process name
    for wait in {1..600}; do
        if ls "$1/part-1" 2> /dev/null | grep -q '^step'; then break; fi
        sleep 0.1
    done
    for process in $(grep -slzxF "$1" /proc/[0-9]*/cmdline); do
        process=${process%/cmdline}
        [ "$process/cwd" -ef . ] || continue # another test has the same word
        if [ "$2" = launcher ]; then
            name=$(tr '\0' '\n' < "$process/cmdline" | head -n 1)
            if [ "${name##*/}" = mpirun ]; then
                kill -"$3" "${process#/proc/}"
            fi
        elif [ "$process/exe" -ef "$program" ] && grep -sqzxE "(OMPI_COMM_WORLD|PMI)_RANK=$2" "$process/environ"; then
            kill -"$3" "${process#/proc/}"
        fi
    done 2> /dev/null
}

check "undisturbed" 0 "$(status_of timeout 120 "$program" "${job[@]}" --run calm)"
weights=$(field weights)
check "it has a hash" 16 "${#weights}"
check "one start" "1 0" "$(field starts) $(field replaced)"
check "each part is saved twice" "2 2" "$(ls calm/part-0 | wc -l) $(ls calm/part-1 | wc -l)"
check "one who starts it ignores children" 0 "$(status_of timeout 20 env --ignore-signal=CHLD "$program" "${job[@]}" \
    --run calm)"
check "again: there is nothing to do" "0 $weights" "$(status_of timeout 120 "$program" "${job[@]}" --run calm) $(
    field weights)"

strike killed 0 KILL &
check "rank 0 is killed" 0 "$(status_of timeout 120 "$program" "${job[@]}" --run killed)"
check "a backup that has room" "b:3/b:4 2 1" "$(field chain) $(field starts) $(field replaced)"
check "the same weights after a kill" "$weights" "$(field weights)"
check "it is told" 1 "$(grep -c 'peer 0 (a) is lost; a backup (b) has its part from now on, and all go on' messages)"

strike silent 1 STOP &
check "rank 1 does not answer" 0 "$(status_of timeout 120 "$program" "${job[@]}" --timeout 2s \
    --run silent)"
check "who it was" "a:3/b:4 2 1 yes" "$(field chain) $(field starts) $(field replaced) $(grep -q \
    'rank 1 has not been heard of for 2 s' messages && echo yes)"
check "the same weights after a time-out" "$weights" "$(field weights)"
check "the flag that was given" yes "$(grep -q 'all ranks end (--timeout)' messages && echo yes)"

# A launcher of which neither the words nor the exit code tell what has ended.
cat > other-mpirun <<'END'
#!/bin/bash
set -o pipefail
{ mpirun "$@" 2>&1 1>&3 3>&- | { grep -v 'process rank' || true; }; } 3>&1 1>&2 || exit 9
END
chmod +x other-mpirun
strike wordless 1 KILL &
check "rank 1 is killed under another launcher" "0 2 1 $weights" "$(status_of timeout 120 "$program" "${job[@]}" \
    --launcher ./other-mpirun --run wordless) $(field starts) $(
    field replaced) $(field weights)"
check "who it was, without its words" "1 0" "$(grep -c 'peer 1 (b) is lost; a backup' messages) $(grep -c \
    'process rank' messages)"

strike compressed 0 KILL &
check "a backup with other links" "2 1" "$(status_of timeout 120 "$program" "${job[@]}" --run compressed \
    --compress-links 4) $(grep -c 'no backup is left for it' messages)"

{
    strike stopped 1 STOP
    strike stopped launcher KILL
} &
check "the launcher is killed, a rank is stopped" "0 2" "$(status_of timeout 120 "$program" "${job[@]}" \
    --timeout 60s --run stopped) $(field starts)"
check "the same weights without the launcher" "$weights" "$(field weights)"

strike alone 1 KILL &
check "no backup" 2 "$(status_of timeout 120 "$program" "${job[@]}" --run alone --backups 0)"
check "what is saved" 1 "$(grep -cE 'no backup is left for it: step [1-9][0-9]* of 24 is saved in alone' messages)"
check "the same command goes on" "0 $weights" "$(status_of timeout 120 "$program" "${job[@]}" --run alone \
    --backups 0) $(field weights)"

# The broker itself, with which the job ends.
"$program" "${job[@]}" --run orphan > /dev/null 2>&1 &
broker=$!
for wait in {1..600}; do
    if ls orphan/part-1 2> /dev/null | grep -q '^step'; then break; fi
    sleep 0.1
done
disown $broker
kill -9 $broker
check "after the broker" "0 $weights" "$(status_of timeout 120 "$program" "${job[@]}" --run orphan) $(field weights)"
check "other flags" "2 1" "$(status_of timeout 120 "$program" "${job[@]}" --run orphan --seed 9 --steps 50) $(
    grep -cm 1 'started with seed 1, not 9' messages)"
finish "a broker"
