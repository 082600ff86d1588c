#!/bin/bash
# One list, never two: a policy with parameters of its own is linked into the program (tests/own_policy/policy.c), and
# its parameters are found wherever parameters are named: flags and their checks, help, man pages, results, trace
# headers and what is made again from them, grids, choose, the settings of a training, completion, and the page of the
# policies.
set -eu
source_dir=$(cd "${LSPO_SOURCE:-$(dirname "$0")/..}" && pwd)
program=$(dirname "${LSPO:-$(command -v lspo)}")/tests/own_policy/lspo
export LC_ALL=C

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
status=0
complain() {
    echo "$*"
    status=1
}
has() { # has WHAT PATTERN COMMAND...: its output has a line like that
    local what=$1 pattern=$2
    shift 2
    "$@" >output 2>&1 </dev/null || true
    grep -q -- "$pattern" output || complain "$what: no '$pattern' in $(head -c 600 output)"
}
lacks() {
    local what=$1 pattern=$2
    shift 2
    "$@" >output 2>&1 </dev/null || true
    ! grep -q -- "$pattern" output || complain "$what: '$pattern' in $(head -c 600 output)"
}
refused() { # refused PATTERN COMMAND...: exit 2, and the message has it
    local pattern=$1 code=0
    shift
    "$@" >output 2>&1 </dev/null || code=$?
    [ $code = 2 ] && grep -q -- "$pattern" output || complain "exit $code, not 2 with '$pattern': $*: $(cat output)"
}
own="echo-every echo-share echo-layer echo-style"
sim=("$program" sim --model gpt-tiny)

# ---- help, man page, lists ----
for name in $own; do
    has "help" "^  --$name " "$program" help echo
    has "man page" "^.B .-.-${name/-/.-} " "$program" help echo --man
    has "show policy" "^$name," "$program" show policy echo --format csv
    has "completion" "^--$name	" "$program" __complete sim --policy echo --echo
    lacks "completion without the policy" "^--$name	" "$program" __complete sim --policy lsp --echo
    lacks "sim --help" "^  --$name " "$program" sim --help
done
has "list policies" "^echo," "$program" list policies --format csv
has "help --policies" "^echo$" "$program" help --policies
has "completion of values" "^loud	" "$program" __complete sim --policy echo --echo-style ""
has "a default" "3; train: 7" "$program" help echo

# ---- flags and their checks ----
refused "echo-every belongs to echo; zero has --gradient-buffers" "${sim[@]}" --policy zero --echo-every 2
refused "did you mean --echo-share" "${sim[@]}" --policy echo --ecko-share 0.1
refused "echo has --echo-every, --echo-share" "${sim[@]}" --policy echo --rank 4
refused "'0' is not an integer from 1 to 100" "${sim[@]}" --policy echo --echo-every 0
refused "above 1\|outside its range: at least 0, at most 1" "${sim[@]}" --policy echo --echo-share 1.5
refused "echo-layer 6 is outside 0..5, the model's blocks" "${sim[@]}" --policy echo --echo-layer 6
refused "not one of soft, loud" "${sim[@]}" --policy echo --echo-style quiet

# ---- results, trace headers, and plans made from them again ----
given=(--echo-every 5 --echo-share 0.25 --echo-layer 2 --echo-style loud)
has "CSV header" ",echo_every,echo_share,echo_layer,echo_style," "${sim[@]}" --policy echo --format csv
has "CSV values" ",5,0.25,2,loud," "${sim[@]}" --policy echo "${given[@]}" --format csv
has "CSV of another policy" ",,,,$" "${sim[@]}" --policy zero --format csv
has "JSON" '"echo_style": "loud"' "${sim[@]}" --policy echo "${given[@]}" --format json
has "JSON of another policy" '"echo_style": null' "${sim[@]}" --policy zero --format json
"${sim[@]}" --policy echo "${given[@]}" --trace echo.trace >/dev/null
for entry in "echo-every: 5" "echo-share: 0.25" "echo-layer: 2" "echo-style: loud"; do
    grep -qx "# $entry" echo.trace || complain "the trace says no '$entry'"
done
"$program" trace export echo.trace --perfetto echo.json >/dev/null 2>output || complain "export: $(cat output)"
sed 's/^# echo-every: 5/# echo-every: 500/' echo.trace >wrong.trace
has "a wrong trace" "'500' is not an integer from 1 to 100" "$program" trace export wrong.trace --perfetto echo.json
has "the period" '"not_counted": "echoes"' "${sim[@]}" --policy echo --echo-every 50 --format json

# ---- many policies at once ----
"$program" choose --model gpt-tiny --machine rtx4090 --echo-every 9 --format csv >choices
grep '^echo,' choices | grep -q -- '--echo-every 9' || complain "choose: echo is not given its flag"
! grep -v '^echo,' choices | grep -q -- '--echo-every' || complain "choose: others are given echo's flag"
printf 'flags --echo-style loud --gradient-buffers 1\ncells gpt-tiny 1 32 zero free free zero echo:5 native\n' >grid
code=0
"$program" validate --grid grid --out cells --budget 1ms >output 2>&1 </dev/null || code=$?
case $code in 0 | 5 | 6) ;; *) complain "validate: exit $code: $(cat output)" ;; esac
grep -c -- '--echo-style loud' cells/cells.csv >count || true
[ "$(cat count)" = 1 ] || complain "grid: $(cat count) cells have echo's flag: $(cat cells/cells.csv)"
grep -- '--echo-every 5' cells/cells.csv | grep -q -- '--policy echo' || complain "grid: no cell of echo:5"
grep -- '--gradient-buffers 1' cells/cells.csv | grep -qv 'policy echo' || complain "grid: zero lost its flag"

# ---- a training: its settings are kept ----
seq 400 >text.txt
train=("$program" train --model gpt-tiny --policy echo --data text.txt --sequence 32 --batch 1 --checkpoint-every 2 \
    --output run1)
"${train[@]}" --steps 2 >/dev/null 2>output || complain "train: $(cat output)"
for change in "echo-every 8" "echo-layer 1" "echo-style loud"; do
    # shellcheck disable=SC2086
    refused "${change% *}" "${train[@]}" --steps 4 --resume --$change
done
refused "echo-every.*7" "${train[@]}" --steps 4 --resume --echo-every 3
"${train[@]}" --steps 4 --resume --echo-share 0.125 >/dev/null 2>output ||
    complain "what changes no number: $(cat output)"

# ---- the page of the policies ----
LSPO=$program "$source_dir/docs/policies.sh" >page
for name in $own; do grep -q "^      --$name " page || complain "docs/policies.md would lack --$name"; done
LSPO=$(dirname "$program")/../../lspo "$source_dir/docs/policies.sh" | cmp -s - "$source_dir/docs/policies.md" ||
    complain "docs/policies.md is not what the program says: write it anew with docs/policies.sh"
exit $status
