#!/bin/bash
# Each command, with one allocation after the other denied: it ends with a status other than 0 and a message, or with 0
# and the same bytes as ever.  Never by a signal, never with status 2 (nothing that was given is wrong), never with a
# file half written.
#
# What measures has other numbers each time: it ends with 0 and a result, or as above.
#
# Without LSPO_NO_MEMORY=all only some of the allocations: 16 of each command, alone and with all that follow; 32 of a
# run.
set -eu
program=${LSPO:-$(command -v lspo)}
preload=$PWD/tests/failing_malloc.so
source_dir=$(cd "${LSPO_SOURCE:-$(dirname "$0")/..}" && pwd)
if ldd "$program" | grep -q 'lib[at]san'; then
    echo "a sanitizer has an allocator of its own"
    exit 77
fi
[ -e "$preload" ] || { echo "no $preload"; exit 1; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
status=0

"$program" sim --model gpt-tiny --policy lsp --iterations 4 --trace predicted >/dev/null
"$program" sim --model gpt-tiny --policy lsp --iterations 4 --machine paper-laptop --trace measured >/dev/null
"$program" show machine rtx4090 >machine.ini
head -40 "$source_dir/tests/data/cli/metrics.csv" >metrics.csv

# What a command leaves in the folder "out", and what it prints.
bytes_of() {
    cat stdout
    find out -type f | sort | xargs -r cat
}

play() { # environment of the allocator ... -- command
    local settings=()
    while [ "$1" != -- ]; do settings+=("$1"); shift; done
    shift
    rm -rf out && mkdir out
    code=0
    timeout 20 env "${settings[@]}" LD_PRELOAD="$preload" "$program" "$@" >stdout 2>stderr </dev/null || code=$?
}

judge() { # which allocation, command
    local which=$1 fault=
    shift
    case $code in
    0) $same || fault="status 0 and another result" ;;
    1) grep -q 'lspo: error: ' stderr || fault="status 1 without a message" ;;
    *) fault="status $code" ;;
    esac
    [ "$code" = 0 ] || refused=$((refused + 1))
    [ -z "$(find out -name '.lspo-temporary-*')" ] || fault="a temporary is left"
    [ -n "$fault" ] || return 0
    echo "allocation $which of lspo $*: $fault"
    sed 's/^/  /' stderr
    status=1
}

same_bytes() {
    bytes_of | cmp -s - expected
}
# The same columns, the same of them empty: the numbers are measured.  (hwloc or PAPI may say what it cannot read in
# /sys.)
same_columns() {
    cmp -s <(bytes_of | tail -n +2 | sed 's/[^,]\+/x/g') <(tail -n +2 expected | sed 's/[^,]\+/x/g') &&
        ! grep 'lspo: error: ' stderr | grep -qv 'error: /sys/'
}

# "0 1": alone, and with all that follow.
deny_some() { # how many of the allocations, which of 0 and 1, how results are compared, command
    local some=$1 alone_or_all=$2 same=$3 count step refused=0
    shift 3
    play LSPO_FAIL_COUNT="$scratch/count" -- "$@"
    [ "$code" = 0 ] || { echo "lspo $*: status $code with all its memory"; cat stderr; status=1; return; }
    bytes_of >expected
    count=$(cat count)
    step=$((count / some + 1))
    [ "${LSPO_NO_MEMORY-}" != all ] || step=1
    for ((at = 1; at <= count; at += step)); do
        for on in $alone_or_all; do
            play LSPO_FAIL_AT=$at LSPO_FAIL_ON=$on -- "$@"
            judge "$at of $count$([ $on = 0 ] || echo ' and all after it')" "$@"
        done
    done
    [ $refused -gt 0 ] || { echo "lspo $*: never refused: the allocator is not in the program"; status=1; }
}
deny() {
    deny_some 16 '0 1' same_bytes "$@"
}

deny list models --format json
deny show machine machine.ini
deny sim --model gpt-tiny --policy lsp --iterations 4 --trace out/trace --format json
deny sim --model gpt2-124m --policy zero --machine machine.ini --format table
# A folder that there is no memory to look into is not one without a model.
deny sim --model "$source_dir/tests/data/cases/model/base" --policy zero --machine machine.ini --format csv
deny compare predicted measured --format json
deny join --metrics metrics.csv --policy lsp --model gpt2-774m --machine machine.ini --format table
deny validate --published "$source_dir/tests/data/cli/published/steps.csv" --format json
deny trace export predicted --perfetto out/perfetto.json --gantt out/gantt.csv
mkdir -p results/f
touch results/.lspo-experiments
echo f >results/figures
printf '%s\n' '[run]' 'command = f' 'status = 1' >results/f/run.ini
printf '%s\n' '  holds a' >results/f/output.txt
printf '%s\n' '# f' '' '- a `b`' >results/f/README.md
printf '%s\n' a,b 1,2 >results/f/f.csv
echo '<svg width="3" height="2"></svg>' >results/f/f.svg
deny report results -o out/report.html
deny trace import --kineto "$source_dir/tests/data/import/pytorch-profile.json.gz" -o out/trace
"$program" train --model gpt-tiny --policy native --steps 1 --batch 1 --sequence 16 --export model >/dev/null 2>&1

# Names whose last quote is the byte for which jansson's buffer grows: all allocations.
mkdir long-names
{
    printf '{'
    for n in 14 30 62 126 254 510 1022 2046; do printf '"%s": %d, ' "$(head -c $n /dev/zero | tr '\0' x)" $n; done
    tail -n +2 model/config.json
} >long-names/config.json
deny_some 1000 0 same_bytes show model long-names

# The starts of OpenBLAS, PAPI and hwloc are among these.  Alone: libgfortran calls itself without end when it has no
# memory to say so.
deny_some 16 0 same_bytes generate --model model --prompt abc --tokens 4 --weights bf16
printf '%s\n' '[model]' name=dense family=llama blocks=1 width=32 heads=2 kv_heads=1 mlp_width=32 vocabulary=256 \
    max_sequence=32 >dense.ini
"$program" train --model dense.ini --policy native --steps 1 --batch 1 --sequence 16 --export dense >/dev/null 2>&1
"$source_dir/experiments/qmoe/mixture.sh" mixture dense dense
seq 1000 >numbers.txt
deny_some 24 0 same_bytes generate --model mixture --prompt abc --tokens 2 --weights ternary --quantizer gptq \
    --calibration numbers.txt
for i in $(seq 200); do echo "line $i of a text"; done >text.txt
deny_some 32 0 same_columns run --model gpt-tiny --policy zero --iterations 4 --batch 1 --sequence 32 --timing-only \
    --text text.txt

# A checkpoint that there was no memory to read is whole all the same: it is not set aside for an older one.
resume=(train --model gpt-tiny --policy zero --data text.txt --sequence 32 --batch 2 --steps 2 --output run)
"$program" "${resume[@]}" >/dev/null 2>&1
resume+=(--resume)
play LSPO_FAIL_COUNT="$scratch/count" -- "${resume[@]}"
count=$(cat count)
step=$((count / 32 + 1))
[ "${LSPO_NO_MEMORY-}" != all ] || step=1
for ((at = 1; at <= count; at += step)); do
    play LSPO_FAIL_AT=$at LSPO_FAIL_ON=0 -- "${resume[@]}"
    case $code in 0 | 1) ;; *) echo "allocation $at of $count of lspo ${resume[*]}: status $code"; status=1 ;; esac
    [ -d run/step-0000000002 ] && [ -z "$(find run -name 'damaged-*')" ] && continue
    echo "allocation $at of $count of lspo ${resume[*]}: a good checkpoint is set aside"
    sed 's/^/  /' stderr
    status=1
    rm -rf run && "$program" "${resume[@]}" >/dev/null 2>&1
done
exit $status
