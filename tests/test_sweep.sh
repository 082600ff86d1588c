#!/usr/bin/env bash
# lspo sweep from end to end: rows are those of lspo sim, files are the same for any number of threads, interruptions
# and shards, and what is wrong is said with file and line.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$folder"

# column FILE NAME: its values, a line each
column() { awk -f "$source_dir/bundle/lib.awk" -f "$source_dir/bundle/field.awk" -v name="$2" "$1"; }

cat > grid.ini <<'GRID'
; two models, each on its machine
[all]
model    = gpt2-124m          gpt-tiny
machine  = paper-workstation  paper-laptop
batch    = 2                  4
zip      = model machine batch
[every policy]
policy   = all
link     = log2(1GB/s, 16GB/s)
[own columns]
policy   = lsp:64:8 lora zenflow
column.note = "a, b" c
model.blocks = linear(2, 6, 2)
link.h2d_Bps = x2 20GB/s
where    = link.h2d_Bps > 1GB/s and policy != lora and model.blocks * batch <= 16
[generation]
policy   = resident offload-weights kvpr:0.5
sequence = 64
iterations = 4 8
[wrong]
policy   = lsp
subspace = 64 1000000
GRID

"$program" sweep grid.ini -o rows.csv -j 1 > said 2> messages
check "what it says" "rows.csv: $(($(wc -l < rows.csv) - 1)) rows" "$(cat said)"
check "the warning" "lspo: warning: cells with an error: 2; see the column error" "$(cat messages)"
check "the journal is gone" "" "$(ls rows.csv.part 2> /dev/null || true)"
policies=$("$program" list policies --format csv | grep -c "^[^,]*,train,")
check "rows of a group" $((2 * policies * 5)) "$(column rows.csv group | grep -c 'every policy')"
# 2 of 3 policies, 2 notes, 2 links; batch 2: all of 3 depths; batch 4: 2 and 4 blocks.
check "rows that a constraint leaves" $((2 * 2 * 2 * 3 + 2 * 2 * 2 * 2)) \
    "$(column rows.csv group | grep -c 'own columns')"
check "cells in order" "" "$(column rows.csv cell | sort -nc 2>&1)"
check "keys are distinct, but for equal cells with other notes" 0 \
    "$(column rows.csv key | grep -v '^$' | sort | uniq -c | awk '$1 > 2' | wc -l)"
check "own columns" "a, b c" "$(column rows.csv note | grep . | sort -u | xargs)"
check "the errors" 2 "$(column rows.csv error | grep -c 'subspace')"

# Every number of every tenth row is that of lspo sim with the row's flags.
cat > compare.awk <<'AWK'
FNR == 1 { file++; columns = csv_split($0, names); csv_header($0); next }
{ csv_row($0) }
file == 1 { for (i = 1; i <= columns; i++) expected[names[i]] = csv_fields[i] }
file == 2 && get("cell") == cell {
    for (i = 1; i <= columns; i++)
        if (names[i] in expected && csv_fields[i] != expected[names[i]])
            printf "%s: %s %s instead of %s\n", cell, names[i], csv_fields[i], expected[names[i]]
    compared++
}
END { if (!compared) print "cell " cell " is missing" }
AWK
compare() { # compare CELL FLAGS FILE
    eval "\"\$program\" sim $2 --format csv" > sim.csv
    awk -f "$source_dir/bundle/lib.awk" -v cell="$1" -f compare.awk sim.csv "$3"
}
paste -d ' ' <(column rows.csv cell) <(column rows.csv flags) | awk 'NR % 10 == 1 || /kvpr/' > some
while read -r cell flags; do
    check "cell $cell is what sim says" "" "$(compare "$cell" "$flags" rows.csv)"
done < some
check "explained by its number" "lspo sim $(sed -n '2s/^[0-9]* //p' some)" \
    "$("$program" sweep grid.ini --explain "$(sed -n '2s/ .*//p' some)")"
key=$(column rows.csv key | sed -n 11p)
check "explained by its key" "lspo sim $(sed -n '2s/^[0-9]* //p' some)" "$("$program" sweep grid.ini --explain "$key")"
# As docs/sweep.md has it.
sed 's/^GRID$//' grid.ini > bandwidth.ini
cp rows.csv bandwidth.csv
lspo() { "$program" "$@"; }
sed -n 's/^    \(.*--explain.*\|key=.*\)/\1/p' "$source_dir/docs/sweep.md" | sed 's/   *#.*//' > commands
check "commands of docs/sweep.md" 3 "$(wc -l < commands)"
check "a cell, and the key of the seventh row" "0 2" \
    "$(. ./commands > explained; echo $? $(grep -c '^lspo sim ' explained))"
check "the seventh row" "lspo sim $(column rows.csv flags | sed -n 7p)" "$(tail -n 1 explained)"
check "no such key" 2 "$(status_of "$program" sweep grid.ini --explain 0123456789abcdef)"

# Only times, and times with peaks: the same numbers, from shorter plays.
for columns in cell,iteration_s,slowdown,error cell,iteration_s,peak_gpu_bytes,fits,native_fits,error; do
    "$program" sweep grid.ini -o few.csv --columns $columns > /dev/null 2>&1
    for name in ${columns//,/ }; do
        check "$name of --columns $columns" "$(column rows.csv "$name" | md5sum)" "$(column few.csv "$name" | md5sum)"
    done
done
check "no such column" 2 "$(status_of "$program" sweep grid.ini -o x.csv --columns cell,slowdwn)"
check "nearest column" 1 "$(grep -c "slowdown" messages)"

# Cells that share native's time, which depends on neither of these.
printf '%s\n' '[all]' 'model = gpt-tiny' 'machine = rtx4090' '[cells]' 'policy = zero native' \
    'swap-activations = 0 2' 'iterations = 8 12' > swap.ini
"$program" sweep swap.ini -o swap.csv > /dev/null 2>&1
check "native is simulated once" 1 "$(column swap.csv native_iteration_s | sort -u | grep -c .)"
while read -r cell flags; do
    check "cell $cell, swapping or not, is what sim says" "" "$(compare "$cell" "$flags" swap.csv)"
done < <(paste -d ' ' <(column swap.csv cell) <(column swap.csv flags))

# The same file for any number of processes and shards; compressed and as JSON, the same rows.
"$program" sweep grid.ini -o two.csv -j 2 > /dev/null 2>&1
check "two threads" "" "$(cmp rows.csv two.csv 2>&1)"
for shard in 1 2 3; do "$program" sweep grid.ini -o parts.csv --shard $shard/3 > /dev/null 2>&1; done
"$program" sweep merge -o parts.csv > said 2> messages
check "three shards" "" "$(cmp rows.csv parts.csv 2>&1)"
check "errors of all shards" "lspo: warning: cells with an error: 2; see the column error" "$(cat messages)"
for option in '-j 2' --resume --run '--device host' '--machine rtx4090' '--columns cell' '--format csv' '--shard 1/3' \
    '--explain 0'; do
    check "merge with $option" "2 1" "$(status_of "$program" sweep merge -o parts.csv $option) $(
        grep -c 'takes no --.*, only -o' messages)"
done
cp parts.csv.shard-2-of-3 whole-shard
for cut in 'head -c -5' 'head -n 2' 'head -n -1' 'sed 2d'; do
    $cut whole-shard > parts.csv.shard-2-of-3
    check "a shard after $cut" "2 1" "$(status_of "$program" sweep merge -o parts.csv) $(
        grep -c 'parts.csv.shard-2-of-3 is not whole' messages)"
done
cp whole-shard parts.csv.shard-2-of-3
"$program" sweep grid.ini -o parts.csv --shard 1/2 > /dev/null 2>&1
check "shards of 2 and of 3" "2 1" "$(status_of "$program" sweep merge -o parts.csv) $(
    grep -c 'parts.csv.shard-1-of-2 and parts.csv.shard-1-of-3' messages)"
rm parts.csv.shard-1-of-2 parts.csv.shard-2-of-3
check "a missing shard" 2 "$(status_of "$program" sweep merge -o parts.csv)"
check "which one" 1 "$(grep -c 'parts.csv.shard-2-of-3 is missing' messages)"
for task in 4 6; do
    SLURM_ARRAY_TASK_ID=$task SLURM_ARRAY_TASK_COUNT=2 SLURM_ARRAY_TASK_MIN=4 SLURM_ARRAY_TASK_STEP=2 \
        "$program" sweep grid.ini -o slurm.csv > /dev/null 2>&1
done
"$program" sweep merge -o slurm.csv > /dev/null
check "an array of Slurm" "" "$(cmp rows.csv slurm.csv 2>&1)"
gaps() { # gaps ID MIN MAX COUNT [OPTION...]: a task of an array with gaps
    SLURM_ARRAY_TASK_ID=$1 SLURM_ARRAY_TASK_COUNT=$4 SLURM_ARRAY_TASK_MIN=$2 SLURM_ARRAY_TASK_MAX=$3 \
        status_of "$program" sweep grid.ini -o gaps.csv "${@:5}"
}
for task in 3 7; do
    check "task $task of 3,7" "2 1" "$(gaps $task 3 7 2) $(grep -c 'give --shard I/N' messages)"
done
check "without a file" "" "$(ls gaps.csv* 2> /dev/null || true)"
check "told its shard" "0 gaps.csv.shard-3-of-16" "$(gaps 3 3 7 2 --shard 3/16) $(ls gaps.csv*)"
"$program" sweep grid.ini -o rows.csv.gz > /dev/null 2>&1
check "compressed" "" "$(gzip -dc rows.csv.gz | cmp rows.csv - 2>&1)"
"$program" sweep grid.ini -o rows.jsonl --columns cell,note,slowdown,fits,error > /dev/null 2>&1
check "a line per cell" "$(($(wc -l < rows.csv) - 1))" "$(wc -l < rows.jsonl)"
check "an object" '{"cell":0,"note":null,"slowdown":1.0,"fits":true,"error":null}' "$(head -n 1 rows.jsonl)"

check "a database of objects" "2 1" "$(status_of "$program" sweep grid.ini -o x.db --format jsonl) $(
    grep -c 'x.db is a database' messages)"

# Errors are those of all rows, also of a session before; of objects and of any order of the columns.
for form in 'o.csv --columns error,cell' 'o.jsonl' 'o.csv --columns note,flags,error,cell'; do
    "$program" sweep grid.ini -o $form --shard 1/1 > /dev/null 2> messages
    check "errors of $form" 1 "$(grep -c 'cells with an error: 2; see' messages)"
done
"$program" sweep grid.ini -o before.csv --shard 2/2 > /dev/null 2> messages
mv before.csv.shard-2-of-2 before.csv.shard-2-of-2.part
"$program" sweep grid.ini -o before.csv --shard 2/2 --resume > /dev/null 2> messages
check "errors of a session before" "1 2" "$(sed -n 's/.*an error: \([0-9]*\);.*/1 \1/p' messages)"
"$program" sweep grid.ini -o before.csv --shard 1/2 --columns cell > /dev/null 2>&1
rm before.csv.shard-2-of-2
"$program" sweep grid.ini -o before.csv --shard 2/2 --columns cell > /dev/null 2>&1
"$program" sweep merge -o before.csv > /dev/null 2> messages
check "errors of shards without their column" 1 \
    "$(grep -c 'cells with an error: 2; the column error says why' messages)"
mv before.csv.shard-2-of-2 before.csv.shard-2-of-2.part
"$program" sweep grid.ini -o before.csv --shard 2/2 --columns cell --resume > /dev/null 2> messages
check "errors of a session before without it" "1 2" "$(sed -n 's/.*an error: \([0-9]*\); the.*/1 \1/p' messages)"
check "errors without their column" 1 "$(status_of "$program" sweep grid.ini -o x.csv --columns cell > /dev/null
    grep -c 'cells with an error: 2; the column error says why' messages)"

# A database has the same rows, a picture a line per policy.
code=$(status_of "$program" sweep grid.ini -o rows.db)
if [ "$code" = 2 ] && grep -q 'built without SQLite' messages; then
    echo "built without SQLite: no database"
else
    check "a database" "0 SQLite format 3" "$code $(head -c 15 rows.db)"
    ! command -v sqlite3 > /dev/null || check "its rows" "$(column rows.csv slowdown | grep -c .)|lsp" \
        "$(sqlite3 rows.db "select count(slowdown), min(case policy when 'lsp' then policy end) from results")"
fi
if command -v gnuplot > /dev/null; then
    check "a picture" "0 rows.svg" \
        "$(status_of "$program" sweep -o rows.csv --plot x=link y=slowdown by=policy) $(cat stdout)"
    check "its lines" 1 "$(grep -c '>zero-layerwise<' rows.svg)"
    check "no such column" 2 "$(status_of "$program" sweep -o rows.csv --plot x=lnk y=slowdown)"
    for words in 'x=lnk y=slowdown' 'x=link y=slowdown by=plicy' 'x=link y=slowdown --columns link_Bps' \
        'x=link y=slowdown --shard 1/2' 'x=link y=slowdown --format jsonl'; do
        check "before the sweep: $words" "2 1" \
            "$(status_of "$program" sweep grid.ini -o early.csv --plot $words) $(grep -c -- '--plot' messages)"
    done
    check "nothing is begun" "" "$(ls early.csv* 2> /dev/null || true)"
fi

# A prediction that crashes is a row with an error.  Each process has one of these cells for a second.  (A sanitizer
# would turn the signal into an exit status.)
printf '%s\n' '[all]' 'model = llama-7b' 'machine = paper-workstation' 'policy = zero zero-layerwise' \
    'iterations = 3000' > slow.ini
ASAN_OPTIONS=handle_segv=0 "$program" sweep slow.ini -o slow.csv -j 1 > /dev/null 2>&1 &
pid=$!
for _ in $(seq 400); do
    child=$(cat /proc/$pid/task/$pid/children 2> /dev/null || true)
    [ -z "$child" ] || { kill -SEGV ${child% }; break; }
    sleep 0.01
done
wait $pid && code=0 || code=$?
check "predicted, whatever becomes of a cell" 0 "$code"
check "the crash of a prediction" "its prediction ended by signal 11" \
    "$(column slow.csv error | head -n 1 | sed 's/ (.*//')"
check "the other cells" 1 "$(column slow.csv iteration_s | grep -c .)"

# Measured beside simulated.  A cell that does not fit its cap, and one whose run crashes, are rows with an error.
cat > measured.ini <<'GRID'
[all]
model = gpt-tiny
machine = host-reference
batch = 1
sequence = 16
[short]
policy = zero lsp
gpu-memory = 64MiB 1MiB
[long]
policy = native
iterations = 3000
GRID
ASAN_OPTIONS=handle_segv=0 "$program" sweep measured.ini -o measured.csv --run > /dev/null 2>&1 &
pid=$!
for _ in $(seq 400); do
    child=$(cat /proc/$pid/task/$pid/children 2> /dev/null || true)
    [ -z "$child" ] || ! grep -q 3000 "/proc/${child% }/cmdline" 2> /dev/null || { kill -SEGV ${child% }; break; }
    sleep 0.05
done
wait $pid && code=0 || code=$?
check "measured, whatever becomes of a cell" 0 "$code"
check "cells with a measurement" "zero lsp" "$(paste -d ' ' <(column measured.csv policy) \
    <(column measured.csv measured_iteration_s) | awk '$2 > 0 { print $1 }' | xargs)"
check "the cap" 2 "$(column measured.csv error | grep -c 'lspo run: exit code 4: ')"
check "the crash" "lspo run ended by signal 11" "$(column measured.csv error | tail -n 1)"
cat > errors.awk <<'AWK'
FNR == 1 { csv_header($0); next }
{ csv_row($0) }
get("error") == "" { print abs(get("time_error") - (get("iteration_s") / get("measured_iteration_s") - 1)) < 1e-6 }
AWK
check "errors of predictions" "1 1" \
    "$(awk -f "$source_dir/bundle/lib.awk" -f errors.awk measured.csv | xargs)"
# A second sweep is refused and takes nothing from the first.
for file in csv log; do echo theirs > busy.csv.part.run.$file; done
touch busy.csv.part
check "a sweep is there" 2 "$(status_of "$program" sweep measured.ini -o busy.csv --run)"
check "its files" "theirs theirs" "$(cat busy.csv.part.run.csv busy.csv.part.run.log | xargs)"
check "a measured row by its key" "lspo sim $(column measured.csv flags | head -n 1)" \
    "$("$program" sweep measured.ini --run --explain "$(column measured.csv key | head -n 1)")"
check "one at a time" 2 "$(status_of "$program" sweep measured.ini -o x.csv --run -j 2)"
"$program" sweep measured.ini --machine paper-laptop -o laptop.csv --columns machine > /dev/null 2>&1
check "another machine" paper-laptop "$(column laptop.csv machine | sort -u | xargs)"

# A grid in the form of lspo validate: the same cells as in this form, their rates as shares of zero's GPU time.
cat > older <<'GRID'
flags --seed 3 --nnz 2
wide gpt-tiny 1 32 zero 1.6 0.3 zero:0.5 lsp:32:4
free gpt-tiny 1 32 self free 100M/s lsp
GRID
cat > newer <<'GRID'
[all]
model = gpt-tiny
batch = 1
sequence = 32
seed = 3
[wide]
rates = zero
link-over-gpu = 1.6
cpu-over-gpu = 0.3
policy = zero:0.5 lsp:32:4
[free]
policy = lsp
nnz = 2
cpu = 100M/s
GRID
for grid in older newer; do
    "$program" sweep $grid --machine host-reference -o form.csv > /dev/null 2>&1
    for name in policy subspace nnz cpu_share link_Bps cpu_pps iteration_s error; do
        column form.csv $name
    done > $grid.csv
done
check "either form" "" "$(diff older.csv newer.csv 2>&1)"
check "the policies" "zero lsp lsp" "$(head -n 3 older.csv | xargs)"

# Constraints on one of several keys of a kind.
cells_of() { # cells_of LINE...: the cells of a grid with these lines
    printf '%s\n' '[all]' 'model = gpt2-124m' 'machine = rtx4090' 'policy = zero' "$@" > cells.ini
    "$program" sweep cells.ini -o cells.csv --columns cell > /dev/null
    column cells.csv cell | xargs
}
check "a constraint on one of two shares" "0 2" \
    "$(cells_of 'link-over-gpu = 0.2 2' 'cpu-over-gpu = 0.5 0.9' 'where = cpu-over-gpu < 0.6')"
check "a constraint on one of two columns" "1 3" \
    "$(cells_of 'column.a = u v' 'column.b = x y' 'where = column.b = y')"
check "a value without a digit in front" 0 "$(cells_of 'weight-decay = 0.3 .5' 'where = weight-decay < 0.4')"
check "a policy with its values" 0 \
    "$(cells_of '[own]' 'policy = lsp:64:8 lsp:128:8 zero' 'where = policy = lsp:64:8')"
check "a policy with any values" "0 1" \
    "$(cells_of '[own]' 'policy = lsp:64:8 lsp:128:8 zero' 'where = policy = lsp')"
check "not this policy" "1 2" \
    "$(cells_of '[own]' 'policy = lsp:64:8 lsp:128:8 zero' 'where = policy != lsp:64:8')"
check "either side of a word" "0 2" "$(cells_of 'batch = 1 2' 'precision = fp16 bf16' 'where = precision != bf16')"
check "a column that begins with x" "0 2" "$(cells_of 'column.a = u v' 'column.b = x y' 'where = column.b = x')"

# Shares on a machine whose fields the grid changes, by a factor or in words with blanks: the rates are those of the
# same number.
rates_of() { # rates_of VALUE
    cells_of 'link-over-gpu = 1' 'cpu-over-gpu = 0.5' "gpu.gemm_fp16_flops = $1" > /dev/null
    "$program" sweep cells.ini -o cells.csv --columns link_Bps,cpu_pps,error > /dev/null 2>&1
    tail -n 1 cells.csv
}
own=$("$program" show machine rtx4090 | awk '$1 == "gemm_fp16_flops" { print $3 $4 }')
check "shares of a changed machine" "$(rates_of 80TFLOP/s)" "$(rates_of '"80 TFLOP/s"')"
check "they are rates" 1 "$(rates_of 80TFLOP/s | grep -cE '^[0-9.e+]+,[0-9.e+]+,$')"
check "once the profile's" "$(rates_of "$own")" "$(rates_of x1)"
check "another rate is another" no "$([ "$(rates_of x2)" = "$(rates_of x1)" ] && echo yes || echo no)"

# What an option takes, asked of lspo sim: numbers, if it takes one but neither a word nor "auto".
takes() { [ "$(status_of "$program" sim --model gpt2-124m --machine rtx4090 --policy zero "--$1" "$2")" != 2 ]; }
numeric=0
for option in $("$program" sim --help | grep -oE '^ +--[a-z-]+ ' | sed 's/--//'); do
    printf '%s\n' '[all]' "$option = 1" > kind.ini
    status_of "$program" sweep kind.ini --explain 0 > /dev/null
    ! grep -q 'there is no key' messages || continue
    number=
    for value in 8 1 64GiB 1GB/s 1M/s; do
        [ -n "$number" ] || ! takes "$option" $value || number=$value
    done
    printf '%s\n' '[all]' 'model = gpt2-124m' 'machine = rtx4090' 'policy = zero' \
        "$option = linear($number, $number)" > kind.ini
    [ -n "$number" ] && ! takes "$option" word && ! takes "$option" auto || continue
    numeric=$((numeric + 1))
    check "--$option takes numbers" 0 "$(status_of "$program" sweep kind.ini --explain 0)"
done
check "options with numbers" more "$([ $numeric -ge 12 ] && echo more || echo $numeric)"

# Killed at any moment, it continues, and a torn row is cut.
cat > long.ini <<'GRID'
[all]
model = gpt2-124m
machine = paper-laptop
policy = zero lsp lora native
batch = 1 2 4
link = log2(1GB/s, 64GB/s, 24)
GRID
"$program" sweep long.ini -o whole.csv > /dev/null 2>&1
kills=0
for delay in 0.002 0.01 0.03 0.05 0.07 0.09 0.11 0.13 0.15 0.17; do
    "$program" sweep long.ini -o killed.csv -j 2 --resume > /dev/null 2>&1 &
    victim=$!
    sleep $delay
    kill -9 $victim 2> /dev/null && kills=$((kills + 1))
    wait $victim 2> /dev/null || true
    [ ! -f killed.csv.part ] || printf '17,torn' >> killed.csv.part
done
"$program" sweep long.ini -o killed.csv --resume > /dev/null 2>&1
check "after $kills kills" "" "$(cmp whole.csv killed.csv 2>&1)"

# A journal that has all rows but those of a few cells: only these are played.
"$program" sweep long.ini -o again.csv -j 1 --shard 1/2 > /dev/null 2>&1
mv again.csv.shard-1-of-2 again.csv.shard-1-of-2.part
sed -i '$d' again.csv.shard-1-of-2.part # the line that says that it is whole
sed -i '$d' again.csv.shard-1-of-2.part
before=$(wc -l < again.csv.shard-1-of-2.part)
"$program" sweep long.ini -o again.csv -j 1 --shard 1/2 --resume > /dev/null 2>&1
check "one row more, and the last line" "$((before + 2)) end $before" \
    "$(wc -l < again.csv.shard-1-of-2) $(tail -n 1 again.csv.shard-1-of-2)"

# A journal of predictions is not continued with measurements, nor one of a device on another.
"$program" sweep measured.ini -o device.csv --columns cell --shard 1/2 > /dev/null 2>&1
mv device.csv.shard-1-of-2 device.csv.shard-1-of-2.part
check "with --run" "2 1" "$(status_of "$program" sweep measured.ini -o device.csv --columns cell --shard 1/2 --resume \
    --run) $(grep -c 'run=none.*run=host' messages)"
check "without it" 0 "$(status_of "$program" sweep measured.ini -o device.csv --columns cell --shard 1/2 --resume)"

# On ranks of an MPI job: the same file; one that is killed ends the job, which --resume completes.
plugin=$(dirname "$program")/liblspo-mpi.so
if command -v mpirun > /dev/null && [ -f "$plugin" ]; then
    # (Open MPI leaks some memory of its own.)
    ranks() { ASAN_OPTIONS=detect_leaks=0 timeout 120 mpirun -np "$@"; }
    check "4 ranks" 0 "$(status_of ranks 4 "$program" sweep long.ini -o ranks.csv)"
    check "their file" "" "$(cmp whole.csv ranks.csv 2>&1)"
    if command -v gnuplot > /dev/null; then
        check "one of them draws" "0 1" "$(status_of ranks 3 "$program" sweep long.ini -o drawn.csv --plot x=link \
            y=slowdown) $(grep -c drawn.svg stdout)"
    fi
    # The last rank ends itself after some rows.
    cat > killed-rank <<'RANK'
#!/bin/bash
if [ "${OMPI_COMM_WORLD_RANK-$PMI_RANK}" = 3 ]; then
    "$@" & victim=$!
    until [ "$(cat killed-ranks.csv.part 2> /dev/null | wc -l)" -gt 20 ]; do sleep 0.01; done
    kill -9 $victim
    wait $victim
    exit
fi
exec "$@"
RANK
    chmod +x killed-rank
    sed 's/, 24)/, 48)/' long.ini > longer.ini
    code=$(status_of ranks 4 ./killed-rank "$program" sweep longer.ini -o killed-ranks.csv)
    check "a killed rank ends the job" "no" "$([ "$code" = 0 ] && echo yes || echo no)"
    check "without a file" "no" "$([ -e killed-ranks.csv ] && echo yes || echo no)"
    check "completed" 0 "$(status_of ranks 3 "$program" sweep longer.ini -o killed-ranks.csv --resume)"
    "$program" sweep longer.ini -o longer.csv > /dev/null 2>&1
    check "the same file" "" "$(cmp longer.csv killed-ranks.csv 2>&1)"
    check "MPI is not loaded otherwise" "" "$(ldd "$program" | grep -i mpi || true)"
else
    echo "no MPI: its tests are skipped"
fi

# Without --resume nothing is overwritten; another grid is not continued.
touch killed.csv.part
check "a journal is there" 2 "$(status_of "$program" sweep long.ini -o killed.csv)"
check "what to do" 1 "$(grep -c -- '--resume continues' messages)"
echo "lspo-sweep 1 of another grid" > killed.csv.part
check "of another sweep" 2 "$(status_of "$program" sweep long.ini -o killed.csv --resume)"
rm killed.csv.part

# 10^7 cells: begun, interrupted, continued, in little memory.
cat > huge.ini <<'GRID'
[all]
model = gpt2-124m
machine = paper-laptop
policy = lora
batch = linear(1, 100)
sequence = linear(1, 1000)
learning-rate = linear(1, 100)
GRID
# A script's children ignore Ctrl-C; SIGTERM asks for the same.
interrupt() { # interrupt SECONDS: exit status; the most memory is in `memory`, in kB
    local pid code=0
    "$program" sweep huge.ini -o huge.csv --columns cell,iteration_s,error --resume > /dev/null 2> messages &
    pid=$!
    sleep "$1"
    awk '/VmHWM/ { print $2 }' /proc/$pid/status > memory
    kill -TERM $pid
    wait $pid || code=$?
    echo $code
}
check "interrupted" 130 "$(interrupt 0.4)"
check "what it says then" 1 "$(grep -c 'rows are in huge.csv.part. To continue: --resume' messages)"
first=$(wc -l < huge.csv.part)
check "interrupted again" 130 "$(interrupt 0.4)"
[ "$(wc -l < huge.csv.part)" -gt "$first" ] || check "it goes on" "more than $first rows" "$(wc -l < huge.csv.part)"
check "each cell once" "" "$(tail -n +2 huge.csv.part | cut -d, -f1 | sort | uniq -d)"
[ "$(cat memory)" -lt 200000 ] || check "memory" "less than 200 MB" "$(cat memory) kB"

# A full disk, played by a limit of the size of files: exit status 1, no file, and the rest afterwards.
code=0
(ulimit -f 8; exec "$program" sweep long.ini -o full.csv > /dev/null 2> messages) || code=$?
check "a file at its limit" "1 no" "$code $(test -e full.csv && echo yes || echo no)"
check "the message" 1 "$(grep -c 'cannot write full.csv.part' messages)"
check "whole rows only" 0 "$(tail -c 1 full.csv.part | od -An -c | grep -vc 'n' || true)"
"$program" sweep long.ini -o full.csv --resume > /dev/null 2>&1
check "with room again" "" "$(cmp whole.csv full.csv 2>&1)"

# What is wrong, with file and line.
wrong() { # wrong NAME MESSAGE LINE...
    local name=$1 message=$2
    shift 2
    printf '%s\n' '[all]' 'model = gpt2-774m' 'machine = paper-laptop' "$@" > wrong.ini
    check "$name" "2 1" "$(status_of "$program" sweep wrong.ini -o wrong.csv) $(grep -cF -- "$message" messages)"
    [ "$(grep -cF -- "$message" messages)" = 1 ] || cat messages >&2
}
printf 'model = gpt2-774m\npolicy = zero\n' > wrong.ini
check "no section" "2 1" "$(status_of "$program" sweep wrong.ini -o wrong.csv) $(
    grep -cF "wrong.ini:1: 'model' comes before the first [section]" messages)"
wrong "an axis without values" "wrong.ini:5: batch has no values" 'policy = zero' 'batch ='
wrong "a range of words" "wrong.ini:4: policy: log2(1,8) is a range of numbers, but policy takes words" \
    'policy = log2(1, 8)'
wrong "a range without unit" "link" 'policy = zero' 'link = log2(1, 8)'
wrong "a range of fractions" "wrong.ini:5: batch: '1.5' in linear(1.5,3) is not an integer" 'policy = zero' \
    'batch = linear(1.5, 3)'
wrong "two units" "different units" 'policy = zero' 'link = log2(1GB/s, 8MB/s)'
wrong "backwards" "goes nowhere" 'policy = zero' 'batch = linear(4, 1)'
wrong "an unknown key" "wrong.ini:5: there is no key 'subspce'; did you mean subspace?" 'policy = lsp' 'subspce = 64'
wrong "an unknown policy" "wrong.ini:4: policy: 'zeroo'" 'policy = zeroo'
wrong "zip of unequal lengths" "wrong.ini:7: zip: batch has 2 values, but sequence has 3" 'policy = zero' \
    'batch = 1 2' 'sequence = 8 16 32' 'zip = batch sequence'
check "zip with --machine" "2 1" "$(
    printf '%s\n' '[all]' 'machine = paper-laptop rtx4090' 'model = gpt2-774m' 'policy = zero' 'batch = 1 2' \
        'zip = batch machine' > wrong.ini
    status_of "$program" sweep wrong.ini -o wrong.csv --machine rtx4090) $(
    grep -c 'zip: machine of --machine has 1 value, but batch has 2 values' messages)"
wrong "a constraint of words" "words are compared with = or !=" 'policy = zero' 'where = policy < lsp'
wrong "a constraint with an unknown word" "wrong.ini:5: where: policy: 'lspp'" 'policy = zero' \
    'where = policy != lspp'
wrong "a column of every row" "wrong.ini:5: column.Policy: each row has a column policy" 'policy = zero' \
    'column.Policy = 1'
wrong "columns that differ in case" "there are columns column.a and column.A" 'policy = zero' 'column.a = 1' \
    'column.A = 1'
wrong "half a constraint" "wrong.ini:5: where: 'the end': expected a name or a value" 'policy = zero' 'where = batch <'
wrong "no policy" "wrong.ini: the grid has no policy" 'batch = 1'
wrong "too many cells" "more than 1000000000 cells" 'policy = zero' 'batch = linear(1, 100000)' \
    'sequence = linear(1, 1000)' 'seed = linear(1, 1000)'

# `auto` is this machine; here it has no place for its profile, so nothing is measured.
printf '%s\n' '[all]' 'machine = auto' 'model = gpt2-774m' 'policy = zero' > auto.ini
check "machine = auto" "2 1" "$(
    status_of env -u HOME -u XDG_CACHE_HOME "$program" sweep auto.ini -o auto.csv) $(
    grep -c 'machine auto: there is no place for the profile' messages)"

finish test_sweep
