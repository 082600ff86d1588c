#!/usr/bin/env bash
# experiments/run.sh with figures of our own: which run beside each other, in which order they are shown, and what a
# failure or a signal does.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
tree=$folder/tree/experiments
mkdir -p "$tree" "$folder/tree/plots" "$folder/bin"
cp "$source_dir/experiments"/{run,lib}.sh "$tree/"
touch "$folder/tree/plots/style.gp"
printf '#!/bin/sh\necho gnuplot 5.4\n' > "$folder/bin/gnuplot"
chmod +x "$folder/bin/gnuplot"
export PATH=$folder/bin:$PATH LSPO=$program

# figure NAME [FIRST]: from standard input what it does between the lines `begin NAME` and `end NAME` of the log; FIRST
# before.
figure() {
    mkdir -p "$tree/$1"
    echo "# $1" > "$tree/$1/README.md"
    {
        printf '%s\n' '#!/usr/bin/env bash' '. "$(dirname "$0")/../lib.sh"' "results_open $1" \
            'log() { echo "$*" >> "$RESULTS/log"; }' \
            'until_logged() { until grep -qsx "$1" "$RESULTS/log"; do sleep 0.02; done; }' "${2:-}" "log begin $1"
        cat
        echo "log end $1"
    } > "$tree/$1/run.sh"
    chmod +x "$tree/$1/run.sh"
}
all() { sed -i -e '/^all="\$all/d' -e "s/^all=.*/all=\"$*\"/" -e '/print_report/d' "$tree/run.sh"; }
experiments() { RESULTS=$folder/$1 timeout 60 bash "$tree/run.sh" "${@:2}"; } # experiments RESULTS ARGS...
log() { xargs < "$folder/$1/log"; }
until_soon() { # until_soon CONDITION: a minute at most
    local turn
    for turn in $(seq 3000); do ! eval "$1" || return 0; sleep 0.02; done
    echo "never: $1" >&2
    exit 1
}
value() { sed -n "s/^$3 = //p" "$folder/$1/$2/run.ini"; } # value RESULTS FIGURE KEY

all timed reader first second later
echo 'measure_alone; echo 1 > "$out/rows.csv"' | sed 's/; /\n/' | figure timed
figure reader <<< 'cat "$RESULTS/timed/rows.csv"'
# Which can only end while the second one is at it.
figure first <<< 'echo one; until_logged "begin second"; echo two'
figure second 'until_logged "begin first"' <<< 'echo three; until_logged "end first"; exit 3'
echo 'measure_alone; sleep 0.1' | sed 's/; /\n/' | figure later

check "a failure is one of all" 1 "$(status_of experiments two -j 2)"
check "and is named" "FAILED, see above: second" "$(tail -n 1 "$folder/messages")"
check "figures that compare times come behind the others, alone, and before what reads them" \
    "begin first begin second end first begin timed end timed begin later end later begin reader end reader" \
    "$(log two)"
check "what is printed is whole, and in order" "== first one two == second three == timed == later == reader 1" \
    "$(sed -e '/^Pictures/,$d' -e '/^   ([0-9]* s)$/d' "$folder/stdout" | xargs)"
check "their status" "0 3 0 0 0" \
    "$(for name in first second timed later reader; do value two $name status; done | xargs)"
check "what they printed" "one two" "$(xargs < "$folder/two/first/output.txt")"
check "and nothing else is left" \
    ".build .locks .lspo-experiments figures first later log reader report.html second timed" \
    "$(ls -A "$folder/two" | xargs)"
figure second <<< 'echo three'
: > "$folder/two/log"
check "what held is kept" "0 begin second end second" "$(status_of experiments two -j2) $(log two)"
check "and is said so" "== first as it was: == second three" \
    "$(sed -e '/^== timed/,$d' -e '/^   ([0-9]* s)$/d' -e 's/was: .*/was:/' "$folder/stdout" | xargs)"

# One at a time, and what another one reads is made first, if it is not there.
figure first <<< 'echo one'
check "one at a time" "0 begin second end second begin first end first begin timed end timed begin reader end reader" \
    "$(status_of experiments one -j 1 second reader first) $(log one)"
check "what is there is not made again" "0 begin reader end reader" \
    "$(: > "$folder/one/log"; status_of experiments one --fresh reader) $(log one)"
for wrong in 0 two -1 ""; do
    check "-j '$wrong' is refused" 2 "$(status_of experiments one -j "$wrong" reader)"
done

# A figure that runs one that compares times would do so beside others.
figure hidden <<< 'bash "$experiments_dir/timed/run.sh"'
check "times are not measured in a figure beside others" 1 "$(status_of experiments one hidden)"
check "which is said" 1 "$(grep -c 'times are measured beside other figures' "$folder/stdout")"

# Figures that read each other's CSV, and one that names its own.
figure hidden <<< ': "$RESULTS/hidden/rows.csv"'
check "a figure may name its own CSV" 0 "$(status_of experiments one hidden)"
figure hidden <<< ': "$RESULTS/reader/rows.csv"'
figure reader <<< ': "$RESULTS/hidden/rows.csv"'
check "a circle is refused" 1 "$(status_of experiments one hidden)"
check "and said" 1 "$(grep -c 'these figures read CSV of each other' "$folder/messages")"
rm -r "$tree/hidden" "$tree/reader"

# A signal ends all that run, and what they began.
figure first <<< 'slow() { echo $BASHPID >> "$RESULTS/pids"; exec sleep 100; }; beside "$out/rows" slow; beside_all'
figure second <<< 'echo $$ >> "$RESULTS/pids"; until_logged never'
stopped() { # stopped SIGNAL: the status of the run, and of its figures, and what is left of them
    local runner status=0 pid
    rm -rf "$folder/signal"
    RESULTS=$folder/signal env --default-signal=INT bash "$tree/run.sh" -j 3 first second timed \
        > "$folder/stdout" 2>&1 &
    runner=$!
    until_soon '[ -f "$folder/signal/pids" ] && [ "$(wc -l < "$folder/signal/pids")" = 2 ]'
    kill -s "$1" $runner
    wait $runner || status=$?
    echo "$status $(value signal first status) $(value signal second status)"
    while read -r pid; do
        ! grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$pid/status" || echo "$pid is left"
    done < "$folder/signal/pids"
    [ ! -e "$folder/signal/timed" ] || echo "timed has begun"
}
check "Ctrl-C" "130 130 130" "$(stopped INT)"
check "another signal" "143 143 143" "$(stopped TERM)"
check "and the report says so" "first second" \
    "$(sed -n 's|^<section id="\(.*\)">.*|\1|p; s|.*interrupted</span>; exit status 143.*|stopped|p' \
        "$folder/signal/report.html" | grep -B 1 stopped | grep -v -e stopped -e -- | xargs)"

# Jobs of two figures share the cores: with one, the second waits for the first.
mkdir "$folder/cores"
job() { # job NAME FILE: a job that ends when there is the file
    RESULTS=$folder/cores bash -c '. "$0/lib.sh"; results_open "$1"; beside_cores=("${beside_cores[0]}")
        wait_for() { echo x > "$RESULTS/begun.$1"; until [ -e "$RESULTS/$2" ]; do sleep 0.02; done; }
        beside /dev/null wait_for "$@"; beside_all' "$tree" "$@"
}
job a end &
until_soon '[ -e "$folder/cores/begun.a" ]'
job b end &
sleep 0.3
check "jobs share a core only in turns" begun.a "$(cd "$folder/cores" && ls -d begun.*)"
touch "$folder/cores/end"
wait
check "and each has it" "begun.a begun.b" "$(cd "$folder/cores" && echo begun.*)"
finish test_figures
