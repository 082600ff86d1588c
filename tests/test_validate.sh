#!/usr/bin/env bash
# lspo validate from end to end, on cells of a few milliseconds: what it writes, that a breakdown adds up, that a
# prediction is that of lspo sim, that Ctrl-C keeps what is there, and, from measurements made up by hand, errors, order
# and verdict.  How well it predicts is no test's business: the machine may be busy.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

with_lib() { awk -f "$source_dir/bundle/lib.awk" "$@"; }
# column FILE NAME: its values, a line each
column() { awk -f "$source_dir/bundle/lib.awk" -f "$source_dir/bundle/field.awk" -v name="$2" "$1"; }
validate() { "$program" validate --grid "$folder/grid" --out "$folder/out" "$@" 2> "$folder/messages"; }
# visit PLANS OPTION...: validate for 3 s, and again while a busy machine has not visited that many plans; its status.
visit() {
    local plans=$1 code
    shift
    for _ in $(seq 20); do
        code=$(status_of validate --resume --budget 3s --interval 50% "$@")
        [ "$(tail -n +2 "$folder/out/visits.csv" | cut -d, -f5 | sort -u | wc -l)" -lt "$plans" ] || break
    done
    echo "$code"
}

printf '%s\n' '[model]' name=small family=gpt blocks=2 width=64 heads=2 kv_heads=2 mlp_width=128 vocabulary=256 \
    max_sequence=64 tied_head=true > "$folder/small.ini"
cat > "$folder/grid" <<GRID
flags --seed 3 --adam-basis fixed
link $folder/small.ini 1 32 zero 1.6 0.3 zero lsp:32:2
GRID

# Measured for real.  Not 0: all was well but the machine was not calm, or the predictions are off.
# --resume begins where there is nothing to go on with.
code=$(visit 3 --ablate)
case $code in 0 | 5 | 6) ;; *) check "exit code" "0, 5 or 6" "$code: $(cat "$folder/messages")" ;; esac
check "cells" "zero lsp" "$(column "$folder/out/cells.csv" policy | xargs)"
check "the flags that are given" "3 3" \
    "$(column "$folder/out/cells.csv" flags | sed 's/.*--seed \([0-9]*\).*/\1/' | xargs)"
check "three plans are visited" 3 "$(tail -n +2 "$folder/out/visits.csv" | cut -d, -f5 | sort -u | wc -l)"
# As in predictions, native is trained by plain Adam.
check "the yardstick has its own defaults" "2 0" "$(cut -d, -f5 "$folder/out/visits.csv" | sort -u > "$folder/flags"
    grep -c -- '--adam-basis fixed' "$folder/flags") $(grep 'policy native' "$folder/flags" | grep -c adam-basis)"
check "samples of a visit" 8 "$(sed -n 's/.*,//; 2p' "$folder/out/visits.csv" | wc -w)"

# What a policy finds by itself is found for the profile of the predictions, and not for host-reference, whose GPU is
# so fast that nearly all is computed again.
"$program" show machine host-reference |
    sed 's|^gemm_fp32_flops = [^;]*|gemm_fp32_flops = 1 GFLOP/s |' > "$folder/slow.ini"
slow="--model gpt-tiny --batch 1 --sequence 32 --policy kvpr --iterations 6 --link 100MB/s"
printf 'flags --iterations 6 --link 100MB/s\nlink gpt-tiny 1 32 self free free kvpr\n' > "$folder/kvpr"
for _ in $(seq 20); do
    code=$(status_of "$program" validate --grid "$folder/kvpr" --machine "$folder/slow.ini" --out "$folder/shares" \
        --resume --budget 2s)
    [ ! -s "$folder/shares/traces/1.trace" ] || break
done
case $code in 0 | 5 | 6) ;; *) check "exit code of kvpr" "0, 5 or 6" "$code: $(cat "$folder/messages")" ;; esac
"$program" sim --machine "$folder/slow.ini" $slow --format csv > "$folder/slow.csv"
check "the share of what is measured" "$(column "$folder/slow.csv" recompute_share)" \
    "$(sed -n 's/^# recompute-share: //p' "$folder/shares/traces/1.trace" | xargs printf %.6g)"

# Without latencies every op takes less.
cat > "$folder/less.awk" <<'AWK'
FNR == 1 { csv_header($0); next }
{ csv_row($0); print (get("no_contention") > 0 && get("no_latency") < get("predicted_s") ? "less" : "not less") }
AWK
check "predictions without a part" "less less" "$(with_lib -f "$folder/less.awk" "$folder/out/cells.csv" | xargs)"

# The prediction is what lspo sim says of the same flags.
flags=$(column "$folder/out/cells.csv" flags | head -n 1)
simulated=$("$program" sim --machine host-reference $flags --format csv > "$folder/sim.csv";
    column "$folder/sim.csv" iteration_s)
check "prediction" "$simulated" "$(column "$folder/out/cells.csv" predicted_s | head -n 1)"

# Shares and waiting add up to the error, cell by cell.
cat > "$folder/sum.awk" <<'AWK'
FNR == 1 { csv_header($0); columns = csv_split($0, names); next }
{
    csv_row($0)
    sum = -get("error")
    for (i = 1; i <= columns; i++) if (names[i] == "waiting" || names[i] ~ /^[A-Z]/) sum += get(names[i])
    print abs(sum) < 1e-6 && get("BWD") != "" ? "adds up" : "is off by " sum
}
AWK
check "breakdown" "adds up adds up" "$(with_lib -f "$folder/sum.awk" "$folder/out/breakdown.csv" | xargs)"

# Made up: the native plan takes what is predicted, zero predicted / 1.03, lsp predicted / 0.99: errors +3 and -1 %, so
# a mean of 2 %, a bias of +1 %, a worst of 3 %; the 95th percentile of 1 and 3 % is 2.9 %.  Slowdowns have the same
# errors.
native_s=$(awk -F, 'FNR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
    { print $at["predicted_s"] / $at["predicted_slowdown"]; exit }' "$folder/out/cells.csv")
made_up() { # made_up ZERO_FACTOR LSP_FACTOR LSP_DISTURBED
    local native zero lsp
    native=$(cut -d, -f5 "$folder/out/visits.csv" | grep -m 1 'policy native')
    zero=$(column "$folder/out/cells.csv" flags | sed -n 1p)
    lsp=$(column "$folder/out/cells.csv" flags | sed -n 2p)
    local predicted
    read -r -d '' -a predicted < <(column "$folder/out/cells.csv" predicted_s; printf '\0')
    echo "round,disturbed,foreign_share,core_share,flags,samples_s"
    local round
    for round in 1 2; do
        echo "$round,false,0,1,$native,$native_s"
        echo "$round,false,0,1,$zero,$(awk -v s="${predicted[0]}" -v f="$1" 'BEGIN { printf "%.9g", s / f }')"
        echo "$round,$3,0,1,$lsp,$(awk -v s="${predicted[1]}" -v f="$2" 'BEGIN { printf "%.9g", s / f }')"
    done
}
judge() { # judge ZERO_FACTOR LSP_FACTOR LSP_DISTURBED: the exit code
    made_up "$1" "$2" "$3" > "$folder/visits.csv"
    cp "$folder/visits.csv" "$folder/out/visits.csv"
    status_of validate --resume --budget 1us --format csv
}
# score QUANTITY CELLS: count mean 95th worst bias of lspo, in percent
score() {
    awk -F, -v quantity="$1" -v cells="$2" '$1 == "lspo" && $2 == quantity && $3 == cells {
        printf "%d %.2f %.2f %.2f %.2f\n", $4, 100 * $5, 100 * $7, 100 * $8, 100 * $9 }' "$folder/stdout"
}
check "within the thresholds" 0 "$(judge 1.03 0.99 false)"
check "errors of times" "2 2.00 2.90 3.00 1.00" "$(score time all)"
check "errors of slowdowns" "2 2.00 2.90 3.00 1.00" "$(score slowdown all)"
check "no noise in equal visits" 0 "$(column "$folder/out/cells.csv" noise | sort -u | xargs)"
check "the report says what holds" 5 "$(grep -c '^  holds' "$folder/out/report.txt")"
check "a mean of 6 % fails" 5 "$(judge 1.06 0.94 false)"
check "a 95th percentile above 10 % fails" 5 \
    "$(status_of validate --resume --budget 1us --threshold-mean 7% --threshold-p95 5%)"
check "wider thresholds hold" 0 "$(status_of validate --resume --budget 1us --threshold-mean 7% --threshold-p95 7%)"

# A disturbed cell is shown and not judged.
check "a disturbed cell is left out" 0 "$(judge 1.03 0.5 true)"
check "one cell of two is enough to judge" 0 "$(grep -c inconclusive "$folder/out/report.txt")"
check "one cell is left" "1 3.00 3.00 3.00 3.00" "$(score time all)"
check "both with disturbed" "2 26.50 47.65 50.00 -23.50" "$(score time "disturbed too")"

# Three cells, two of them disturbed: the calm one says too little, were it ever so good.
sed 's/zero lsp:32:2/& lora:4:nf4/' "$folder/grid" > "$folder/three"
check "one cell of three is inconclusive" 6 "$(status_of validate --grid "$folder/three" --resume --budget 1us)"
check "it says so" 1 "$(grep -c 'inconclusive: only 1 of 3 cells' "$folder/messages")"
check "the report, too" 1 "$(grep -c '^inconclusive' "$folder/out/report.txt")"
check "a word that is not the default is in the title" 1 "$(grep -c ' lora 4 nf4 ' "$folder/out/report.txt")"

# zero is predicted slower than lsp; measured the other way round, the one pair is discordant.
predicted_order=$(column "$folder/out/cells.csv" predicted_s | xargs)
swap=$(awk -v p="$predicted_order" 'BEGIN { split(p, s, " "); printf "%.6g %.6g", s[1] / s[2], s[2] / s[1] }')
check "order" 5 "$(judge ${swap% *} ${swap#* } false)"
check "tau" -1 "$(awk -F, '$1 == "lspo" && $2 == "time" && $3 == "all" { print $10 }' "$folder/stdout")"

# Yardsticks at 0.8 of the speed that they had in the calibration (one disturbed, and one without a visit): the
# predictions are those of a machine whose kernels are so much slower, and what was predicted before stands beside.
{
    printf '[machine]\nbase = host-reference\nname = host\n[yardstick]\n'
    printf '%s_s = 10ms\n' gpt_tiny_native gpt_tiny_badam gpt_small_native gpt_small_badam
} > "$folder/host.ini"
grep -v 'policy native' "$folder/visits.csv" > "$folder/out/visits.csv"
grep 'policy native' "$folder/visits.csv" >> "$folder/out/visits.csv"
for round in 1 2; do
    for yardstick in "gpt-tiny --batch 3 --sequence 192 --policy native,0.0125" \
        "gpt-tiny --batch 3 --sequence 192 --policy badam,0.0125" \
        "gpt-small --batch 1 --sequence 96 --policy native,0.02"; do
        case $yardstick in *small*) disturbed=true ;; *) disturbed=false ;; esac
        echo "$round,$disturbed,0,1,--iterations 11 --model ${yardstick%,*},${yardstick#*,}"
    done
done >> "$folder/out/visits.csv"
code=$(status_of validate --machine "$folder/host.ini" --resume --budget 1us --format csv)
case $code in 0 | 5) ;; *) check "yardsticks" "0 or 5" "$code: $(cat "$folder/messages")" ;; esac
check "two cells, whatever the yardsticks" 2 "$(column "$folder/out/cells.csv" cell | wc -l)"
check "the machine's speed" 1 "$(grep -c 'a machine at 0.800 of its calibrated speed' "$folder/out/report.txt")"
check "the prediction before" "$simulated" "$(column "$folder/out/cells.csv" calibrated_s | head -n 1)"
"$program" sim --machine host-reference $flags --set gpu.training_speed=0.8 --format csv > "$folder/sim.csv"
check "the prediction at that speed" "$(column "$folder/sim.csv" iteration_s)" \
    "$(column "$folder/out/cells.csv" predicted_s | head -n 1)"
check "a predictor of its own" "2" "$(grep -c '^lspo as calibrated,' "$folder/stdout")"

# Generations of a tiny model take as long as with half of the cache, the others as in the calibration: the predictions
# are those of a machine with that cache, at the same speed.
cat > "$folder/kept.ini" <<'INI'
[machine]
base = host-reference
name = host
[gpu]
few_rows_Bps = 10GB/s
few_rows_cached_Bps = 40GB/s
near_bytes = 6MB
cache_bytes = 18MB
kept_all_bytes = 6MB
kept_bytes = 18MB
INI
printf 'flags --iterations 17 --precision fp32\ngpu gpt-tiny 4 128 self free free resident\n' > "$folder/tokens"
with_half() { # with_half FLAG...: iteration_s with half of the cache
    "$program" sim --machine "$folder/kept.ini" "$@" --set gpu.kept_all_bytes=3MB --set gpu.kept_bytes=9MB \
        --format csv > "$folder/sim.csv"
    column "$folder/sim.csv" iteration_s
}
visit_tokens() { # visit_tokens: as if each yardstick had been visited, and the cell
    rm -rf "$folder/tokens.out"
    mkdir "$folder/tokens.out"
    echo "round,disturbed,foreign_share,core_share,flags,samples_s" > "$folder/tokens.out/visits.csv"
    echo '[yardstick]' > "$folder/yardsticks"
    local model policy flags
    for model in gpt-tiny gpt-small; do
        for policy in resident marlin; do
            flags="--model $model --batch 2 --sequence 96 --policy $policy --iterations 17"
            "$program" sim --machine "$folder/kept.ini" $flags --format csv > "$folder/sim.csv"
            echo "${model/-/_}_${policy}_s = $(column "$folder/sim.csv" iteration_s)s" >> "$folder/yardsticks"
            echo "1,false,0,1,--iterations 11 $flags,$(with_half $flags)" >> "$folder/tokens.out/visits.csv"
        done
    done
    cat "$folder/yardsticks" >> "$folder/kept.ini"
}
visit_tokens
status_of "$program" validate --machine "$folder/kept.ini" --grid "$folder/tokens" --out "$folder/tokens.out" \
    --resume --budget 1us > /dev/null
flags=$(column "$folder/tokens.out/cells.csv" flags)
check "the machine's cache" 1 \
    "$(grep -c 'a machine at 1.000 of its calibrated speed with 0.50 of its cache: ' "$folder/tokens.out/report.txt")"
check "the prediction with that cache" "$(with_half $flags | xargs printf %.4g)" \
    "$(column "$folder/tokens.out/cells.csv" predicted_s | xargs printf %.4g)"

# The profile makes a product dense: what is run names it, since it does not know the machine.
"$program" show machine host-reference | sed 's/^gather_flops/dense_compress_ratio = 1000\n&/' > "$folder/dense.ini"
status_of validate --machine "$folder/dense.ini" --resume --budget 1us > /dev/null
check "a dense product is named" "zero,lsp dense" "$(column "$folder/out/cells.csv" flags |
    sed 's/.*--policy \([a-z]*\).*--compress-by \([a-z]*\).*/\1 \2/; s/.*--policy \([a-z]*\).*/\1/' | paste -sd ,)"

# Visits of other flags, and broken lines.
sed 's/--seed 3/--seed 4/' "$folder/visits.csv" > "$folder/out/visits.csv"
check "measurements of other plans do not count" 6 "$(status_of validate --resume --budget 1us)"
check "they are named" 1 "$(grep -c '6 visits in .* do not count' "$folder/messages")"
echo "3,false,0,1,--policy zero,0.1 x" >> "$folder/out/visits.csv"
check "broken visits" 2 "$(status_of validate --resume --budget 1us)"
check "where" 1 "$(grep -c "visits.csv:8: .x. is not" "$folder/messages")"

# The same in JSON, with 9 digits.
cp "$folder/visits.csv" "$folder/out/visits.csv"
status_of validate --resume --budget 1us --format json > "$folder/code"
check "JSON has three tables" "breakdown cells summary" \
    "$(grep -o '"\(breakdown\|summary\|cells\)":$' "$folder/stdout" | tr -d '":' | sort | xargs)"

# Ctrl-C ends it in order: what was measured is kept.  So does SIGTERM, where a script ignores SIGINT for it; its child
# ends, too.
interrupt() { # interrupt SIGNAL OPTION_OF_ENV: how SIGINT is when it begins
    rm -rf "$folder/out"
    env "$2" "$program" validate --grid "$folder/grid" --out "$folder/out" --budget 1min \
        --interval 0.0001% > "$folder/stdout" 2> "$folder/messages" &
    interrupted=$!
    for _ in $(seq 300); do [ "$(cat "$folder/out/visits.csv" 2> /dev/null | wc -l)" -gt 1 ] && break; sleep 0.1; done
    start=$(date +%s)
    kill "-$1" $interrupted
    code=0
    wait $interrupted || code=$?
    check "interrupted by $1" 130 "$code"
    check "$1 ends it soon" yes "$([ $(($(date +%s) - start)) -lt 20 ] && echo yes)"
    check "visits are kept after $1" yes "$([ "$(wc -l < "$folder/out/visits.csv")" -gt 1 ] && echo yes)"
    check "cells are kept after $1" 3 "$(wc -l < "$folder/out/cells.csv")"
}
interrupt INT --default-signal=INT
interrupt TERM --ignore-signal=INT

# One validate per folder.  Killed in its first round, it leaves what it measured and no child, and goes on with
# --resume.
rm -rf "$folder/out"
"$program" validate --grid "$folder/grid" --out "$folder/out" --budget 1min --interval 0.0001% > /dev/null 2>&1 &
killed=$!
for _ in $(seq 300); do [ -s "$folder/out/visits.csv" ] && break; sleep 0.1; done
check "a second one is refused" 2 "$(status_of validate --resume --budget 1us)"
check "because of the first" 1 "$(grep -c 'another lspo validate is using this folder' "$folder/messages")"
# Wait for a child that has just begun, so that one is there to be left behind.
child=
for _ in $(seq 300); do
    for status_file in /proc/[0-9]*/status; do
        grep -qs "^PPid:[[:space:]]*$killed$" "$status_file" && child=${status_file%/status}
    done
    [ -z "$child" ] || break
done
kill -9 "$killed"
wait "$killed" 2> /dev/null || true
check "it had a child" yes "$([ -n "$child" ] && echo yes)"
for _ in $(seq 50); do [ -d "$child" ] && ! grep -qs '^State:.Z' "$child/status" || break; sleep 0.1; done
check "the child ends, too" gone "$([ ! -d "$child" ] || grep -qs '^State:.Z' "$child/status" && echo gone ||
    echo "still there: $(tr '\0' ' ' < "$child/cmdline")")"
visits=$(wc -l < "$folder/out/visits.csv")
check "visits of the first round are kept" yes "$([ "$visits" -gt 1 ] && echo yes)"
code=$(status_of validate --resume --budget 2s --interval 50%)
case $code in 0 | 5 | 6) ;; *) check "it goes on" "0, 5 or 6" "$code: $(cat "$folder/messages")" ;; esac
check "with what there was" yes "$([ "$(wc -l < "$folder/out/visits.csv")" -ge "$visits" ] && echo yes)"

# What was visited least comes first: a round that ended with zero's visit is completed before another begins.  The
# baseline has two visits in each round.
second_round() { # second_round LINES: who is visited, if the first round has had these lines of visits.csv
    rm -rf "$folder/out"
    mkdir "$folder/out"
    sed -n "$1" "$folder/visits.csv" > "$folder/out/visits.csv"
    status_of validate --resume --budget 3s --interval 50% > /dev/null
    sed -n 's/^2,.*--policy \([a-z]*\).*/\1/p' "$folder/out/visits.csv" | xargs
}
check "native and lsp are behind" "native lsp" "$(second_round 1,3p)"
check "lsp alone is behind" "lsp" "$(second_round '1,3p; 2p')"

# A cell without room, and its native step, are named and left out; the others are measured.
cat > "$folder/grid" <<'GRID'
flags --seed 3 --gpu-memory 1MiB
tight gpt-tiny 1 32 zero 1.6 0.3 lsp:32:2
flags --seed 3
link gpt-tiny 1 32 zero 1.6 0.3 zero
GRID
rm -rf "$folder/out"
code=$(visit 2)
case $code in 0 | 5 | 6) ;; *) check "a cell without room" "0, 5 or 6" "$code: $(cat "$folder/messages")" ;; esac
check "it is named, once" 1 "$(grep -c 'left out: .*--policy lsp .*does not fit' "$folder/messages")"
check "and so is its native step" 1 "$(grep -c 'left out: .*--policy native: .*does not fit' "$folder/messages")"
check "it is not measured" "no yes" \
    "$(column "$folder/out/cells.csv" measured_s | sed 's/^..*/yes/; s/^$/no/' | xargs)"
check "it is not counted" 1 \
    "$(grep -c '^1 of 2 cells do not fit the device and were left out$' "$folder/out/report.txt")"
check "it is named in the table" 1 "$(grep -c 'lsp 32 2 .* no room$' "$folder/out/report.txt")"
cat > "$folder/grid" <<'GRID'
flags --seed 3 --gpu-memory 1MiB
tight gpt-tiny 1 32 zero 1.6 0.3 lsp:32:2
GRID
rm -rf "$folder/out"
check "no cell with room" 6 "$(status_of validate --budget 3s --interval 50%)"
check "and why" 1 "$(grep -c 'none of 1 cells fits the device; give it more memory' "$folder/messages")"

# A grid in the form of lspo sweep has the same cells.
echo 'link gpt-tiny 1 32 zero 1.6 0.3 zero lsp:32:2' > "$folder/older"
cat > "$folder/newer" <<'GRID'
[link]
model = gpt-tiny
batch = 1
sequence = 32
rates = zero
link-over-gpu = 1.6
cpu-over-gpu = 0.3
policy = zero lsp lora
subspace = 32
nnz = 2
where = policy != lora and batch < 2
GRID
values() { # values GRID: what its cells are and what is predicted of them
    status_of "$program" validate --grid "$folder/$1" --out "$folder/out-$1" --budget 1ms > /dev/null
    for name in group_name policy link_Bps cpu_pps predicted_s flags; do
        column "$folder/out-$1/cells.csv" $name
    done
}
check "the form of sweeps" "$(values older)" "$(values newer)"

finish validate
