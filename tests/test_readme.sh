#!/bin/bash
# The README says what is true: what it prints under "$ COMMAND" is what the command prints, line for line ("..." stands
# for any lines), and every other command in it is accepted by the program's options.
#
# docs/first-prediction.md is held to the same.
#
#   tests/test_readme.sh --update    writes the outputs anew (read the diff); around "..." as many lines as before
set -eu
source_dir=$(cd "${LSPO_SOURCE:-$(dirname "$0")/..}" && pwd)
self=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
program=${LSPO:-$(command -v lspo)}
PATH=$(dirname "$program"):$PATH
update=
[ "${1-}" != --update ] || { update=yes; shift; }
readme=${1-$source_dir/README.md} # another one to try this test on
LC_ALL=C
export PATH LC_ALL

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0

# The recorded measurement of a calm machine that the README compares with.
recorded=$source_dir/traces/reference/xeon-2core-vm
mkdir "$scratch/work"
cd "$scratch/work"
cp "$recorded/machine.ini" host.ini
cp "$recorded/10.trace" run.trace
lspo sim --machine host.ini --model gpt-tiny --batch 2 --sequence 256 --policy lsp --subspace 64 --nnz 8 \
    --link 70723838B/s --cpu 88404798/s --transition 6 --iterations 7 --trace sim.trace >sim.csv
cp "$source_dir/tests/data/cli/metrics.csv" loss.csv
cp "$source_dir/tests/data/import/pytorch-profile.json.gz" profile.json.gz

# ---- commands with their output ----
awk -v folder="$scratch" '
    /^    \$ / {
        close(file); file = sprintf("%s/%02d.expected", folder, ++count)
        sub(/^    \$ /, ""); print > (file ".command")
        next
    }
    file != "" && /^    / { sub(/^    /, ""); print > file; next }
    file != "" && /^$/ { print > file; next }
    { file = "" }' "$readme"
count=0
for expected in "$scratch"/*.expected; do
    count=$((count + 1))
    command=$(cat "$expected.command")
    # A table, as on a terminal.
    case $command in
    *" | "*) shown="${command%% | *} --format table | ${command#* | }" ;;
    *) shown="$command --format table" ;;
    esac
    got=${expected%.expected}.got
    eval "$shown" >"$got" 2>&1 || { echo "failed: $command: $(cat "$got")"; status=1; }
    [ -z "$update" ] || continue
    awk -v command="$command" '
        NR == FNR { want[++wanted] = $0; next }
        { got[++lines] = $0 }
        END {
            while (wanted > 0 && want[wanted] == "") wanted--
            at = 1
            for (i = 1; i <= wanted; i++) {
                if (want[i] == "...") { skipping = 1; continue }
                while (skipping && at <= lines && got[at] != want[i]) at++
                if (at > lines || got[at] != want[i]) {
                    printf "README: %s\n  says   %s\n  prints %s\n", command, want[i], got[at]
                    exit 1
                }
                skipping = 0
                at++
            }
            if (at <= lines && !skipping) { printf "README: %s prints more: %s\n", command, got[at]; exit 1 }
        }' "$expected" "$got" || status=1
done
[ "$count" -ge 4 ] || { echo "only $count commands with output were found in $readme"; status=1; }

if [ -n "$update" ]; then
    awk -v folder="$scratch" '
        function flush_block(    got, line, lines, skipped, i) {
            if (!in_block) return
            in_block = 0
            got = sprintf("%s/%02d.got", folder, count)
            for (lines = 0; (getline line < got) > 0;) new[++lines] = line
            while (olds > 0 && old[olds] == "") { olds--; blanks++ }
            for (skipped = 1; skipped <= olds && old[skipped] != "    ..."; skipped++) {}
            for (i = 1; i <= lines && (skipped > olds || i < skipped); i++) print (new[i] == "" ? "" : "    " new[i])
            if (skipped <= olds) print old[skipped]
            for (i = lines - (olds - skipped) + 1; skipped <= olds && i <= lines; i++) print "    " new[i]
            for (; blanks > 0; blanks--) print ""
            olds = 0
        }
        /^    \$ / { flush_block(); count++; in_block = 1; print; next }
        in_block && (/^    / || /^$/) { old[++olds] = $0; next }
        { flush_block(); print }
        END { flush_block() }' "$readme" >"$scratch/new.md"
    [ $status = 0 ] && cp "$scratch/new.md" "$readme"
    exit $status
fi

# ---- the others: whatever they would do, their options exist ----
while read -r command; do
    policy=$(echo "$command" | sed -n 's/.* --policy \([a-z-]*\).*/\1/p')
    for flag in $(echo "$command" | grep -oE '(^| )--[a-z][a-z-]*' || :); do
        subcommand=$(echo "$command" | sed -n 's/^lspo \(\(show\|trace\) [a-z]*\|[a-z]*\).*/\1/p')
        lspo help $subcommand | grep -qE -- "(^|[ ,])$flag( |$)" ||
            lspo show policy "${policy:-lsp}" --format csv | grep -qE "(^|,)${flag#--}(,|$)" ||
            { echo "README: lspo $subcommand has no $flag"; status=1; }
    done
done < <(sed -n 's/^    lspo /lspo /p; s/^    build\/lspo /lspo /p' "$readme" |
    sed 's/  *#.*//; s/\$(lspo version --data)//')
[ $# -gt 0 ] || {
    "$self" "$source_dir/docs/first-prediction.md" || status=1
    # A runner that accepts anything would pass here too.
    sed 's/36\.6 ms/36.7 ms/' "$readme" >"$scratch/wrong.md"
    "$self" "$scratch/wrong.md" | grep -q "^  says .*36\.7 ms" || {
        echo "the runner accepts a wrong README"
        status=1
    }
    "$self" --update "$scratch/wrong.md"
    cmp "$readme" "$scratch/wrong.md" || { echo "--update does not write what the README says"; status=1; }
}
exit $status
