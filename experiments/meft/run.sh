#!/usr/bin/env bash
# MEFT: an adapter in host memory, of which a batch uses some rows: GPU memory, the rows in use, and what it learns
# beside lora with as much GPU memory.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open meft
here=$experiments_dir/meft
pretrain_model

# LLaMA-7B with the authors' best setting on NQ, and as many parameters in adapters on the GPU: 32 blocks of 2 x 3600 x
# 4096 are those of rank 378 on all linear layers.
llama=(--model llama-7b --machine rtx4090 --precision fp16)
authors=(--adapter-width 3600 --experts 240 --probes 8 --keys 64)
lspo_row "$out/memory.csv" adapters host sim "${llama[@]}" --batch 4 --sequence 256 --policy meft "${authors[@]}"
lspo_row "$out/memory.csv" adapters gpu sim "${llama[@]}" --batch 4 --sequence 256 --policy lora --rank 378
for width in 960 1920 3600 7200 14400; do
    lspo_row "$out/width.csv" width $width sim "${llama[@]}" --batch 4 --sequence 256 --policy meft \
        --adapter-width $width --keys 60
done
for sequence in 16 64 256 1024; do
    lspo_row "$out/tokens.csv" tokens $sequence sim "${llama[@]}" --batch 1 --sequence $sequence --policy meft \
        "${authors[@]}"
done

# Rows in use, by the header of a trace, and trainings, whose times do not matter.
# How alike tokens are is taken from a run of the same model and shape on another part of the text: every other ten
# verses of the King James Bible.  The shorter the sequences, the more of them tell it.  Beside it, on the
# whole of it (the usual text), it is taken from a run with another seed, and so other weights and batches.
command -v bible > /dev/null || die "the program bible (Debian: bible-kjv) is missing"
bible -f gen1:1-rev22:21 < /dev/null | awk -v first="$out/text.first" -v second="$out/text.second" '
    { print > (int(NR / 10) % 2 ? second : first) }'
[ -s "$out/text.second" ] || die "the program bible (Debian: bible-kjv) printed nothing"
used() { # used MODEL BATCH SEQUENCE STEPS ALIKE ARGS...
    local trace=$out/run.$BASHPID
    "$LSPO" run --model "$1" --policy meft --adapter-width 1024 --batch "$2" --sequence "$3" --iterations "$4" \
        --alike "$5" "${@:6}" --timing-only --trace "$trace" > /dev/null || die "a run of $2 x $3 tokens failed"
    awk -F ': ' -v model="$(basename "$1" .ini)" -v tokens=$(($2 * $3)) '
        { value[$1] = $2 }
        END {
            print model "," tokens "," value["# alike"] "," value["# rows expected"] "," value["# tokens alike"] "," \
                value["# rows of such tokens"] "," value["# rows used"] "," value["# alike by rows"]
        }' "$trace"
    rm "$trace"
}
for file in rows seeds; do
    echo model,tokens,planned,expected,alike,of_such_tokens,used,by_rows > "$out/$file.csv"
done
used_again() { # used_again FLAG FIRST SECOND MODEL BATCH SEQUENCE STEPS
    local known
    known=$(used "${@:4}" 0 "$1" "$2" | awk -F, '{ print $8 }')
    used "${@:4}" "$known" "$1" "$3"
}
for model in gpt-tiny gpt-small "$here/models/small-llama.ini"; do
    for shape in "1 16 64" "1 64 32" "1 256 8" "4 256 4"; do
        # shellcheck disable=SC2086 # three words
        beside "$out/rows.csv" used_again --text "$out/text.first" "$out/text.second" "$model" $shape
        # shellcheck disable=SC2086 # two words
        beside "$out/seeds.csv" used_again --seed 2 1 "$model" ${shape% *} 4
    done
done

# A pretrained model goes on with another text.  lora has the largest rank with which it needs no more GPU memory.
workload=(--batch 4 --sequence 128)
bytes_of() { # bytes_of ARGS...: peak GPU memory
    lspo_field peak_gpu_bytes sim --model "$pretrained" --machine host-reference "${workload[@]}" "$@"
}
trained() { # trained WIDTH RANK RATE BYTES ARGS...: names of columns and a row
    local row
    row=$("$LSPO" train --model "$pretrained" --data "$corpus" "${workload[@]}" --steps $steps --learning-rate "$3" \
        "${@:5}" --format csv) || die "a training failed"
    printf 'width,rank,rate,planned_bytes,%s\n%s,%s\n' "${row%%$'\n'*}" "$1,$2,$3,$4" "${row#*$'\n'}"
}
steps=40 widths=512
[ "$EXPERIMENTS" != full ] || { steps=400 widths="128 512 2048"; }
for width in $widths; do
    bytes=$(bytes_of --policy meft --adapter-width "$width")
    rank=$(largest_rank "$bytes" bytes_of --policy lora --rank)
    lora_bytes=$(bytes_of --policy lora --rank "$rank")
    for rate in 0.001 0.004; do
        beside "$out/training.csv" trained "$width" "$rank" $rate "$bytes" --policy meft --adapter-width "$width"
        beside "$out/training.csv" trained "$width" "$rank" $rate "$lora_bytes" --policy lora --rank "$rank"
    done
done
beside_all
rm "$out"/text.*
sed -i '2,${/^width,/d}' "$out/training.csv" # one header
judge meft
plot meft "$out/meft"
