# lib.sh - code shared by the experiments.  Each figure's run.sh, which experiments/run.sh starts, sources it.
#
#   LSPO         the program (default: lspo on PATH)
#   RESULTS      folder of CSV and pictures (default: ./results)
#   PROFILE      machine profile measured in this session, by profile_measure
#   EXPERIMENTS  short or full
#
# A figure writes RESULTS/NAME/*.csv and RESULTS/NAME/NAME.{png,svg}.  Figures empty their folders before they write, so
# RESULTS must be a folder of the experiments' own: new, empty, or marked as theirs by an earlier run.
set -euo pipefail

experiments_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
plots_dir=$(cd "$experiments_dir/../plots" && pwd)
LSPO=${LSPO:-lspo}
case $LSPO in */*) LSPO=$(realpath "$LSPO") ;; esac
RESULTS=${RESULTS:-results}
case $RESULTS in /*) ;; *) RESULTS=$PWD/$RESULTS ;; esac
EXPERIMENTS=${EXPERIMENTS:-short}
PROFILE=${PROFILE:-$RESULTS/host.ini}
case $PROFILE in /*) ;; *) PROFILE=$PWD/$PROFILE ;; esac
# Decimal points, whatever the locale.
export LC_ALL=C
export LSPO RESULTS EXPERIMENTS PROFILE

die() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# Create RESULTS and mark it as ours.  A folder with other contents is refused, because figures delete their folders.
results_claim() {
    local marker=$RESULTS/.lspo-experiments
    [ ! -f "$marker" ] || { mkdir -p "$RESULTS/.locks"; return; }
    if [ -e "$RESULTS" ] || [ -L "$RESULTS" ]; then
        [ -d "$RESULTS" ] || die "RESULTS=$RESULTS is not a folder"
        [ -z "$(ls -A "$RESULTS")" ] ||
            die "RESULTS=$RESULTS holds files that the experiments did not make, and they would \
delete some of them; name a new or empty folder"
    fi
    mkdir -p "$RESULTS/.locks" || die "cannot make the folder RESULTS=$RESULTS"
    echo "Made by lspo's experiments, which may delete anything in this folder." > "$marker" ||
        die "cannot write $marker"
}

# The figure's folder of results, emptied.
results_open() {
    results_claim
    out=$RESULTS/$1
    rm -rf "$out"
    mkdir -p "$out"
}

# This machine in one line.
machine_line() {
    local model
    model=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo 2> /dev/null | head -1)
    echo "${model:-$(uname -m)}, $(nproc) processors," \
        "$(awk '/^MemTotal/ { printf "%.1f GiB", $2 / 2 ^ 20 }' /proc/meminfo), $(uname -sr)"
}

# inputs_hash FILE...: one hash of the contents of these files and folders.
inputs_hash() {
    find -H "$@" -type f | sort | xargs -d '\n' sha256sum | sha256sum | cut -d' ' -f1
}

# figure_inputs FIGURE BUILD: the hash of all that its results depend on, but this machine.  Its folder, and those of
# others that its run.sh mentions; so do CSV of other figures, named as $RESULTS/FIGURE/NAME.csv.
figure_inputs() {
    local base path inputs=() name='[A-Za-z0-9_-]'
    while IFS=/ read -r base path; do
        path=${!base}/$path
        [ ! -e "$path" ] || inputs+=("$path")
    done < <({ echo "experiments_dir/$1" && grep -oE "experiments_dir/$name*|RESULTS/$name+/$name+\.csv" \
        "$experiments_dir/$1/run.sh"; } | sort -u)
    echo "$2 $EXPERIMENTS $(inputs_hash "${inputs[@]}") $(inputs_hash "$experiments_dir"/*.sh)" \
        "$(inputs_hash "$plots_dir")" | sha256sum | cut -d' ' -f1
}

# figure_is_done FIGURE BUILD: did it hold, with these inputs?
figure_is_done() {
    local record=$RESULTS/$1/run.ini
    [ -f "$record" ] && grep -qx 'status = 0' "$record" && grep -qx "inputs = $(figure_inputs "$1" "$2")" "$record"
}

# figure_reads FIGURE: the other figures of which its run.sh reads CSV, named as $RESULTS/FIGURE/NAME.csv.
figure_reads() {
    local name='[A-Za-z0-9_-]' source
    for source in $(grep -oE "RESULTS/$name+/$name+\.csv" "$experiments_dir/$1/run.sh" | cut -d/ -f2 | sort -u); do
        [ "$source" = "$1" ] || [ ! -x "$experiments_dir/$source/run.sh" ] || echo "$source"
    done
}

# measure_alone: on a line of its own in the run.sh of a figure that compares times.  experiments/run.sh looks for it,
# and runs no other figure meanwhile.
measure_alone() {
    [ -z "${BESIDE_OTHERS:-}" ] ||
        die "times are measured beside other figures; its run.sh lacks the line measure_alone"
}

# figure_stage FIGURE: 1: nothing depends on how fast this machine is; 2: it has the machine for itself; 3: it reads
# what one of those wrote.
figure_stage() {
    local source
    ! grep -qx measure_alone "$experiments_dir/$1/run.sh" || { echo 2; return; }
    for source in $(figure_reads "$1"); do [ "$(figure_stage "$source")" = 1 ] || { echo 3; return; }; done
    echo 1
}

# figure_run FIGURE BUILD RUN: its run.sh, with what it prints in $RESULTS/.output.FIGURE, and then its record for
# `lspo report` (report/figure.h), because the figure empties its folder.  RUN is when the run of all began.  A signal
# ends the figure, and is its status.
figure_run() {
    local folder=$RESULTS/$1 output=$RESULTS/.output.$1 began=$SECONDS started status=0 signal=
    started=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    trap 'signal=129' HUP
    trap 'signal=130' INT
    trap 'signal=143' TERM
    "$experiments_dir/$1/run.sh" > "$output" 2>&1 < /dev/null || status=$?
    status=${signal:-$status}
    mkdir -p "$folder"
    cp "$experiments_dir/$1/README.md" "$folder/"
    cp "$output" "$folder/output.txt"
    cat > "$folder/run.ini" << RECORD
[run]
command = experiments/run.sh$([ "$EXPERIMENTS" != full ] || echo " --full") $1
run = $3
started = $started
lspo = $("$LSPO" version | sed 's/^lspo //')
gnuplot = $(gnuplot --version | sed 's/^gnuplot //')
machine = $(machine_line)
seconds = $((SECONDS - began))
status = $status
inputs = $(figure_inputs "$1" "$2")
RECORD
    echo "   ($((SECONDS - began)) s)" >> "$output"
    return "$status"
}

# fastest_that_fits FILE: a row of trains.csv, from what lspo choose says of a model, the fastest first.
fastest_that_fits() {
    query "$1" "WITH fit AS (SELECT * FROM rows WHERE fits = 'true' LIMIT 1)
        SELECT printf('%s,%d of %d,', min(rows.model), sum(rows.fits = 'true'), count(*)) ||
            coalesce(fit.policy || printf(iif(fit.tokens_per_s < 100, ',%.3g,', ',%.0f,'), fit.tokens_per_s) ||
                fit.limited_by, 'none fits,,') FROM rows LEFT JOIN fit"
}

# Every preset that lspo can train, on this machine as figures measured it: trains.csv.
can_train() {
    [ -s "$PROFILE" ] || return 0
    {
        echo "model,policies_that_fit,fastest,tokens_per_s,limited_by"
        "$LSPO" list models --format csv | query - "SELECT name FROM rows WHERE trains = 'true'" |
            while read -r model; do
                "$LSPO" choose --model "$model" --machine "$PROFILE" --format csv | fastest_that_fits - || exit
            done
    } > "$RESULTS/trains.csv"
}

# query FILE SQL [OPTION...]: what lspo sql prints; the CSV file, -: standard input, is the table `rows`.
query() {
    "$LSPO" sql -e "$2" rows="${1/#-//dev/stdin}" "${@:3}"
}

# lspo_row FILE COLUMNS VALUES sim|run ARGS...: run one cell and append its result to a CSV, after columns of our own
# (COLUMNS and VALUES are comma-separated).
lspo_row() {
    local file=$1 columns=$2 values=$3 text
    shift 3
    text=$("$LSPO" "$@" --format csv) || die "failed: $LSPO $*"
    [ -s "$file" ] || printf '%s,%s\n' "$columns" "${text%%$'\n'*}" > "$file"
    printf '%s,%s\n' "$values" "${text#*$'\n'}" >> "$file"
}

# beside FILE COMMAND ARGS...: append what it prints to FILE, and do not wait for it: for trainings whose times do not
# matter.  As many run at a time as there are cores, those of other figures included, each on its own; the order in FILE
# is that of the calls.  COMMAND may be a function; files that it makes have $BASHPID in their names.  beside_all waits
# for all, and comes before anything that reads FILE.
mapfile -t beside_cores < <(taskset -cp $$ | sed 's/.*: //' | tr ',' '\n' |
    awk -F- '{ for (i = $1; i <= $NF; i++) print i }')
beside_pids=() beside_files=() beside_first=0 beside_count=0
beside() {
    local file=$1 turn=$((beside_count % ${#beside_cores[@]}))
    shift
    [ $((beside_count - beside_first)) -lt ${#beside_cores[@]} ] || beside_next
    set -m # a process group of its own, so that all of it can be ended
    (
        set +m
        take_core "${beside_cores[@]:turn}" "${beside_cores[@]:0:turn}"
        export OPENBLAS_NUM_THREADS=1
        "$@"
    ) > "$RESULTS/.beside.$$.$beside_count" &
    set +m
    beside_pids+=($!) beside_files+=("$file")
    beside_count=$((beside_count + 1))
}
# take_core CORE...: one of them that is free, else the first, when it is free; no other job has it until this one ends.
take_core() {
    local core
    for core in "$@"; do
        exec 8> "$RESULTS/.locks/core$core"
        ! flock -n 8 || break
        core=
    done
    if [ -z "$core" ]; then
        core=$1
        exec 8> "$RESULTS/.locks/core$core"
        flock 8
    fi
    taskset -cp "$core" $BASHPID > /dev/null
}
beside_next() {
    wait "${beside_pids[0]}" || die "one of several runs failed"
    cat "$RESULTS/.beside.$$.$beside_first" >> "${beside_files[0]}"
    rm "$RESULTS/.beside.$$.$beside_first"
    beside_first=$((beside_first + 1)) beside_pids=("${beside_pids[@]:1}") beside_files=("${beside_files[@]:1}")
}
beside_all() {
    while [ $beside_first -lt $beside_count ]; do beside_next; done
}
# What still runs when the figure ends, after a failure or a signal, ends with it: also a job that beside has begun, but
# not yet counted.
beside_end() {
    local groups
    mapfile -t groups < <(jobs -p)
    if [ ${#groups[@]} -gt 0 ]; then
        kill -- "${groups[@]/#/-}" 2> /dev/null || true
        wait "${groups[@]}" 2> /dev/null || true
    fi
    rm -f "$RESULTS/.beside.$$".*
}
trap 'status=$?; beside_end; [ $status != 0 ] || exit $judged' EXIT

# train_equally FILE TASK STEPS METHODS MODEL FLAGS...: one row of FILE per method and seed of $seeds: how MODEL ends
# that is trained with FLAGS.  METHODS has method, policy, learning rate, its flags, and after a | those of the model
# and machine in ${large[@]}: there each method takes the same simulated time as STEPS of the policy zero.  Losses do
# not depend on times measured here.
train_equally() {
    local file=$1 task=$2 steps=$3 methods=$4 zero_s method policy rate flags own theirs count seed
    shift 4
    zero_s=$(lspo_field iteration_s sim "${large[@]}" --policy zero)
    [ -s "$file" ] || echo task,method,seed,steps,held_out_before,held_out_after,accuracy,f1,pearson > "$file"
    while read -r method policy rate flags; do
        own=${flags%|*} theirs=${flags#*|}
        # shellcheck disable=SC2086 # flags
        count=$(lspo_field "cast(round($steps * $zero_s / iteration_s) AS INTEGER)" sim "${large[@]}" \
            --policy "$policy" $theirs)
        for seed in $seeds; do
            # shellcheck disable=SC2086 # flags
            beside "$file" train_one "$task,$method,$seed" --policy "$policy" --learning-rate "$rate" --seed "$seed" \
                --steps "$count" --warmup-steps $((count / 10)) --model "$@" $own
        done
    done < <(grid_rows "$methods")
}
train_one() {
    local key=$1 run=$RESULTS/.beside.$$.run.$BASHPID
    shift
    "$LSPO" train --format csv "$@" > "$run" 2> "$run.err" || { cat "$run.err" >&2; die "the training of $key failed"; }
    query "$run" "SELECT printf('%s,%d,%.6g,%.6g', given('key'), steps, held_out_before, held_out_after) || ',' ||
        iif(accuracy_after IS NULL, '', printf('%.6g', accuracy_after)) || ',' ||
        iif(f1_after IS NULL, '', printf('%.6g', f1_after)) || ',' ||
        iif(pearson_after IS NULL, '', printf('%.6g', pearson_after)) FROM rows" --given key="$key"
    rm "$run" "$run.err"
}

# judge FIGURE [SOURCE...] [--given NAME=VALUE...]: the claims.sql of its folder, with the CSV in $out and the sources
# as tables.  If a claim fails, so does the figure in the end, behind its pictures.
judge() {
    judge_by "$1/claims.sql" "$out" "${@:2}"
}
# judge_by FIGURE/FILE FOLDER [SOURCE...] [--given NAME=VALUE...]: the same by another file of claims, with the CSV in
# FOLDER.  A line of $out/judged.txt has all that, separated by tabs, so that others can judge again: paths begin with
# experiments/ or results/.
judged=0 judgements=0
judge_by() {
    local claims=$experiments_dir/$1 status=0 line
    [ $judgements -gt 0 ] || : > "$out/judged.txt"
    judgements=$((judgements + 1))
    line=$(printf '\t%s' "$claims" "${@:2}")
    line=${line//"$experiments_dir/"/experiments/} line=${line//"$RESULTS/"/results/}
    echo "${line#$'\t'}" >> "$out/judged.txt"
    "$LSPO" sql "$claims" "${@:2}" -o "$2" || status=$?
    [ $status -le 1 ] || die "failed: $LSPO sql $claims ${*:2}"
    judged=$((judged | status))
}

# sweep FIGURE FILE [GRID [OPTION...]]: all cells of the figure's grid, or of GRID in its folder, as CSV; the full form
# takes GRID-full where there is one.  Files in a grid are those of its folder.
sweep() {
    local folder=$experiments_dir/$1 grid=$experiments_dir/$1/${3:-grid} file=$2 error
    shift $(($# < 3 ? $# : 3))
    [ "$EXPERIMENTS" != full ] || [ ! -f "$grid-full" ] || grid=$grid-full
    (cd "$folder" && "$LSPO" sweep "$grid" -o "$file" "$@") > /dev/null || die "failed: $LSPO sweep $grid $*"
    error=$(query "$file" "SELECT error FROM rows WHERE error IS NOT NULL LIMIT 1")
    [ -z "$error" ] || die "$grid: $error"
}

# Labels of the models, machines and batches of a sweep, as variables of plot: tick_1=model|machine|batch N, and
# title_1=model on machine, batch N
sweep_ticks() {
    query "$1" "SELECT printf('tick_%d=%s|%s|batch %d', row_number() OVER (ORDER BY min(rowid)), model,
        replace(machine, 'paper-', 'the '), batch) FROM rows GROUP BY model, machine, batch"
}
sweep_titles() {
    query "$1" "SELECT printf('title_%d=%s on %s, batch %d', row_number() OVER (ORDER BY min(rowid)), model, machine,
        batch) FROM rows GROUP BY model, machine, batch"
}

# lspo_field NAME sim|run|show ARGS...: one field of a one-row result.
lspo_field() {
    local name=$1 text
    shift
    text=$("$LSPO" "$@" --format csv) || die "failed: $LSPO $*"
    query - "SELECT $name FROM rows" <<< "$text"
}

# The policies of trainings that this lspo has, native first.
policies() {
    "$LSPO" list policies --format csv | query - "SELECT name FROM rows WHERE task = 'train'"
}

# own_flags POLICY --NAME VALUE...: those of these flags that the policy has, one word per line.
own_flags() {
    local policy=$1 own
    shift
    own=$("$LSPO" show policy "$policy" --format csv) || return
    [[ $own == *$'\n'* ]] || return 0 # it has none
    own=$(query - "SELECT option FROM rows" <<< "$own") || return
    while [ $# -gt 1 ]; do
        ! grep -qx -- "${1#--}" <<< "$own" || printf '%s\n' "$1" "$2"
        shift 2
    done
}

# largest_rank BYTES COMMAND ARGS...: the largest rank up to 64 for which COMMAND ARGS RANK prints at most BYTES.
largest_rank() {
    local most=$1 low=1 high=64 middle bytes
    shift
    while [ $low -lt $high ]; do
        middle=$(((low + high + 1) / 2))
        bytes=$("$@" $middle) || return
        if [ "$bytes" -le "$most" ]; then low=$middle; else high=$((middle - 1)); fi
    done
    echo $low
}

# rates_of FILE LINK CPU: link and optimizer rates at which the gradients of the cell in FILE take these shares of its
# GPU time.
rates_of() {
    query "$1" "SELECT printf('%.0f %.0f', max(d2h_bytes, h2d_bytes) / ($2 * gpu_busy_s),
        d2h_bytes / 4 / ($3 * gpu_busy_s)) FROM rows"
}

# A rate for a title: rate 123456789 B/s is 123 MB/s.
rate() {
    awk -v value="$1" -v unit="$2" 'BEGIN {
        split("k M G T", prefix, " ")
        while (value >= 1000 && k < 4) { value /= 1000; k++ }
        printf "%.3g %s%s", value, prefix[k], unit
    }'
}

# A file of words without its comments and empty lines.
grid_rows() {
    sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$1"
}

# Measure this machine once per session; all simulations of the host use the result.
profile_measure() {
    [ -s "$PROFILE" ] && return
    measure_alone
    mkdir -p "$(dirname "$PROFILE")"
    local quick=--quick
    [ "$EXPERIMENTS" != full ] || quick=
    "$LSPO" calibrate --device host $quick -o "$PROFILE" > "$PROFILE.report.csv" || die "lspo calibrate failed"
}

# Two texts of the machine and a byte-level model trained on the first one, the King James Bible; once per session.
# $RESULTS/pretrained contains model/, a Hugging Face folder, and corpus.txt, C headers, on which figures fine-tune it:
# on Debian those of its C library, which are the same on all machines.
pretrain_model() {
    pretrained=$RESULTS/pretrained/model corpus=$RESULTS/pretrained/corpus.txt
    (flock 8 && pretrain_once "$RESULTS/pretrained") 8> "$RESULTS/.locks/pretrained" # another figure may be at it
}
pretrain_once() {
    local folder=$1 steps=250
    [ "$EXPERIMENTS" = full ] && steps=2000
    [ -s "$folder/$EXPERIMENTS" ] && return
    rm -rf "$folder"
    mkdir -p "$folder"
    { dpkg -L libc6-dev 2> /dev/null || find /usr/include -maxdepth 1; } | grep '\.h$' | sort | xargs cat 2> /dev/null |
        head -c 1500000 > "$corpus" || true
    [ "$(wc -c < "$corpus")" -gt 300000 ] || die "too few C headers in /usr/include to fine-tune on"
    "$LSPO" train --model gpt-tiny --policy native --steps $steps --warmup-steps 20 --batch 4 --sequence 128 \
        --learning-rate 0.002 --export "$pretrained" --format csv > "$folder/run.csv" 2> /dev/null ||
        die "pretraining failed"
    cp "$folder/run.csv" "$folder/$EXPERIMENTS"
}

# report.pdf: report.html as Chromium prints it, where there is one.
print_report() {
    local chromium profile root=
    rm -f "$RESULTS/report.pdf"
    chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || return 0
    [ "$(id -u)" != 0 ] || root=--no-sandbox # which it lacks for root
    profile=$(mktemp -d)
    timeout 120 "$chromium" --headless $root --disable-gpu --user-data-dir="$profile" --no-pdf-header-footer \
        --print-to-pdf="$profile/report.pdf" "file://$RESULTS/report.html" 2> "$profile/messages" &&
        mv "$profile/report.pdf" "$RESULTS/report.pdf" || tail -n 1 "$profile/messages" >&2
    rm -rf "$profile"
}

# A text as a gnuplot string: within single quotes nothing but the quote itself is special.
gnuplot_text() {
    printf "'%s'" "${1//\'/\'\'}"
}

# plot SCRIPT OUT [VARIABLE=TEXT...]: OUT.png and OUT.svg by plots/SCRIPT.gp.  It runs in the folder of OUT, so that its
# CSV are in the folder `data`, which is "." whatever the results folder is called.
plot() {
    local script=$1 folder name format settings pair
    folder=$(dirname "$2") name=$(basename "$2")
    shift 2
    settings="plots=$(gnuplot_text "$plots_dir"); data='.'"
    for pair in "$@"; do settings+="; ${pair%%=*}=$(gnuplot_text "${pair#*=}")"; done
    for format in png svg; do
        (cd "$folder" &&
            gnuplot -e "format='$format'; mouse=1; target=$(gnuplot_text "$name.$format"); $settings" \
                "$plots_dir/$script.gp") ||
            die "gnuplot failed on $plots_dir/$script.gp"
        [ -s "$folder/$name.$format" ] || die "$plots_dir/$script.gp drew nothing"
    done
}
