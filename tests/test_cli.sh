#!/bin/bash
# Command transcripts: every line "$ COMMAND" of tests/data/cli/*.transcript is run, with stdout and stderr together,
# and what it prints, indented, with its exit code, must be what the file says.  Commands see `lspo` on PATH, run in an
# empty folder, and find the inputs in $DATA.
#
#   tests/test_cli.sh --update    writes the transcripts anew (read the diff)
set -eu
source_dir=$(cd "${LSPO_SOURCE:-$(dirname "$0")/..}" && pwd)
program=${LSPO:-$(command -v lspo)}
PATH=$(dirname "$program"):$PATH
transcripts=$source_dir/tests/data/cli
export PATH LC_ALL=C

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# A name without blanks, wherever the sources are.
DATA=$scratch/data
ln -s "$transcripts" "$DATA"
export DATA

# The transcript that a file's commands make now; comments and blank lines are kept.
play() {
    mkdir -p "$scratch/work"
    cd "$scratch/work"
    while IFS= read -r line; do
        case $line in
        '$ '*)
            echo "$line"
            code=0
            bash -c "${line#$ }" >../output 2>&1 </dev/null || code=$?
            # A busy machine takes 5 s for what has no line of progress elsewhere.
            sed "/^lspo: [a-z ]*: [0-9]* of [0-9]* done after 5 s$/d; s|$DATA|\$DATA|g; s/^/  /" ../output
            [ "$code" = 0 ] || echo "  [exit $code]"
            ;;
        '#'* | '') echo "$line" ;;
        esac
    done <"$1"
    cd "$source_dir"
    rm -rf "$scratch/work"
}

# A runner that accepts anything would pass here too.
printf '$ lspo --no-such-option\n  nothing\n' >"$scratch/wrong.transcript"
if play "$scratch/wrong.transcript" | cmp -s - "$scratch/wrong.transcript"; then
    echo "the runner accepts a wrong transcript"
    exit 1
fi

status=0
for transcript in "$transcripts"/*.transcript; do
    name=$(basename "$transcript")
    play "$transcript" >"$scratch/$name"
    if [ "${1-}" = --update ]; then
        cp "$scratch/$name" "$transcript"
    elif ! diff -u --label "$name: expected" --label "$name: got" "$transcript" "$scratch/$name"; then
        status=1
    fi
done
exit $status
