#!/usr/bin/env bash
# bundle/lease, rehearsed from its packed file alone: the program on the CPU that stands in for a GPU runs every step
# at small sizes.  What no GPU is there for (the clocks, the benchmark, compute-sanitizer) answers at once.  In a
# chroot, if LSPO_ROOT names the folder of a system (debootstrap --variant=minbase), which is copied.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
build=$(dirname "$program")

env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -C "$build" lease-rehearsal > "$folder/make.log" 2>&1 || {
    cat "$folder/make.log" >&2
    exit 1
}
root=
[ -z "${LSPO_ROOT-}" ] || { root=$folder/root; cp -a "$LSPO_ROOT" "$root"; }
place=$root/tmp/box
[ -n "$root" ] || place=$folder/box
mkdir -p "$place/path"
tar -C "$build" -cf - lease-rehearsal | gzip -1 > "$place/lease.tar.gz"
rm -r "$build/lease-rehearsal"
check "what is uploaded is below 64 MiB" yes "$([ "$(wc -c < "$place/lease.tar.gz")" -lt $((64 << 20)) ] && echo yes)"
tar -C "$place" -xzf "$place/lease.tar.gz"
pack=$place/lease-rehearsal

# ---- small sizes, and what no GPU is there for ----

tiny=${pack#"$root"}/share/tiny.ini
printf '%s\n' '[model]' 'name = tiny' 'source = a test' 'family = gpt' 'blocks = 2' 'width = 16' 'heads = 2' \
    'kv_heads = 2' 'mlp_width = 32' 'vocabulary = 256' 'max_sequence = 64' 'tied_head = true' > "$pack/share/tiny.ini"
small="--model $tiny --batch 1 --sequence 8"
echo "$small --iterations 6 --timing-only" > "$pack/share/losses"
sed -i -e '/ --/d' -e 's/^validate .*/validate 4/' "$pack/share/lease-steps"
echo "tiny-native 20 $small --policy native
tiny-lsp 20 $small --policy lsp --subspace 8 --nnz 2
tiny-huge 20 $small --policy native --gpu-memory 10KiB" >> "$pack/share/lease-steps"
echo "flags --iterations 4
link $tiny 1 8 zero free free zero lsp:8:2" > "$pack/share/lease-grid"
mv "$pack/bin/lspo" "$pack/bin/lspo-on-host"
cat > "$pack/bin/lspo" << 'REHEARSED'
#!/bin/sh
# A calibration at the sizes of a GPU would take hours: one of a CPU is in its place.  Three policies are enough.
here=$(dirname "$0")
case "$1 $2" in
calibrate*)
    while [ "$1" != -o ]; do shift; done
    exec "$here/lspo-on-host" show machine host-reference > "$2" ;;
"list policies") "$here/lspo-on-host" "$@" | grep -E '^(name|native|zero|lsp),' ;;
*) exec "$here/lspo-on-host" "$@" ;;
esac
REHEARSED
cat > "$pack/bin/bench_cuda" << 'BENCH'
#!/bin/sh
echo "copy on the card"
BENCH
cat > "$place/path/nvidia-smi" << 'SMI'
#!/bin/sh
case $* in
*-lms*) echo "clocks.sm"; while :; do echo 1980; sleep 0.2; done ;;
*dmon*) echo "rxpci"; while :; do echo 20000; sleep 0.2; done ;;
*) echo "a GPU" ;;
esac
SMI
printf '#!/bin/sh\nshift 4\nexec "$@"\n' > "$place/path/compute-sanitizer"
printf '#!/bin/sh\nexit 1\n' > "$place/path/python3"
chmod +x "$pack"/bin/* "$place"/path/*

# lease ARGS...: in the empty root, or here with nothing of this environment.  $ORIGIN of an rpath needs /proc.
in_root=()
[ -z "$root" ] || in_root=(unshare -m sh -c 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"' "$root")
lease() {
    local inside=${place#"$root"}
    "${in_root[@]}" env -i PATH="$inside/path:/usr/bin:/bin:/usr/sbin:/sbin" LC_ALL=C HOME=/tmp \
        "$inside/lease-rehearsal/lease" --out "$inside/out" "$@"
}
last_line() { tail -n 1 "$folder/stdout"; }

# ---- to the end ----

check "all steps" 0 "$(status_of lease --seconds 120)"
check "the last line" "measured: tests losses bench calibrate validate memcheck tiny-native tiny-lsp; \
skipped: torch tiny-huge; failed: none; left for another run: none" "$(last_line)"
check "nothing else is written" lease.tar.gz "$(ls "$place/out")"
mkdir "$folder/reference"
tar -C "$folder/reference" -xzf "$place/out/lease.tar.gz"
got=$folder/reference/cpu-as-a-gpu
check "the folder of the device" cpu-as-a-gpu "$(ls "$folder/reference")"
for file in machine.ini commands system.txt grid steps.csv losses.txt bench.txt clocks.csv link.txt runs.csv \
    validation/cells.csv tiny-native.trace tiny-lsp.trace 1.trace 2.trace native-1.trace tests.log; do
    check "$file" yes "$([ -s "$got/$file" ] && echo yes)"
done
check "three policies' losses, in two formats" 6 "$(grep -c . "$got/losses.txt")"
check "as the host's" 6 "$(grep -c '^holds' "$got/losses.log")"
check "a verdict per step" 10 "$(tail -n +2 "$got/steps.csv" | wc -l)"
check "traces are as traces/reference/ has them" yes \
    "$("$program" compare "$got/1.trace" "$got/1.trace" > "$folder/summary" 2>&1 && echo yes)"

# ---- a suite that hangs: those behind it run, and the step is left ----

cp "$pack/share/lease-steps" "$folder/lease-steps"
mv "$pack/bin/test_numbers_device" "$folder/"
echo "tests 9" > "$pack/share/lease-steps"
cat > "$pack/bin/test_made_up_device" << 'SUITES'
#!/bin/sh
case $* in
--list) printf 'slow: 1 tests\n|-- one\n\nquick: 2 tests\n|-- one\n`-- two\n' ;;
"--filter slow/*") exec sleep 60 ;;
"--filter quick/*") echo "quick ran" ;;
esac
SUITES
chmod +x "$pack/bin/test_made_up_device"
rm -r "$place/out"
check "a suite out of time" 4 "$(status_of lease --seconds 60)"
check "the step is left" "tests" "$(last_line | sed -n 's/.*left for another run: //p')"
check "it says which" 1 "$(grep -c 'FAILED to end in time: slow' "$folder/stdout")"
check "the other suite ran" 1 "$(tar -xzOf "$place/out/lease.tar.gz" cpu-as-a-gpu/tests.log | grep -c 'quick ran')"
rm "$pack/bin/test_made_up_device"
mv "$folder/test_numbers_device" "$pack/bin/"
cp "$folder/lease-steps" "$pack/share/lease-steps"

# ---- a step that hangs: the others have no time, and what is there is there ----

printf '#!/bin/sh\nexec sleep 60\n' > "$pack/bin/test_numbers_device"
rm -r "$place/out"
begun=$SECONDS
check "out of time" 4 "$(status_of lease --seconds 9)"
check "in time" yes "$([ $((SECONDS - begun)) -le 10 ] && echo yes)"
check "an archive is there" 1 "$(tar -tzf "$place/out/lease.tar.gz" | grep -c '/system.txt$')"
check "what is left" "tests" "$(last_line | sed -n 's/.*left for another run: \([a-z]*\).*/\1/p')"

# ---- a box without the toolkit ----

echo libcublas.so.nowhere > "$pack/share/box_libraries"
printf '#!/bin/sh\nexit 127\n' > "$pack/bin/lspo"
check "no CUDA" 3 "$(status_of lease)"
check "which library" 1 "$(grep -c 'this box lacks libcublas.so.nowhere' "$folder/messages")"

finish lease
