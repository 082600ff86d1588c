#!/bin/bash
# lspo run --watch: drawings of complete iterations on standard error, the last one of the last iteration; the result on
# standard output as without it.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
run=("$program" run --model gpt-tiny --batch 1 --sequence 16 --policy zero --iterations 9 --timing-only --format csv)

check "exit status" 0 "$(status_of "${run[@]}" --watch)"
check "rows of the result" 2 "$(wc -l < "$folder/stdout")"
check "the last drawing" "iteration 8." "$(grep -o 'iteration [0-9]*\.$' "$folder/messages" | tail -n 1)"
check "its lanes" "gpu d2h h2d cpu" \
    "$(sed -nE 's/^(gpu|d2h|h2d|cpu) .*/\1/p' "$folder/messages" | tail -n 4 | paste -sd ' ')"

# Of several plays; native's of --slowdown are not drawn, which has no ops on the link.
check "exit status" 0 "$(status_of "${run[@]}" --watch --repeat 2 --slowdown)"
check "the last drawing" "iteration 8." "$(grep -o 'iteration [0-9]*\.$' "$folder/messages" | tail -n 1)"
check "every drawing has the link" "$(grep -c '^gpu ' "$folder/messages")" "$(grep -c '^d2h ' "$folder/messages")"

# On a terminal a drawing replaces the one before: the cursor goes up by as many lines as it has, none wider than the
# terminal.
if command -v script > /dev/null; then
    drawings=$(grep -c 'iteration [0-9]*\.$' "$folder/messages")
    lines=$(($(grep -vc '^lspo: ' "$folder/messages") / drawings))
    COLUMNS=110 script -qec "${run[*]} --watch --iterations 400" "$folder/terminal" > /dev/null < /dev/null
    up=$(printf '\033')
    check "drawings in place" yes "$(grep -q "$up\[${lines}A" "$folder/terminal" && echo yes || echo no)"
    check "the last drawing" "iteration 399." "$(grep -o 'iteration [0-9]*\.' "$folder/terminal" | tail -n 1)"
    check "messages" "" "$(grep "lspo: error" "$folder/terminal" || true)"
    check "lines wider than the terminal" 0 "$(COLUMNS=80 script -qec "${run[*]} --watch" /dev/null < /dev/null |
        tr -d '\r' | grep -vE '^(lspo|origin|run)' | awk 'length > 80 { n++ } END { print n + 0 }')"
fi
finish test_watch
