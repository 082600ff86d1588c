#!/bin/bash
# The example of docs/import.md, as a user would type it, and what it must find.
set -eu
. "$(dirname "$0")/lib.sh"
LSPO_SOURCE=$source_dir
PATH=$(dirname "$program"):$PATH
export LSPO_SOURCE PATH

cd "$folder"

sed -n '/^```sh$/,/^```$/{/^```/!p}' "$LSPO_SOURCE/docs/import.md" >commands.sh
[ "$(grep -c '^lspo' commands.sh)" = 5 ] || fail "docs/import.md has lost its commands"
bash -eu commands.sh >commands.out 2>&1 || fail "a command of docs/import.md: $(tail -5 commands.out)"

# The value of a column in the first row of compare.csv with this row, kind and lane.
value() {
    awk -F, -v row="$1" -v kind="$2" -v lane="$3" -v column="$4" '
        NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
        $at["row"] == row && $at["kind"] == kind && (lane == "" || $at["lane"] == lane) { print $at[column]; exit }
    ' compare.csv
}
holds() {
    awk "BEGIN { exit !($1) }" || fail "$2: $1"
}

# Slower links take longer by the same factor in each direction, and the GPU waits for them.
holds "$(value iteration ITERATION '' error) < -0.05" "the measured iteration is longer"
d2h=$(value kind D2H d2h error) h2d=$(value kind H2D h2d error)
holds "$d2h < -0.3 && $h2d < -0.3 && $d2h - $h2d < 1e-3 && $h2d - $d2h < 1e-3" "both links are slower, alike"
holds "$(value lane WAIT gpu difference_s) < 0" "the GPU waits longer"
links=$(awk -F, '$1 == "kind" { print $4 }' compare.csv | head -2 | sort | tr '\n' ' ')
[ "$links" = "d2h h2d " ] || fail "the kinds that differ most are not the links: $links"
awk -F, '$1 == "kind" { sum += $10 } $1 == "lane" && $2 == "BUSY" { busy += $10 }
         END { exit !(sum > 0 && (sum - busy) ^ 2 < 1e-9 * sum ^ 2) }' compare.csv ||
    fail "kinds do not add up to the lanes"
grep -q "\"import: kineto, profile.json.gz\"" run.json || fail "the export does not say where it is from"
