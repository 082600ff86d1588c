#!/usr/bin/env bash
# lspo validate --published --fit and --leave-out: known values are found again from steps that the simulator made; what
# the steps do not tell stays at its prior; a source that is left out is predicted by the others; files are whole.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
with_lib() { awk -v OFMT=%.12g -f "$source_dir/bundle/lib.awk" "$@"; }
# column FILE NAME: its values, a line each
column() { with_lib -f "$source_dir/bundle/field.awk" -v name="$2" "$1"; }
near() { # A B SHARE
    awk -v a="$1" -v b="$2" -v s="${3:-1e-6}" 'BEGIN { print (a - b < s * b && b - a < s * b) ? "equal" : a " and " b }'
}
# fitted FOLDER FRAMEWORK KEY: the value as it is written
fitted() { sed -n "s/^$3 = \(.*\) ; fit, .*/\1/p" "$1/$2.ini"; }
sim_s() {
    "$program" sim --format csv --model gpt2-124m --sequence 256 --precision bf16 --checkpointing off \
        --policy native "$@" > "$folder/sim.csv"
    column "$folder/sim.csv" iteration_s
}

# Two sources made with other values of kernel_s, small batches, so that dispatch is most of the time.
header=id,source,kind,framework,gpu,machine,model,batch,sequence,accumulation,precision,checkpointing,policy,flags
header=$header,measured_s,uncertainty
row() { # ID SOURCE FRAMEWORK MACHINE BATCH SIM_FLAG...: a row that took what the simulator says
    local id=$1 source=$2 framework=$3 machine=$4 batch=$5
    shift 5
    echo "$id,$source,native,$framework,g,$machine,gpt2-124m,$batch,256,1,bf16,off,native,,$(sim_s --framework \
        "$framework" --machine "$machine" --batch "$batch" "$@"),low"
}
slow=(--set 'software.kernel_s=96 us')
fast=(--set 'software.kernel_s=45 us')
steps=$folder/steps.csv
{
    echo $header
    row a one eager rtx4090 1 "${slow[@]}"
    row b one eager a100-80gb-sxm 2 "${slow[@]}"
    row c one eager rtx4090 3 "${slow[@]}"
    row d one deepspeed rtx4090 1 "${slow[@]}"
} > "$steps"
fit() { # FOLDER OPTION...
    local to=$folder/$1
    shift
    mkdir -p "$to"
    "$program" validate --published "$steps" --fit "$to" "$@"
}
fit first --format csv > "$folder/first.csv"
found=$(fitted "$folder/first" eager kernel_s)
check "a known value" equal "$(near "${found% us}" 96 0.011)"
check "has three digits" 1 "$(echo "${found% us}" | grep -cE '^[0-9]{2}(\.[0-9])?$')"
check "no adapter, the prior" 4 "$(fitted "$folder/first" eager adapter_factor)"
check "nothing is sent, the prior" 77 "$(fitted "$folder/first" deepspeed cpu_adam_bytes)"
check "names the rows" "#   one: a b c" "$(grep -A1 '^# Fitted to these rows' "$folder/first/eager.ini" | tail -1)"
check "no rows, no names" 0 "$(grep -c 'Fitted to these rows' "$folder/first/deepspeed.ini")"
check "predicts what was fitted" equal "$(near "$(column "$folder/first.csv" predicted_s | head -1)" \
    "$(sim_s --machine rtx4090 --batch 1 --framework "$folder/first/eager.ini")")"
check "a framework takes its base's value" equal "$(near "$(column "$folder/first.csv" predicted_s | tail -1)" \
    "$(sim_s --machine rtx4090 --batch 1 --framework deepspeed --set "software.kernel_s=$found")")"
fit second --format json > "$folder/second.json"
check "the same bytes" "" "$(diff -r "$folder/first" "$folder/second")"
fit second --format table > "$folder/second.txt"
check "and over them" "" "$(diff -r "$folder/first" "$folder/second")"
check "JSON has the values" 1 "$(tr -d '\n' < "$folder/second.json" |
    grep -c '"framework": "eager", *"key": "kernel_s", *"prior": 6e-5, *"value": [0-9.]*e-5, *"rows": 3')"
check "the table, too" "60 us $found 3" "$(awk '$1 == "eager" && $2 == "kernel_s" { print $3, $4, $5, $6, $7 }' \
    "$folder/second.txt")"
check "the sources' frameworks are what it writes from them" "" "$(for name in eager deepspeed; do
    diff <(grep -vE '^# (Fitted|  )|; fit, ' "$source_dir/frameworks/$name.ini") \
        <(grep -vE '^# (Fitted|  )|; fit, ' "$folder/first/$name.ini") || true
done)"

# One row tells nothing.
{ echo $header; row a one eager rtx4090 1 "${slow[@]}"; } > "$steps"
fit single > /dev/null
check "a single row" "60 us" "$(fitted "$folder/single" eager kernel_s)"

# Leave-out: the values of one source predict the other; a framework of one source has its priors.
{
    echo $header
    row a one eager rtx4090 1 "${slow[@]}"
    row b one eager rtx4090 2 "${slow[@]}"
    row c two eager rtx4090 1 "${fast[@]}"
    row d two eager rtx4090 2 "${fast[@]}"
    row e three megatron rtx4090 1 "${slow[@]}"
    row f three megatron rtx4090 2 "${slow[@]}"
} > "$folder/both.csv"
{ echo $header; grep ',two,' "$folder/both.csv"; } > "$steps"
fit two > /dev/null
of_two=$(fitted "$folder/two" eager kernel_s)
steps=$folder/both.csv
"$program" validate --published "$steps" --leave-out --format csv > "$folder/out.csv"
"$program" validate --published "$steps" --leave-out --format json > "$folder/out.json"
"$program" validate --published "$steps" --format csv > "$folder/plain.csv"
left_out() { column "$folder/out.csv" left_out_s | sed -n "$1p"; }
check "left out" equal "$(near "$(left_out 1)" \
    "$(sim_s --machine rtx4090 --batch 1 --framework eager --set "software.kernel_s=$of_two")")"
check "priors" equal "$(near "$(left_out 5)" "$(sim_s --machine rtx4090 --batch 1 --framework megatron \
    --set 'software.kernel_s=60 us' --set software.score_bytes=13)")"
check "the predictions stay" "" "$(diff <(column "$folder/out.csv" predicted_s) \
    <(column "$folder/plain.csv" predicted_s))"
check "without it, nothing is left out" "" "$(column "$folder/plain.csv" left_out_s | tr -d '\n')"
check "errors" equal "$(near "$(column "$folder/out.csv" left_out_error | awk '
    { sum[int((NR - 1) / 2)] += ($1 < 0 ? -$1 : $1) / 2 } END { printf "%.12g", (sum[0] + sum[1] + sum[2]) / 3 }')" \
    "$(sed -n 's/^  "leave_out_mean_of_sources": \(.*\),$/\1/p' "$folder/out.json")")"
check "each source" 3 "$(sed -n '/"leave_out":/,/"cells":/p' "$folder/out.json" | grep -c '"source"')"

# Faults, before anything is written.
refused() { # NAME TEXT OPTION...
    local name=$1 text=$2
    shift 2
    check "$name" 2 "$(status_of "$program" validate --published "$steps" "$@")"
    check "$name: says so" 1 "$(grep -cF -- "$text" "$folder/messages")"
}
refused "no folder" "--fit: there is no folder $folder/none" --fit "$folder/none"
refused "some rows" "--fit is to all rows" --fit "$folder/first" --where source=one
refused "some rows left out" "--leave-out is to all rows" --leave-out --where source=one
cp -r "$folder/first" "$folder/changed"
rm "$folder/changed/deepspeed.ini"
echo 'rms_norm_factor = 2 ; mine' >> "$folder/changed/eager.ini"
cp -r "$folder/changed" "$folder/before"
refused "a changed file" "changed/eager.ini differs from the built-in framework eager" --fit "$folder/changed"
check "is left alone" "" "$(diff -r "$folder/before" "$folder/changed")"
check "needs steps" 2 "$(status_of "$program" validate --grid g --fit "$folder/first")"
check "says which" 1 "$(grep -c -- '--fit needs --published FILE' "$folder/messages")"
finish published_fit
