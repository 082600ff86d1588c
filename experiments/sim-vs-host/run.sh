#!/usr/bin/env bash
# The simulator against this machine: predict every cell of the grid from a profile measured beforehand, measure each in
# rounds.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open sim-vs-host
measure_alone
here=$experiments_dir/sim-vs-host
# The short form has wider limits, for the machine's noise; the full form does not.
grid=$here/grid budget=75s thresholds="--threshold-mean 6% --threshold-p95 15% --threshold-tau 0.8"
if [ "$EXPERIMENTS" = full ]; then
    grid=$here/grid-full budget=12min thresholds=
fi
profile_measure
# Any text will do; a file is read faster than the machine's own.
cat "$experiments_dir"/*/*.{md,sh,sql} > "$out/text"

# validate GRID BUDGET FOLDER: the verdict is 0, 5: outside the thresholds, or 6: too few calm cells, which is for the
# gates to say.
validate() {
    verdict=0
    mkdir -p "$3"
    "$LSPO" validate --device host --machine "$PROFILE" --grid "$1" --budget "$2" $thresholds --ablate \
        --text "$out/text" --out "$3" \
        --format table 2> "$3/messages" || verdict=$?
    case $verdict in
    0 | 5 | 6) grep -vE "^lspo: error: (the predictions are outside|inconclusive)" "$3/messages" >&2 || true ;;
    *) cat "$3/messages" >&2; die "lspo validate failed" ;;
    esac
    [ -s "$3/cells.csv" ] || die "nothing was measured"
}

# Cells that depend on each part of the model.  They are its hardest, so their overall error is not judged.  And cells
# of generation and of pipelines, which have gates of their own.
parts= generation= pipelines= chains=
if [ "$EXPERIMENTS" = full ]; then
    parts=$out/parts
    validate "$here/grid-parts" 3min "$parts"
    plot validate-errors "$parts/errors"
    generation=$out/generation
    validate "$here/grid-generation" 4min "$generation"
    plot validate-errors "$generation/errors"
    pipelines=$out/pipelines
    validate "$here/grid-pipelines" 2min "$pipelines"
    plot validate-errors "$pipelines/errors"
    chains=$out/chains
    (cd "$here" && validate grid-chains 1min "$chains") || exit # its peers are in a file beside it
    plot validate-errors "$chains/errors"
fi
validate "$grid" $budget "$out"
judge sim-vs-host --given verdict=$verdict --given full="$([ "$EXPERIMENTS" = full ] && echo 1 || echo 0)"
models=$(query "$out/cells.csv" "SELECT replace(group_concat(DISTINCT model), ',', ' and ') FROM rows")
cells=$(query "$out/cells.csv" "SELECT count(*) FROM rows")
plot sim-vs-host "$out/sim-vs-host" note="Predicted against measured on the host: $cells cells of $models"
plot validate-errors "$out/errors"
[ -z "$parts" ] || judge_by sim-vs-host/parts.sql "$parts"
gates=sim-vs-host/gates.sql
[ -z "$generation" ] || judge_by $gates "$generation" --given what=generation --given least=30 --given limit=0.04 \
    --given tau_least=0.9 --given memory=0.02
# Two devices compute at once on the memory of one machine.  The yardsticks show what that costs, not the model.
[ -z "$chains" ] || judge_by $gates "$chains" --given what=chains --given least=5 --given limit=0.04 \
    --given tau_least=0 --given memory=0
[ -z "$pipelines" ] || judge_by $gates "$pipelines" --given what=pipelines --given least=11 --given limit=0.04 \
    --given tau_least=0 --given memory=0
