#!/usr/bin/env bash
# lspo validate --published: its predictions are those of lspo sim, its scores those of its rows, and a row with a fault
# is an error that names it.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
with_lib() { awk -v OFMT=%.12g -f "$source_dir/bundle/lib.awk" "$@"; }
# column FILE NAME: its values, a line each
column() { with_lib -f "$source_dir/bundle/field.awk" -v name="$2" "$1"; }
sim_s() { "$program" sim --format csv "$@" > "$folder/sim.csv"; column "$folder/sim.csv" iteration_s; }
sim_bytes() { column "$folder/sim.csv" "$1"; } # of the last sim_s
add() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.12g", a + b }'; }
near() { awk -v a="$1" -v b="$2" 'BEGIN { print (a - b < 1e-6 * b && b - a < 1e-6 * b) ? "equal" : a " and " b }'; }

steps=$folder/theirs/steps.csv
mkdir -p "$folder/theirs/machines"
cp "$source_dir/models/gpt-small.ini" "$folder/theirs/mine.ini"
# A card that lspo has under this name, at a tenth of the rate; another that it does not have.
for name in rtx3060 nobodys; do
    printf '[machine]\nbase = rtx4090\nname = %s\n[gpu]\ngemm_bf16_flops = 5 TFLOP/s\n[link]\nh2d_Bps = 3 GB/s\n' \
        $name > "$folder/theirs/machines/$name.ini"
done
header=id,source,kind,framework,gpu,machine,model,batch,sequence,accumulation,precision,checkpointing,policy,flags
header=$header,measured_s
flags="\"--set 'link.d2h_Bps=2 GB/s' --clip 1\""
cat > "$steps" <<CSV
$header,note
plain,one,native,eager,RTX 4090,rtx4090,gpt2-124m,2,512,3,bf16,on,native,,0.1,
flags,one,offload,eager,RTX 4090,rtx4090,gpt2-124m,2,512,3,bf16,on,zero,$flags,0.5,"a, b"
file,two,native,eager,none,rtx4090,mine.ini,2,64,1,bf16,off,native,,0.01,
micro,two,micro,eager,none,rtx4090,gpt2-124m,2,512,7,bf16,on,native,,0.02,
theirs,two,native,eager,3060,machines/rtx3060.ini,gpt2-124m,2,512,3,bf16,on,native,,0.2,
nobodys,two,offload,eager,no card,machines/nobodys.ini,gpt2-124m,2,512,3,bf16,on,zero,,0.7,
CSV
printf 'id,peak_gpu_GiB\nplain,4\nflags,0.01\n' > "$folder/theirs/memory.csv"
validate() { "$program" validate --published "$steps" "$@"; }
validate --format csv > "$folder/out.csv"
cat > "$folder/value.awk" <<'AWK'
FNR == 1 { csv_header($0); next }
{ csv_row($0); if (get("id") == id) print get(name) }
AWK
# value ID COLUMN
value() { with_lib -f "$folder/value.awk" -v id="$1" -v name="$2" "$folder/out.csv"; }

# Predictions.
run=(--framework eager --model gpt2-124m --batch 2 --sequence 512 --precision bf16 --checkpointing on)
check "a preset" equal "$(near "$(value plain predicted_s)" \
    "$(sim_s --machine rtx4090 "${run[@]}" --accumulation 3 --policy native)")"
context=$("$program" show machine rtx4090 --format csv |
    with_lib -f "$source_dir/bundle/field.awk" -v name=value -v where=key -v is=gpu.context_bytes)
check "its peak" equal "$(near "$(value plain peak_gpu_bytes)" $(add "$(sim_bytes peak_gpu_bytes)" "$context"))"
check "and its bound" equal "$(near "$(value plain peak_gpu_bound_bytes)" \
    $(add "$(sim_bytes peak_gpu_bound_bytes)" "$context"))"
check "flags, split like a shell" equal "$(near "$(value flags predicted_s)" \
    "$(sim_s --machine rtx4090 "${run[@]}" --accumulation 3 --policy zero --set 'link.d2h_Bps=2 GB/s' --clip 1)")"
check "a model beside the file" equal "$(near "$(value file predicted_s)" \
    "$(sim_s --machine rtx4090 --framework eager --model gpt-small \
        --batch 2 --sequence 64 --precision bf16 --checkpointing off --policy native)")"
few=$(sim_s --machine rtx4090 "${run[@]}" --accumulation 4 --policy native)
many=$(sim_s --machine rtx4090 "${run[@]}" --accumulation 12 --policy native)
check "one more micro-batch" equal "$(near "$(value micro predicted_s)" \
    "$(awk -v few="$few" -v many="$many" 'BEGIN { printf "%.12g", (many - few) / 8 }')")"

# lspo's own card takes the place of the file's, with the file's link; a file without such a card stays as it is.
printf '[machine]\nbase = rtx4090\ncard = rtx3060\nname = other\n[link]\nh2d_Bps = 3 GB/s\n' > "$folder/other.ini"
check "lspo's own card" equal "$(near "$(value theirs predicted_s)" \
    "$(sim_s --machine "$folder/other.ini" "${run[@]}" --accumulation 3 --policy native)")"
check "is marked" "project file preset" "$(value theirs card) $(value nobodys card) $(value plain card)"
check "a card that lspo does not have" equal "$(near "$(value nobodys predicted_s)" \
    "$(sim_s --machine "$folder/theirs/machines/nobodys.ini" "${run[@]}" --accumulation 3 --policy zero)")"
check "only here" 5e+12 "$("$program" show machine "$folder/theirs/machines/rtx3060.ini" --format csv |
    with_lib -f "$source_dir/bundle/field.awk" -v name=value -v where=key -v is=gpu.gemm_bf16_flops)"

# Errors and scores.
check "error" equal "$(near "$(awk -v e="$(value flags error)" 'BEGIN { printf "%.12g", e + 1 }')" \
    "$(awk -v p="$(value flags predicted_s)" 'BEGIN { printf "%.12g", p / 0.5 }')")"
check "peak error" equal "$(near "$(awk -v e="$(value plain peak_error)" 'BEGIN { printf "%.12g", e + 1 }')" \
    "$(awk -v p="$(value plain peak_gpu_bytes)" 'BEGIN { printf "%.12g", p / (4 * 2 ^ 30) }')")"
check "peaks above the bound" "true false" "$(value plain above_bound) $(value flags above_bound)"
check "no peak, no error" "" "$(value micro peak_error)"
check "a text with a comma" "a, b" "$(value flags note)"
validate --format json > "$folder/out.json"
score() { sed -n "s/^  \"$1\": \(.*\),\$/\1/p" "$folder/out.json"; }
check "mape" equal "$(near "$(score mape)" "$(column "$folder/out.csv" error |
    awk '{ sum += $1 < 0 ? -$1 : $1 } END { printf "%.12g", sum / NR }')")"
check "counts" "6 1 0 2 1" \
    "$(score rows) $(score order_pairs) $(score card_pairs) $(score memory_rows) $(score memory_bound_exceeded)"
check "one object" 6 "$(grep -c '"predicted_s"' "$folder/out.json")"
check "the same twice" "" "$(validate --format json | diff - "$folder/out.json")"
check "a report" "6 published steps of 2 sources:" "$(validate --format table | head -1 | cut -c1-31)"
check "says whose card" 1 "$(validate --format table | grep -c "rtx3060.ini: card of lspo's own rtx3060; host")"
check "some rows" "micro" "$(validate --format csv --where kind=micro > "$folder/some.csv"
    column "$folder/some.csv" id)"
check "no such row" 2 "$(status_of validate --where source=three)"
mv "$folder/theirs/memory.csv" "$folder/peaks.csv"
check "no peaks" 1 "$(validate --format json | grep -c '"memory_rows": 0,')"
check "named peaks" 1 "$(validate --memory "$folder/peaks.csv" --format json | grep -c '"memory_rows": 2,')"
printf 'id,counts,peak_gpu_GiB\nplain,allocated,3\nflags,device,0.01\n' > "$folder/counted.csv"
validate --memory "$folder/counted.csv" --format csv > "$folder/out.csv"
check "peaks of what is allocated" equal "$(near "$(awk -v e="$(value plain peak_error)" \
    'BEGIN { printf "%.12g", e + 1 }')" \
    "$(awk -v p="$(value plain gpu_tensor_bytes)" 'BEGIN { printf "%.12g", p / (3 * 2 ^ 30) }')")"
check "are less than those of the process" 1 \
    "$(awk -v a="$(value plain gpu_tensor_bytes)" -v p="$(value plain peak_gpu_bytes)" 'BEGIN { print a < p }')"
check "beside peaks of the process" equal "$(near "$(awk -v e="$(value flags peak_error)" \
    'BEGIN { printf "%.12g", e + 1 }')" \
    "$(awk -v p="$(value flags peak_gpu_bytes)" 'BEGIN { printf "%.12g", p / (0.01 * 2 ^ 30) }')")"
sed -i s/allocated/reserved/ "$folder/counted.csv"
check "peaks of something else" 2 "$(status_of validate --memory "$folder/counted.csv")"
check "says which" 1 "$(grep -c "counted.csv:2: column counts: 'reserved'" "$folder/messages")"
check "no such file of peaks" 2 "$(status_of validate --memory "$folder/none.csv")"

# A fault anywhere is an error before anything is printed: line, column and value.
fault() { # fault NAME ROW TEXT...: each TEXT is in the messages
    local name=$1
    printf '%s\nfine,one,native,eager,g,rtx4090,gpt2-124m,1,64,1,bf16,on,native,,1\n%s\n' "$header" "$2" \
        > "$folder/theirs/fault.csv"
    shift 2
    check "$name: status" 2 "$(status_of "$program" validate --published "$folder/theirs/fault.csv")"
    check "$name: output" "" "$(cat "$folder/stdout")"
    for text in "fault.csv:3" "$@"; do
        check "$name: says $text" 1 "$(grep -cF -- "$text" "$folder/messages" | sed 's/[2-9]/1/')"
    done
}
fault "unknown model" "b,one,native,eager,g,rtx4090,gpt2-124,1,64,1,bf16,on,native,,1" "column model: 'gpt2-124'" \
    "did you mean gpt2-124m?"
fault "no model file" "b,one,native,eager,g,rtx4090,models/x.ini,1,64,1,bf16,on,native,,1" "column model: there is no"
fault "unknown machine" "b,one,native,eager,g,rtx4091,gpt2-124m,1,64,1,bf16,on,native,,1" "column machine: 'rtx4091'"
fault "broken machine" "b,one,native,eager,g,broken.ini,gpt2-124m,1,64,1,bf16,on,native,,1" "column machine: there is"
fault "long sequence" "b,one,native,eager,g,rtx4090,gpt2-124m,1,9999,1,bf16,on,native,,1" "9999" "1024"
fault "bad number" "b,one,native,eager,g,rtx4090,gpt2-124m,1,64,1,bf16,on,native,,fast" "column measured_s: 'fast'"
fault "bad batch" "b,one,native,eager,g,rtx4090,gpt2-124m,0,64,1,bf16,on,native,,1" "column batch: '0'" "4294967295"
fault "unknown flag" "b,one,native,eager,g,rtx4090,gpt2-124m,1,64,1,bf16,on,native,--clap 1,1" "--clap"
fault "foreign flag" "b,one,native,eager,g,rtx4090,gpt2-124m,1,64,1,bf16,on,native,--rank 4,1" "--rank"
fault "a column's flag" "b,one,native,eager,g,rtx4090,gpt2-124m,1,64,1,bf16,on,native,--batch=4,1" "'--batch=4' has a"
fault "open quote" "b,one,native,eager,g,rtx4090,gpt2-124m,1,64,1,bf16,on,native,--clip '1,1" "has no end"
fault "same id" "fine,one,native,eager,g,rtx4090,gpt2-124m,1,64,1,bf16,on,native,,1" "column id: 'fine'" "line 2"
printf 'id,source\na,b\n' > "$folder/fault.csv"
check "missing column" 2 "$(status_of "$program" validate --published "$folder/fault.csv")"
check "is named" 1 "$(grep -c 'fault.csv:1: the column kind is missing; needed are id, source, kind' \
    "$folder/messages")"
check "options of a grid" 2 "$(status_of validate --budget 1s)"
check "are refused" 1 "$(grep -c -- '--budget does nothing with --published' "$folder/messages")"
check "options of published steps" 2 "$(status_of "$program" validate --grid g --where id=a)"
finish published
