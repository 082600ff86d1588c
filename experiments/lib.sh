# lib.sh - what the experiments share.  Sourced by each figure's run.sh, which is started by experiments/run.sh.
#
#   LSPO         the program (default: lspo on PATH)
#   RESULTS      folder of CSV and pictures (default: ./results)
#   PROFILE      machine profile measured in this session, by profile_measure
#   EXPERIMENTS  short or full
#
# A figure writes RESULTS/NAME/*.csv and RESULTS/NAME/NAME.{png,svg}.
set -euo pipefail

experiments_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
plots_dir=$(cd "$experiments_dir/../plots" && pwd)
LSPO=${LSPO:-lspo}
RESULTS=${RESULTS:-$PWD/results}
EXPERIMENTS=${EXPERIMENTS:-short}
PROFILE=${PROFILE:-$RESULTS/host.ini}
# Decimal points, whatever the locale.
export LC_ALL=C
export LSPO RESULTS EXPERIMENTS PROFILE

die() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# The figure's folder of results, emptied.
results_open() {
    out=$RESULTS/$1
    rm -rf "$out"
    mkdir -p "$out"
}

# An awk program over lib.awk: names its columns instead of counting them.
awk_csv() {
    local program=$1
    shift
    awk -f "$experiments_dir/lib.awk" -f "$program" "$@"
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

# lspo_field NAME sim|run|show ARGS...: one field of a one-row result.
lspo_field() {
    local name=$1 text
    shift
    text=$("$LSPO" "$@" --format csv) || die "failed: $LSPO $*"
    printf '%s\n' "$text" | awk_csv "$experiments_dir/field.awk" -v name="$name"
}

# The policies that this lspo has, native first.
policies() {
    "$LSPO" list policies --format csv | awk_csv "$experiments_dir/field.awk" -v name=name
}

# A grid file without its comments and empty lines.
grid_rows() {
    sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$1"
}

# Measure this machine once a session; every simulation of the host uses the outcome.
profile_measure() {
    [ -s "$PROFILE" ] && return
    mkdir -p "$(dirname "$PROFILE")"
    "$LSPO" calibrate --device host --quick -o "$PROFILE" >&2 || die "lspo calibrate failed"
}

# Two texts of the machine and a byte-level model trained on the first, once a session: $RESULTS/pretrained holds model/, a
# Hugging Face folder, and corpus.txt, C headers, on which figures fine-tune it.  The first text is the King James Bible.
pretrain_model() {
    local folder=$RESULTS/pretrained steps=250
    [ "$EXPERIMENTS" = full ] && steps=2000
    pretrained=$folder/model corpus=$folder/corpus.txt
    [ -s "$folder/$EXPERIMENTS" ] && return
    rm -rf "$folder"
    mkdir -p "$folder"
    find /usr/include -maxdepth 1 -name "*.h" | sort | xargs cat 2> /dev/null | head -c 1500000 > "$corpus" || true
    [ "$(wc -c < "$corpus")" -gt 300000 ] || die "too few C headers in /usr/include to fine-tune on"
    "$LSPO" train --model gpt-tiny --policy native --steps $steps --warmup-steps 20 --batch 4 --sequence 128 \
        --learning-rate 0.002 --export "$pretrained" --format csv > "$folder/run.csv" 2> /dev/null || die "pretraining failed"
    cp "$folder/run.csv" "$folder/$EXPERIMENTS"
}

# plot SCRIPT OUT [VARIABLE=TEXT...]: OUT.png and OUT.svg by plots/SCRIPT.gp, which finds its CSV in the folder `data`.
plot() {
    local script=$1 target=$2 format settings
    shift 2
    settings="plots='$plots_dir'; data='$(dirname "$target")'"
    local pair
    for pair in "$@"; do settings+="; ${pair%%=*}='${pair#*=}'"; done
    for format in png svg; do
        gnuplot -e "format='$format'; target='$target.$format'; $settings" "$plots_dir/$script.gp" ||
            die "gnuplot failed on $plots_dir/$script.gp"
        [ -s "$target.$format" ] || die "$plots_dir/$script.gp drew nothing"
    done
}

# One value of a machine's profile in base units: machine_value paper-workstation gpu.memory_bytes
machine_value() {
    "$LSPO" show machine "$1" --format csv | awk_csv "$experiments_dir/lookup.awk" -v key="$2"
}

# CPU seconds so far, in cpu_s: of the whole machine, time stolen by its host included, less those of our own children.
foreign_cpu() {
    local user nice system irq softirq steal
    read -r _ user nice system _ _ irq softirq steal _ < /proc/stat
    times > "$out/times"
    cpu_s=$(awk -v busy=$((user + nice + system + irq + softirq + steal)) -v ticks="$(getconf CLK_TCK)" '
        function seconds(text,    parts) { split(text, parts, /[ms]/); return 60 * parts[1] + parts[2] }
        { own += seconds($1) + seconds($2) }
        END { printf "%.3f", busy / ticks - own }' "$out/times")
    rm -f "$out/times"
}

# Repeats that measure_row may still make in this figure, and half seconds that it may still wait for others to finish.
repeats_left=20
patience_left=120

await_calm() {
    local before
    while [ $patience_left -gt 0 ]; do
        patience_left=$((patience_left - 1))
        foreign_cpu
        before=$cpu_s
        sleep 0.5
        foreign_cpu
        if awk -v cpu="$cpu_s" -v before="$before" 'BEGIN { exit !(cpu - before < 0.05) }'; then return; fi
    done
}

# measure_row FILE COLUMNS VALUES ARGS...: append one measured cell, with the column foreign_share: CPU time that others took
# meanwhile, over elapsed time.  When that or the spread of the cell's own samples is wide it is measured again, at
# most twice, and the calmest counts.  The rule never sees a prediction.
measure_row() {
    local file=$1 columns=$2 values=$3 tries=$out/tries.csv begun share before
    shift 3
    rm -f "$tries"
    while true; do
        foreign_cpu
        before=$cpu_s begun=$EPOCHREALTIME
        lspo_row "$out/try.csv" "$columns" "$values" run --device host "$@"
        local ended=$EPOCHREALTIME
        foreign_cpu
        share=$(awk -v cpu="$cpu_s" -v before="$before" -v from="$begun" -v to="$ended" \
            'BEGIN { share = (cpu - before) / (to - from); printf "%.3f", (share > 0 ? share : 0) }')
        [ -s "$tries" ] || sed -n '1s/^/foreign_share,/p' "$out/try.csv" > "$tries"
        sed -n "2s/^/$share,/p" "$out/try.csv" >> "$tries"
        rm "$out/try.csv"
        if awk_csv "$experiments_dir/calmest.awk" -v limit=0.06 "$tries" > /dev/null; then break; fi
        [ $repeats_left -gt 0 ] && [ "$(wc -l < "$tries")" -lt 4 ] || break
        repeats_left=$((repeats_left - 1))
        await_calm
    done
    [ -s "$file" ] || head -n 1 "$tries" > "$file"
    awk_csv "$experiments_dir/calmest.awk" -v limit=1e9 "$tries" >> "$file" || true
    rm "$tries"
}
