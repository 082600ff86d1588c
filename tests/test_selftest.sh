#!/usr/bin/env bash
# bundle/selftest to its end in made-up boxes, whose GPU is `lspo sim`: what does not fit there is refused, and what
# fits takes the simulated time.  Boxes with 24 GB, with 4 GB, without bf16, and with two GPUs; a step that fails;
# Ctrl-C, and again.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
awk_csv() { awk -f "$source_dir/bundle/lib.awk" "$@"; }

box="$folder/a box"
mkdir -p "$box/share" "$box/bin" "$folder/path"
cp "$source_dir"/bundle/* "$box/share/"
mv "$box/share/selftest" "$box/"
echo "made up" > "$box/MANIFEST"
echo "a text" > "$box/share/text"

# Torch is not there, and a sanitizer finds nothing.
printf '#!/bin/sh\nexit 1\n' > "$folder/path/python3"
printf '#!/bin/sh\nexit 0\n' > "$folder/path/compute-sanitizer"
printf '#!/bin/sh\nexit 0\n' > "$box/bin/test_made_up_device"
cat > "$box/bin/bench_cuda" << BENCH
#!/bin/sh
echo "copy on the card"
[ ! -e "$folder/broken" ] || exit 1
BENCH

cat > "$box/bin/lspo" << 'STAND_IN'
#!/bin/bash
# A GPU that BOX_MACHINE describes; BOX_NAMES are the names of the box's GPUs, BOX_GIB the memory of each.
value_of() { # value_of --NAME ARGS...
    local name=$1
    shift
    while [ $# -gt 1 ]; do
        [ "$1" != "$name" ] || { echo "$2"; return; }
        shift
    done
}
echo "$CUDA_VISIBLE_DEVICES $*" >> "$BOX_CALLS"
case $1 in
list)
    [ "$2" != policies ] || { "$BOX_LSPO" "$@" | grep -E "$BOX_POLICIES"; exit; }
    [ "$2" = devices ] || exec "$BOX_LSPO" "$@"
    echo name,core_count,place,description
    number=0
    for name in $BOX_NAMES; do
        echo "cuda:$number,8,0000:0$number:00.0,\"${name//_/ }, $BOX_GIB GiB, compute capability 8.9\""
        number=$((number + 1))
    done ;;
show) exec "$BOX_LSPO" "$@" ;;
calibrate) echo measured > "$(value_of -o "$@")" ;;
validate)
    out=$(value_of --out "$@")
    mkdir -p "$out"
    printf '%s\n' predicted_s,measured_s,disturbed 1,1.04,false 1,2,true 1,1.25,false 1.01,1,false 1,, \
        > "$out/cells.csv"
    exit 5 ;;
run)
    [ "$(value_of --precision "$@")" != bf16 ] || [ "$BOX_BF16" = yes ] || { echo "no bf16 here" >&2; exit 2; }
    trace=$(value_of --trace "$@") model=$(value_of --model "$@") policy=$(value_of --policy "$@")
    if [ "$model" = "${BOX_SLOW-}" ]; then
        echo $$ > "$BOX_SLEEPER"
        sleep 60
    fi
    [ "$model $policy" != "${BOX_BROKEN-none}" ] || { echo "it is broken" >&2; exit 1; }
    [ -z "$trace" ] || echo a trace > "$trace"
    if [ "$model" = gpt-tiny ]; then
        printf 'policy,iteration_s,loss_last,held_out_after\nany,0.5,3.25,3.5\n'
        exit
    fi
    shift
    words=(--machine "$BOX_MACHINE" --gpu-memory "${BOX_GIB}GiB")
    while [ $# -gt 0 ]; do
        case $1 in
        --device | --text | --trace | --format) shift ;;
        --gpu-memory) [ "${2%GiB}" -ge "$BOX_GIB" ] || words+=("$1" "$2"); shift ;;
        --timing-only) ;;
        *) words+=("$1") ;;
        esac
        shift
    done
    # The last --gpu-memory is the one that counts.
    [[ ${words[*]:4} != *--gpu-memory* ]] || words=("${words[@]:0:2}" "${words[@]:4}")
    text=$("$BOX_LSPO" sim "${words[@]}" --format csv) || exit
    case $(echo "$text" | awk -f "$BOX_SHARE/lib.awk" -f "$BOX_SHARE/field.awk" -v name=fits) in
    true) echo "$text" ;;
    *) echo "lspo: error: it does not fit" >&2; exit 4 ;;
    esac ;;
esac
STAND_IN
chmod +x "$box"/bin/* "$folder"/path/*

# in_box MACHINE GIB BF16 NAMES ARGS...
in_box() {
    machine=$1 gib=$2 bf16=$3 names=$4
    shift 4
    env -i PATH="$folder/path:/usr/bin:/bin" HOME="$folder" LC_ALL=C BOX_LSPO="$program" BOX_MACHINE="$machine" \
        BOX_GIB="$gib" BOX_BF16="$bf16" BOX_NAMES="$names" BOX_SHARE="$box/share" BOX_CALLS="$folder/calls" \
        BOX_POLICIES="${policies-^(name|native|lsp),}" BOX_SLOW="${slow-}" BOX_SLEEPER="$folder/sleeper" \
        BOX_BROKEN="${broken-none}" \
        "$box/selftest" --out "$folder/the results" "$@"
}
last_line() { tail -n 1 "$folder/stdout"; }
list_of() { last_line | grep -o "$1:[^;]*" | sed 's/^[^:]*: *//'; }
results() { echo "$folder/the results/$1"; }
no_torch="torch_llama_3b torch_gpt2_774m torch_gpt2_1_3b torch_llama_7b"

# ---- a card with 24 GB: the native step of 3B and of 7B does not fit ----

large() { in_box rtx4090 24 yes NVIDIA_GeForce_RTX_4090 "$@"; }
check "no time: nothing is run" 4 "$(status_of large --minutes 0)"
check "all is left" 15 "$(list_of 'left for another run' | wc -w)"
touch "$folder/broken"
broken="gpt2-1.3b zero-layerwise"
policies=.
check "steps that fail" 1 "$(status_of large)"
unset policies
check "which" "roofline fig7_gpt2_1_3b" "$(list_of failed)"
out=$(results nvidia-geforce-rtx-4090)
check "losses of every policy" "$((2 * $("$program" list policies --format csv | grep -c "^[^,]*,train,")))" \
    "$(grep -c '^holds' "$out/losses.log")"
check "the failed cell is missing; lsp at 2048 has no room" 5 "$(grep -c '^gpt2-1.3b ' "$out/fig7.csv")"
rm "$folder/broken"
broken=
before=$(wc -l < "$folder/calls")
check "again, and all is well" 0 "$(status_of large)"
check "it says what was skipped" "$no_torch" "$(list_of skipped)"
check "and what was measured" "tests losses fig7_llama_3b fig7_gpt2_774m calibrate validate roofline sms \
fig7_gpt2_1_3b fig7_llama_7b sanitizer" "$(list_of measured)"
check "nothing failed, nothing is left" "none none" "$(list_of failed) $(list_of 'left for another run')"
check "only what was missing is run" "gpt2-1.3b" \
    "$(tail -n +$((before + 1)) "$folder/calls" | grep -e ' run .*--trace' | grep -o -e '--model [^ ]*' |
        sed 's/.* //' | sort -u | xargs)"
check "two depths of the native step" 2 "$(grep -c '^llama-3b native of [0-9]* blocks,' "$out/fig7.csv")"
# The simulated step is linear in the number of blocks, so that what is extrapolated is what sim says of all of them.
wanted=$("$program" sim --machine rtx4090 --model llama-3b --policy native --batch 16 --sequence 512 --precision bf16 \
    --format csv | awk_csv -f "$source_dir/bundle/field.awk" -v name=iteration_s)
got=$(sed -n 's/.*extrapolated to 26 blocks from .*: \([0-9.]*\) s/\1/p' "$out/fig7_llama_3b.log")
ratio=$(awk -v got="$got" -v wanted="$wanted" 'BEGIN { printf "%.3f", got / wanted }')
check "the native step is extrapolated" 1.000 "$ratio"
check "lsp is compared with it" 1 \
    "$(grep -cE '^(goal|misses) lsp d=512 within 5 % of native \(extrapolated\)' "$out/fig7_llama_3b.log")"
check "and with what was measured" 1 \
    "$(grep -cE '^(goal|misses) lsp d=512 within 5 % of native: ' "$out/fig7_gpt2_774m.log")"
check "FLOPs are counted both ways" 1 "$(grep -c 'by 8 N per token .* by 6 N' "$out/fig7_gpt2_774m.log")"
check "errors leave out what was disturbed and what has no room" "misses goal misses" \
    "$(grep -oE '^(goal|misses)' "$out/validate.log" | xargs)"
check "median of 1/1.04, 1/1.25 and 1.01" 1 "$(grep -c 'at most 5 %: 3.8 %' "$out/validate.log")"
before=$(wc -l < "$out/commands")
check "once more: nothing is left to do" "0 $before" "$(status_of large) $(wc -l < "$out/commands")"

# ---- 4 blocks, whose eighths from 6 to 1 are 3, 2, 2, 1, 1 and 0 blocks: with room for two, 2 and 1 count ----

"$program" show model llama-3b --format ini |
    sed -e 's/^blocks = .*/blocks = 4/' -e 's/^name = .*/name = four/' > "$folder/four.ini"
four() {
    cd "$folder" && env measured=0 failed_cells=0 DEVICE=cuda PRECISION=bf16 OUT="$folder/four" \
        CUDA_VISIBLE_DEVICES=0 BOX_LSPO="$program" BOX_MACHINE=rtx4090 BOX_GIB=8 BOX_BF16=yes \
        BOX_SHARE="$box/share" BOX_CALLS="$folder/calls" "$box/selftest" --call native four.ini 1
}
(four) > "$folder/stdout" 2> "$folder/messages" || true
check "two different depths" "native of 2 blocks,native of 1 blocks" \
    "$(sed -n 's/^four.ini \(native of [0-9]* blocks\),.*/\1/p' "$folder/four/fig7.csv" | paste -sd ,)"

# ---- 4 GB ----

small() { in_box rtx3050-laptop 4 yes NVIDIA_GeForce_RTX_3050_Laptop_GPU "$@"; }
check "a card with 4 GB: what does not fit is no failure" 0 "$(status_of small)"
out=$(results nvidia-geforce-rtx-3050-laptop-gpu)
check "models without room are skipped" "fig7_llama_3b fig7_llama_7b" \
    "$(list_of skipped | tr ' ' '\n' | grep fig7 | xargs)"
check "smaller ones are measured" "fig7_gpt2_774m fig7_gpt2_1_3b" \
    "$(list_of measured | tr ' ' '\n' | grep fig7 | xargs)"
check "it says which cells have no room" yes \
    "$(grep -q 'no room for llama-3b lsp d=512' "$out/fig7_llama_3b.log" && echo yes)"

# ---- compute capability 7.5: no bf16 ----

turing() { in_box t4 15 no Tesla_T4 "$@"; }
check "a card without bf16" 0 "$(status_of turing)"
out=$(results tesla-t4)
check "its format" 0 "$(grep -c bf16 "$out/commands")"
check "also that of the grid" "flags --iterations 7 --precision fp16" "$(grep '^flags' "$out/grid")"

# ---- two GPUs, the second one wanted; Ctrl-C reaches the group of the terminal, which a step is not in ----

(
    slow=gpt2-774m
    export -f in_box
    export folder box program slow
    exec setsid env --default-signal=INT bash -c 'in_box a6000 48 yes "Tesla_T4 NVIDIA_RTX_A6000" --device cuda:1'
) > "$folder/stdout" 2> "$folder/messages" &
pid=$!
for _ in $(seq 300); do
    [ ! -s "$folder/sleeper" ] || break
    sleep 0.1
done
kill -INT -- "-$pid"
status=0
wait "$pid" || status=$?
check "Ctrl-C" 130 "$status"
ran=/proc/$(cat "$folder/sleeper")/status
check "what ran is gone" gone "$([ -e "$ran" ] && ! grep -q '^State:.Z' "$ran" || echo gone)"
check "the step is left, with all after it" "fig7_gpt2_774m torch_gpt2_774m calibrate" \
    "$(list_of 'left for another run' | cut -d ' ' -f 1-3)"
out=$(results nvidia-rtx-a6000)
check "the results are the second GPU's" yes "$([ -s "$out/fig7.csv" ] && echo yes)"
check "which alone is seen" "1" "$(grep -- '--model llama-3b' "$folder/calls" | tail -n 1 | cut -d ' ' -f 1)"
two() { in_box a6000 48 yes "Tesla_T4 NVIDIA_RTX_A6000" --device cuda:1 "$@"; }
check "again, to the end" 0 "$(status_of two)"
check "the steps before were kept" 4 "$(grep -c 'before$' "$folder/stdout")"
check "bad usage" 2 "$(status_of two --minutes soon)"
check "a device that is none" 2 "$(status_of in_box a6000 48 yes x --device gpu)"

finish selftest
