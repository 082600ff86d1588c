#!/bin/bash
# The policy of docs/adding-a-policy.md, compiled from the page's code (tests/extract_page.sh): its own test passes, it
# simulates, trains and resumes, and the page counts its files and lines right.
set -eu
program=${LSPO:-$(command -v lspo)}
page=${LSPO_SOURCE:-$(dirname "$0")/..}/docs/adding-a-policy.md
built=$(dirname "$program")/tests/page
export LC_ALL=C

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
    echo "FAILED: $*"
    exit 1
}

"$built/test_signsgd" || fail "the page's test"

# Names: only the page's program has the policy.
"$built/lspo" list policies --format csv | grep -q '^signsgd,' || fail "the page's lspo does not list signsgd"
! "$program" list policies --format csv | grep -q '^signsgd,' || fail "lspo lists signsgd"
"$built/lspo" help signsgd | grep -q 'Bernstein' || fail "no help for signsgd"

# One bit against 32: the same model under zero sends 32 times as much to the CPU in the same number of messages.
sent_bytes() { # policy
    "$built/lspo" sim --policy "$1" --model gpt-small --machine host-reference --train-rest off --transfer fp32 \
        --precision fp32 --iterations 8 --trace "$scratch/$1.csv" > /dev/null || fail "no simulation of $1"
    awk -F, '$0 !~ /^#/ && !kind { for (i = 1; i <= NF; i++) at[$i] = i; kind = at["kind"]; next }
             $kind == "D2H" { sum += $at["bytes"] } END { print sum + 0 }' "$scratch/$1.csv"
}
bits=$(sent_bytes signsgd) whole=$(sent_bytes zero)
[ "$bits" -gt 0 ] && [ "$whole" = $((bits * 32)) ] || fail "D2H of signsgd $bits bytes, of zero $whole"

# A training that goes on from a checkpoint ends as one that was left alone, and it learns.
train() { # folder, flags
    "$built/lspo" train --model gpt-tiny --policy signsgd --device host --steps 8 --iterations 4 --batch 2 \
        --sequence 32 --learning-rate 1e-3 --eval-every 4 --checkpoint-every 4 --output "$scratch/$1" \
        --metrics "$scratch/$1.csv" "${@:2}" > "$scratch/$1.out" 2>&1 ||
        { cat "$scratch/$1.out"; fail "training $*"; }
}
train whole --export "$scratch/whole-weights"
mkdir "$scratch/cut"
cp -r "$scratch/whole/step-0000000004" "$scratch/cut"
train cut --resume --export "$scratch/cut-weights"
[ "$(sed -n 2p "$scratch/cut.csv" | cut -d, -f1)" = 5 ] ||
    fail "the resumed training begins with another step than the 5th"
cmp "$scratch"/whole-weights/*.safetensors "$scratch"/cut-weights/*.safetensors ||
    fail "a resumed training has other weights"

# What the page says that the example touches.
count() { # kind of block
    awk -v kind="$1=" '/^```/ { inside = !inside && index($NF, kind) == 1; files += inside; next } inside { lines++ }
                       END { print files, lines }' "$page"
}
read -r new new_lines <<< "$(count file)"
read -r old rows <<< "$(count row)"
words="touches $((new + old)) files: $new new ones with $new_lines lines, and $rows lines in $old existing files."
tr '\n' ' ' < "$page" | grep -qF "$words" || fail "the page does not say: $words"
