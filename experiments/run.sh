#!/usr/bin/env bash
# run.sh [--full] [--fresh] [FIGURE...] - all experiments, or those named, whose inputs have changed; with --fresh
# also those whose inputs have not.  CSV, pictures and checks are under ./results; report.html there shows all, and
# after a run of all report.pdf, where Chromium is.  A failure stops no other figure; the status is then 1.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

all="table1 fig2 fig7 bandwidth subspace maps published deep-optimizer-states axonn fusion meft kvpr marlin endor qmoe"
all="$all vtensor sim-vs-host memory tune fig3 convergence fig6a fig6b fig4 fig5 table3 table4 adam-basis"
figures= fresh=
while [ $# -gt 0 ]; do
    case $1 in
    --full) EXPERIMENTS=full ;;
    --fresh) fresh=yes ;;
    --help) sed -n '2,4s/^# //p' "$0"; echo "figures: $all"; exit 0 ;;
    -*) echo "unknown option $1" >&2; exit 2 ;;
    *) [ -x "$experiments_dir/$1/run.sh" ] || { echo "no figure '$1'; there are: $all" >&2; exit 2; }
       figures="$figures $1" ;;
    esac
    shift
done
export EXPERIMENTS
command -v "$LSPO" > /dev/null || die "$LSPO is not on PATH; build it first, or set LSPO"
command -v gnuplot > /dev/null || die "gnuplot is missing (Debian: gnuplot-nox)"
results_claim
# A profile of an earlier session, or of another build, may no longer be right.
build=$(inputs_hash "$(command -v "$LSPO")")
if [ -z "$figures" ] && { [ -n "$fresh" ] || [ "$(cat "$RESULTS/.build" 2> /dev/null)" != "$build" ] ||
    [ -n "$(find "$PROFILE" -mmin +720 2> /dev/null)" ]; }; then
    rm -rf "$PROFILE" "$RESULTS/pretrained"
fi
echo "$build" > "$RESULTS/.build"

printf '%s\n' $all > "$RESULTS/figures"
# A signal ends the whole run, not only the current figure; what there is goes into the report.
stop() {
    trap - HUP INT TERM
    [ -z "$running" ] || figure_close "$running" "$1" "$build"
    "$LSPO" report "$RESULTS" || true
    exit "$1"
}
running=
trap 'stop 129' HUP
trap 'stop 130' INT
trap 'stop 143' TERM

failed=
started=$SECONDS
for figure in ${figures:-$all}; do
    printf '\n== %s\n' "$figure"
    if [ -z "$fresh" ] && figure_is_done "$figure" "$build"; then
        echo "   as it was: its inputs have not changed (--fresh runs it again)"
        continue
    fi
    figure_open "$figure"
    running=$figure
    status=0
    "$experiments_dir/$figure/run.sh" 2>&1 | tee -i "$RESULTS/.output" || status=$?
    running=
    figure_close "$figure" "$status" "$build"
    [ "$status" = 0 ] || failed="$failed $figure"
    printf '   (%d s)\n' $((SECONDS - figure_began))
done
can_train || failed="$failed trains.csv"

printf '\nPictures (each also as .svg), after %d s:\n' $((SECONDS - started))
for figure in ${figures:-$all}; do
    find "$RESULTS/$figure" -name '*.png' 2> /dev/null | sort | sed 's/^/  /'
done
"$LSPO" report "$RESULTS" || failed="$failed report.html"
[ -n "$figures" ] || print_report
if [ -n "$failed" ]; then
    printf '\nFAILED, see above:%s\n' "$failed" >&2
    exit 1
fi
