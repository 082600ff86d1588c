#!/usr/bin/env bash
# mixture.sh OUT FOLDER...: a folder OUT of a Mixtral whose experts are the MLPs of dense Llamas of equal shapes, a
# Hugging Face folder each (one model.safetensors in fp32, as lspo train --export writes it); all else is that of the
# first.  Two experts read each token.  A router is no training's: each of its weights is 1/8 or -1/8, by a fixed draw,
# so that it sends tokens to all experts, and the same token always to the same ones.
set -euo pipefail
export LC_ALL=C
out=$1
shift
models=("$@")
mkdir -p "$out"

# Tensors of a folder: name, shape, begin and bytes in the file.
tensors_of() {
    local file=$1/model.safetensors header
    header=$(($(od -An -tu8 -N8 "$file")))
    head -c $((8 + header)) "$file" | tail -c "$header" | grep -oE '"[^"]*": *\{[^{}]*"data_offsets"[^{}]*\}' |
        awk -v first=$((9 + header)) '{
            name = shape = offsets = $0
            sub(/^"/, "", name); sub(/".*/, "", name)
            sub(/.*"shape": *\[/, "", shape); sub(/\].*/, "", shape); gsub(/ /, "", shape)
            sub(/.*"data_offsets": *\[/, "", offsets); sub(/\].*/, "", offsets); split(offsets, at, ",")
            if ($0 ~ /"dtype": *"F32"/) printf "%s %s %d %d\n", name, shape, first + at[1], at[2] - at[1] }'
}

number() { sed -nE "s/.*\"$1\": *([0-9]+).*/\1/p" "${models[0]}/config.json"; }
width=$(number hidden_size)
parts=$out/parts entries=$out/entries offset=0
: > "$parts"
: > "$entries"
add() { # NAME SHAPE FILE BEGIN BYTES
    printf ',"%s":{"dtype":"F32","shape":[%s],"data_offsets":[%d,%d]}' "$1" "$2" $offset $((offset + $5)) >> "$entries"
    head -c $(($4 - 1 + $5)) "$3" | tail -c "$5" >> "$parts"
    offset=$((offset + $5))
}

tensors_of "${models[0]}" > "$out/tensors"
[ -s "$out/tensors" ] || { echo "mixture.sh: no tensors in fp32 in ${models[0]}/model.safetensors" >&2; exit 1; }
while read -r name shape begin bytes; do
    layer=${name%%.mlp.*}
    case $name in
    *.mlp.gate_proj.weight) of=w1 ;;
    *.mlp.up_proj.weight) of=w3 ;;
    *.mlp.down_proj.weight) of=w2 ;;
    *)
        add "$name" "$shape" "${models[0]}/model.safetensors" "$begin" "$bytes"
        continue
        ;;
    esac
    for i in "${!models[@]}"; do
        add "$layer.block_sparse_moe.experts.$i.$of.weight" "$shape" "${models[i]}/model.safetensors" "$begin" "$bytes"
    done
    [ "$of" = w1 ] || continue
    # 0.125 and -0.125 are the bytes 0 0 0 3e and 0 0 0 be.  x <- 16807 x mod 2^31 - 1, which is exact in each awk.
    awk -v count=$((${#models[@]} * width)) -v x=$((offset % 2147483646 + 1)) 'BEGIN {
        for (i = 0; i < count; i++) {
            x = x * 16807 % 2147483647
            printf "%s", x < 1073741824 ? "\\0\\0\\0\\x3e" : "\\0\\0\\0\\xbe"
        }
    }' > "$out/escapes"
    # shellcheck disable=SC2059 # bytes
    printf "$(cat "$out/escapes")" > "$out/router"
    add "$layer.block_sparse_moe.gate.weight" "${#models[@]},$width" "$out/router" 1 $((4 * ${#models[@]} * width))
done < "$out/tensors"

header="{\"__metadata__\":{\"format\":\"pt\"}$(cat "$entries")}"
while [ $((${#header} % 8)) != 0 ]; do header+=' '; done
{
    for shift in 0 8 16 24 32 40 48 56; do
        # shellcheck disable=SC2059 # a byte
        printf "$(printf '\\x%02x' $((${#header} >> shift & 255)))"
    done
    printf '%s' "$header"
    cat "$parts"
} > "$out/model.safetensors"
sed -E "s/\"model_type\": *\"[a-z0-9]*\"/\"model_type\": \"mixtral\", \"num_local_experts\": ${#models[@]}, \
\"num_experts_per_tok\": 2/" "${models[0]}/config.json" > "$out/config.json"
rm -f "$parts" "$entries" "$out/tensors" "$out/escapes" "$out/router"
