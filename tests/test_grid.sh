#!/usr/bin/env bash
# lspo run of a grid of devices: in one process, and with mpirun on ranks, the same numbers; a rank that dies or hangs
# ends all of them with a message, and nothing is left half-written.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$folder"

grid=(run --policy axonn --pipeline 2 --replicas 2 --model gpt-tiny --batch 1 --sequence 64 --accumulation 4 --clip 0.5)
losses() { awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) name[i] = $i }
    NR == 2 { for (i = 1; i <= NF; i++) if (name[i] ~ /^(loss|held_out)_/) print $i }' "$1"; }

for text in README.md HACKING; do cat "$source_dir/$text"; done > text
check "in one process" 0 "$(status_of "$program" "${grid[@]}" --iterations 4 --text text --trace here.trace \
    --format csv)"
losses stdout > here
check "it has losses" 4 "$(grep -c '^[0-9]' here)"
check "fewer cores than devices are told of" "$(($(nproc) < 4))" "$(grep -c 'fewer cores than devices' messages)"
check "one device" 0 "$(status_of "$program" "${grid[@]}" --pipeline 1 --replicas 1 --iterations 4 --text text \
    --format csv)"
losses stdout > one
check "its losses are those of the grid to rounding" "" "$(paste here one |
    awk '$1 - $2 > 1e-5 || $2 - $1 > 1e-5')"
check "the trace is whole" 0 "$(status_of "$program" compare here.trace here.trace)"

cat > peers.ini <<'PEERS'
[peers]
Bps = 100 MB/s
latency_s = 200 us
[peer a]
[peer b]
count = 2
speed = 0.5
PEERS
chain=(run --policy fusion --peers peers.ini --chain b:2/a:4/b:1 --model gpt-tiny --batch 1 --sequence 64
    --accumulation 4 --clip 0.5 --iterations 4 --text text --format csv)
check "a chain in one process" 0 "$(status_of "$program" "${chain[@]}" --trace chain.trace)"
losses stdout > chain
check "its losses are those of one device to rounding" "4 " "$(wc -l < chain) $(paste chain one |
    awk '$1 - $2 > 1e-5 || $2 - $1 > 1e-5')"
check "its trace is whole" 0 "$(status_of "$program" compare chain.trace chain.trace)"
check "the head alone" 2 "$(status_of "$program" "${chain[@]}" --train-rest off)"
sed 's/speed = 0.5/speed = 2/' peers.ini > fast.ini
check "a speed above this machine's" "0 1" "$(status_of "$program" "${chain[@]}" --timing-only --peers fast.ini) $(
    grep -c 'peer 0 is of kind b with speed 2, and runs at speed 1' messages)"

plugin=$(dirname "$program")/liblspo-mpi.so
if ! command -v mpirun > /dev/null || [ ! -f "$plugin" ]; then
    echo "no MPI: its tests are skipped"
    finish "grids in one process"
fi
ranks() { ASAN_OPTIONS=detect_leaks=0 timeout -k 5 120 mpirun -np "$@"; }

for order in message 1f1b; do
    check "4 ranks, $order" 0 "$(status_of ranks 4 "$program" "${grid[@]}" --pipeline-order $order --iterations 4 \
        --text text --repeat 2 --trace ranks.trace --format csv)"
    losses stdout > there
    check "the same losses, $order" "" "$(cmp here there 2>&1)"
    check "one result, $order" 2 "$(wc -l < stdout)"
    check "their trace is whole, $order" 0 "$(status_of "$program" compare ranks.trace ranks.trace)"
    check "each op once, $order" "$(grep -c '^[0-9]' here.trace)" "$(grep -c '^[0-9]' ranks.trace)"
done

check "a chain of 3 ranks" 0 "$(status_of ranks 3 "$program" "${chain[@]}" --trace ranks.trace)"
losses stdout > there
check "the same losses, a chain" "" "$(cmp chain there 2>&1)"
check "each op once, a chain" "$(grep -c '^[0-9]' chain.trace)" "$(grep -c '^[0-9]' ranks.trace)"
check "their trace is whole, a chain" 0 "$(status_of "$program" compare ranks.trace ranks.trace)"
mkdir other && sed 's/200 us/300 us/' peers.ini > other/peers.ini
check "another file of the same name" "2 1" "$(status_of ranks 2 "$program" "${chain[@]}" : -np 1 bash -c \
    'cp text other && cd other && "$@"' - "$program" "${chain[@]}") $(grep -c 'ranks must agree' messages)"

# One core for all, which no launcher has distributed.
core=$(taskset -cp $$ | sed 's/.*: *\([0-9]*\).*/\1/')
check "ranks on the same core" "0 1" "$(status_of ranks 4 --bind-to none taskset -c "$core" "$program" "${grid[@]}" \
    --iterations 4 --timing-only --text text) $(grep -c 'fewer cores than devices' messages)"

# Each rank with a GPU, for which the CPU stands in, the same one for all: in fp32 the same to rounding.
gpu_program=$(dirname "$program")/tests/cuda_on_host/lspo
if [ -x "$gpu_program" ]; then
    cp "$gpu_program" lspo-gpu && cp "$plugin" .
    check "2 GPUs" 0 "$(status_of ranks 2 ./lspo-gpu run --policy axonn --pipeline 2 --model gpt-tiny --batch 1 \
        --sequence 8 --accumulation 2 --iterations 4 --timing-only --clip 0.5 --text text --device cuda:0 \
        --precision fp32 --format csv)"
    losses stdout > there
    printf '%s\n' '[model]' 'name = tiny' 'source = a test' 'family = gpt' 'blocks = 2' 'width = 16' 'heads = 2' \
        'kv_heads = 2' 'mlp_width = 32' 'vocabulary = 256' 'max_sequence = 64' 'tied_head = true' > tiny.ini
    check "what is in use on a card" "0 yes" "$(status_of ./lspo-gpu memory --model tiny.ini --machine rtx4090 \
        --policy native --run --batch 1 --sequence 8 --format csv) $(awk -F, 'NR == 1 { for (i = 1; i <= NF; i++)
            at[$i] = i }
        NR == 2 { used = $at["measured_card_bytes"]
            off = $at["gpu_bytes"] / used - 1 - $at["measured_card_error"]
            print (used > $at["measured_gpu_bytes"] && off < 1e-6 && off > -1e-6 ? "yes" : $0) }' stdout)"
    check "as one host device" 0 "$(status_of "$program" run --policy axonn --model gpt-tiny --batch 1 --sequence 8 \
        --accumulation 2 --iterations 4 --timing-only --clip 0.5 --text text --format csv)"
    losses stdout > one
    check "their losses" "4 " "$(wc -l < there) $(paste there one | awk '$1 - $2 > 1e-4 || $2 - $1 > 1e-4')"
fi

# What cannot be run.
check "threads for the optimizer" "2 1" "$(status_of "$program" "${grid[@]}" --cpu-threads 2) $(grep -c \
    'each device of a grid has one thread' messages)"
many=$((33 * $(nproc --all)))
check "more devices than one process runs" "2 1" "$(status_of "$program" "${grid[@]}" --replicas $many --accumulation \
    $many --pipeline 1) $(grep -c "a grid of $many devices in one process" messages)"
for time in 0.5s 1e30s; do
    check "--rank-timeout $time" "2 1" "$(status_of "$program" "${grid[@]}" --rank-timeout $time) $(grep -c \
        'must be from 2s to 86400s' messages)"
done
check "3 ranks for 4 devices" "2 yes" "$(status_of ranks 3 "$program" "${grid[@]}" --iterations 4) $(grep -q \
    'as many ranks, not 3' messages && echo yes)"
check "ranks for one device" 2 "$(status_of ranks 2 "$program" run --policy zero --iterations 4)"
check "other flags" "2 1" "$(status_of ranks 2 "$program" "${grid[@]}" --iterations 4 : -np 2 "$program" "${grid[@]}" \
    --iterations 5) $(grep -c 'rank 0 has "iterations: 4", rank 2 has "iterations: 5"' messages)"
check "other caps" "2 1" "$(status_of ranks 2 "$program" "${grid[@]}" --iterations 4 --set net.Bps=1GB/s : -np 2 \
    "$program" "${grid[@]}" --iterations 4 --set net.Bps=2GB/s) $(grep -c \
    'rank 0 has "cap.net: 1.00 GB/s", rank 2 has "cap.net: 2.00 GB/s"' messages)"
check "another number of plays" 2 "$(status_of ranks 2 "$program" "${grid[@]}" --iterations 4 : -np 2 "$program" \
    "${grid[@]}" --iterations 4 --repeat 2)"
check "a device that is too small" 4 "$(status_of ranks 4 "$program" "${grid[@]}" --iterations 4 --gpu-memory 7MB)"

# A call of MPI that does not return, or is late, by a plug-in of two ranks, this one's other never there: rank 0 hangs
# when it looks for the 100th time, rank 1 in sending data until the run has noticed it and had the time to go on.  The
# data must then be as they were.  Nobody is started.
mkdir hangs && cp "$program" hangs/lspo && cat > hangs/plugin.c <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/mpi_plugin.h"
static int own;
static int start(int *rank, int *size) { *rank = own = atoi(getenv("PMI_RANK")); *size = 2; return 0; }
static int look(int *from, int *count)
{
    static int looks;
    if (++looks == 100 && own == 0)
        for (;;)
            pause();
    *from = -1;
    *count = 0;
    return 0;
}
static void wait_until_noticed(void)
{
    char text[4096] = "";
    while (!strstr(text, "MPI has not returned to rank 1")) {
        FILE *messages = fopen("messages", "r");
        usleep(20000);
        text[fread(text, 1, sizeof text - 1, messages)] = '\0';
        fclose(messages);
    }
    usleep(300000);
}
static int begin(const void *bytes, int count, int to, int second, void **request)
{
    (void)to;
    if (second) {
        void *before = memcpy(malloc(count), bytes, count);
        wait_until_noticed();
        fprintf(stderr, "the data are %s\n", memcmp(before, bytes, count) == 0 ? "whole" : "gone");
        free(before);
    }
    *request = (void *)1;
    return 0;
}
static int is_done(void *request, int *done) { (void)request; *done = 1; return 0; }
static void stop(int code) { _exit(code); }
const lspo_mpi_t *lspo_mpi(void);
const lspo_mpi_t *lspo_mpi(void)
{
    static const lspo_mpi_t functions = {.start = start, .look = look, .begin_send = begin, .is_done = is_done,
                                         .abort = stop};
    return &functions;
}
END
${CC:-cc} -shared -fPIC -I"$source_dir" -o hangs/liblspo-mpi.so hangs/plugin.c
hangs() { # hangs RANK
    status_of env PMI_SIZE=2 PMI_RANK="$1" timeout 60 hangs/lspo run --policy axonn --pipeline 2 --model gpt-tiny \
        --batch 1 --sequence 64 --accumulation 2 --iterations 4 --timing-only --text text --rank-timeout 2s
    grep 'MPI has not returned to rank\|the data are' messages | sed 's/.*: MPI/MPI/; s/:.*//'
}
check "MPI does not return" "1
MPI has not returned to rank 0 for 2 s" "$(hangs 0)"
check "MPI returns late" "1
MPI has not returned to rank 1 for 2 s
the data are whole" "$(hangs 1)"

# Ranks that have ended wait for one that is still busy, longer than the time-out: here rank 0, whose result is longer
# than the buffer of its standard output and is not read until 4 s after its trace.
cat > late-rank <<'RANK'
#!/bin/bash
[ "${OMPI_COMM_WORLD_RANK-$PMI_RANK}" = 0 ] || exec "$@"
set -o pipefail
{ head -c 65536 /dev/zero; exec "$@"; } | {
    for wait in {1..400}; do
        [ ! -e late.trace ] || break
        sleep 0.1
    done
    sleep 4
    tail -c +65537
}
RANK
chmod +x late-rank
caps=()
for rate in link.h2d_Bps link.d2h_Bps net.Bps; do caps+=(--set $rate=1000000MB/s); done
for time in link.h2d_latency_s link.d2h_latency_s net.latency_s; do caps+=(--set $time=0.001us); done
check "a rank that ends late" 0 "$(status_of ranks 4 ./late-rank "$program" "${grid[@]}" "${caps[@]}" --iterations 4 \
    --timing-only --text text --rank-timeout 2s --trace late.trace --format json)"
check "its result is long" yes "$([ "$(wc -c < stdout)" -gt 4096 ] && echo yes)"

# A rank that is killed, and one that hangs, after it has run for a while: half a second of its CPU's time, when it is
# training.  (Where a rank is killed while MPI starts, Open MPI's mpirun may hang when all ranks have ended.)
cat > struck-rank <<'RANK'
#!/bin/bash
"$@" & victim=$!
if [ "${OMPI_COMM_WORLD_RANK-$PMI_RANK}" = "$STRUCK" ]; then
    for wait in {1..400}; do
        [ "$(awk '{ print $14 + $15 }' /proc/$victim/stat)" -lt 50 ] || break
        sleep 0.05
    done
    sleep "0.0$((RANDOM % 10))"
    kill -"$SIGNAL" $victim 2> /dev/null
fi
wait $victim
RANK
chmod +x struck-rank
for rank in 0 1 3; do
    export STRUCK=$rank SIGNAL=KILL
    code=$(status_of ranks 4 ./struck-rank "$program" "${grid[@]}" --iterations 200 \
        --trace "killed-$rank")
    check "rank $rank is killed" "no no" "$([ "$code" = 0 ] && echo yes || echo no) $([ "$code" = 124 ] &&
        echo yes || echo no)"
    check "nothing is written, $rank" "" "$(ls | grep "killed-$rank" || true)"
done
export STRUCK=2 SIGNAL=STOP
code=$(status_of ranks 4 ./struck-rank "$program" "${grid[@]}" --iterations 200 --rank-timeout 2s \
    --trace stopped)
# The code is the rank's with Open MPI; that of MPICH may tell of the rank that it has killed.
if [[ $(mpirun --version 2>&1) = *"Open MPI"* ]]; then
    check "a rank hangs" 1 "$code"
else
    check "a rank hangs" "no no" "$([ "$code" = 0 ] && echo yes || echo no) $([ "$code" = 124 ] && echo yes ||
        echo no)"
fi
check "the others say so" yes "$(grep -q -e 'rank 2 has not been heard of for 2 s' -e 'MPI does not start within 2 s' \
    -e 'MPI has not returned to rank [013] for 2 s' messages && echo yes || cat messages)"
check "nothing is written" "" "$(ls | grep stopped || true)"
check "MPI is not loaded otherwise" "" "$(ldd "$program" | grep -i mpi || true)"
finish "grids"
