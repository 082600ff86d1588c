#!/usr/bin/env bash
# run.sh [--full] [--fresh] [-j N] [FIGURE...] - all experiments, or those named, whose inputs have changed; with
# --fresh also those whose inputs have not.  First those that compare no times, N at once (usually one per core), then
# the others one by one.  CSV, pictures and checks are under ./results; report.html there shows all, and after a run of
# all report.pdf, where Chromium is.  A failure stops no other figure; the status is then 1.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# In the order of the report.
all="table1 fig2 fig7 bandwidth subspace maps published deep-optimizer-states axonn fusion meft kvpr marlin endor qmoe"
all="$all vtensor sim-vs-host memory tune fig3 convergence fig6a fig6b fig4 fig5 table3 table4 adam-basis"
figures= fresh= jobs=${#beside_cores[@]}
while [ $# -gt 0 ]; do
    case $1 in
    --full) EXPERIMENTS=full ;;
    --fresh) fresh=yes ;;
    -j) jobs=${2:-} && shift $(($# > 1)) ;;
    -j*) jobs=${1#-j} ;;
    --help) sed -n '2,5s/^# //p' "$0"; echo "figures: $all"; exit 0 ;;
    -*) echo "unknown option $1" >&2; exit 2 ;;
    *) [ -x "$experiments_dir/$1/run.sh" ] || { echo "no figure '$1'; there are: $all" >&2; exit 2; }
       figures="$figures $1" ;;
    esac
    shift
done
[[ $jobs =~ ^[1-9][0-9]{0,3}$ ]] || { echo "-j '$jobs': 1 to 9999 figures at a time" >&2; exit 2; }
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
[ -n "$figures" ] || echo "$build" > "$RESULTS/.build"
printf '%s\n' $all > "$RESULTS/figures"

for figure in "$experiments_dir"/*/run.sh; do
    figure=$(basename "$(dirname "$figure")")
    for source in $(figure_reads "$figure"); do echo "$source $figure"; done
done | tsort > /dev/null || die "these figures read CSV of each other"

# with_sources FIGURE...: before each of them those whose CSV it reads, if they are among them or were never run.
with_sources() {
    local figure source
    for figure in "$@"; do
        for source in $(figure_reads "$figure"); do
            [[ " $* " != *" $source "* && -f $RESULTS/$source/run.ini ]] || with_sources "$source"
        done
        echo "$figure"
    done | awk '!seen[$0]++'
}

# show: what figures print, one after the other, whole, in the order in which they began; it reads lines of a name and a
# process, or - for a figure that is not run.
show() {
    local figure process
    trap '' HUP INT TERM # it ends with the figures
    while read -r figure process; do
        printf '\n== %s\n' "$figure"
        [ "$process" = - ] || tail -n +1 -f -s 0.1 --pid="$process" "$RESULTS/.output.$figure"
        [ "$process" != - ] || echo "   as it was: its inputs have not changed (--fresh runs it again)"
        rm -f "$RESULTS/.output.$figure"
    done
}
exec {shown}> >(show)
show_process=$!
show_end() {
    exec {shown}>&-
    wait $show_process
}

# start FIGURE STAGE: in a process group of its own, so that all of it can be ended.
declare -A running=()
start() {
    : > "$RESULTS/.output.$1"
    set -m
    (
        set +m
        exec {shown}>&-
        [ "$2" = 2 ] || export BESIDE_OTHERS=yes
        figure_run "$1" "$build" "$run_started"
    ) &
    set +m
    running[$1]=$!
    echo "$1 $!" >&$shown
}

# await_one: until one of those that run has ended.
failed=
await_one() {
    local figure
    wait -n "${running[@]}" || true
    for figure in "${!running[@]}"; do
        ! kill -0 "${running[$figure]}" 2> /dev/null || continue
        wait "${running[$figure]}" || failed="$failed $figure"
        unset "running[$figure]"
    done
}

# A signal ends the whole run, with all figures under way; what there is goes into the report.
stop() {
    trap - HUP INT PIPE TERM
    [ ${#running[@]} = 0 ] || kill -s "$1" -- "${running[@]/#/-}" 2> /dev/null || true
    while [ ${#running[@]} -gt 0 ]; do await_one; done
    show_end || true
    rm -f "$RESULTS"/.output.*
    "$LSPO" report "$RESULTS" || true
    exit "$2"
}
trap 'stop HUP 129' HUP
trap 'stop INT 130' INT
trap 'stop TERM 141' PIPE
trap 'stop TERM 143' TERM

began=$SECONDS run_started=$(date -u +%Y-%m-%dT%H:%M:%SZ) before=1
mapfile -t plan < <(for figure in $(with_sources ${figures:-$all}); do
    echo "$(figure_stage "$figure") $figure"
done | sort -s -n -k 1,1)
for line in "${plan[@]}"; do
    read -r stage figure <<< "$line"
    most=$((stage == 2 || before == 2 ? 1 : jobs)) before=$stage
    while [ ${#running[@]} -ge $most ]; do await_one; done
    for source in $(figure_reads "$figure"); do
        while [ -n "${running[$source]:-}" ]; do await_one; done
    done
    if [ -z "$fresh" ] && figure_is_done "$figure" "$build"; then
        echo "$figure -" >&$shown
    else
        start "$figure" "$stage"
    fi
done
while [ ${#running[@]} -gt 0 ]; do await_one; done
show_end
can_train || failed="$failed trains.csv"

printf '\nPictures (each also as .svg), after %d s:\n' $((SECONDS - began))
for figure in ${figures:-$all}; do
    find "$RESULTS/$figure" -name '*.png' 2> /dev/null | sort | sed 's/^/  /'
done
"$LSPO" report "$RESULTS" || failed="$failed report.html"
[ -n "$figures" ] || print_report
if [ -n "$failed" ]; then
    printf '\nFAILED, see above:%s\n' "$failed" >&2
    exit 1
fi
