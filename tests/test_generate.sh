#!/bin/bash
# Every command of docs/generation.md and docs/serving.md, in order, with a smaller model in place of the gpt-tiny that
# they train (LSPO_AS_PRINTED=1: with that); then what they must have written, and what does not depend on threads, on
# formats and on where the prompt comes from; an interrupted text, and a folder with a tokenizer.
set -eu
. "$(dirname "$0")/lib.sh"
PATH=$(dirname "$program"):$PATH
export PATH
cd "$folder"

# For these commands: a folder of a Mixtral, whose four experts are MLPs of one Llama that has learned letters.txt.
printf '%s\n' '[model]' name=dense family=llama blocks=2 width=64 heads=4 kv_heads=2 mlp_width=128 vocabulary=256 \
    max_sequence=256 >dense.ini
for _ in $(seq 1 400); do printf 'abcdefg '; done >letters.txt
lspo train --model dense.ini --policy native --data letters.txt --sequence 32 --batch 8 --steps 60 \
    --learning-rate 5e-3 --export dense >/dev/null 2>&1
"$source_dir/experiments/qmoe/mixture.sh" mixtral dense dense dense dense
# Its routers are the same draw whichever awk there is: x <- 16807 x mod 2^31 - 1, from where they are in the file on;
# 1/8 (3e000000) where x < 2^30, else -1/8.
stored=mixtral/model.safetensors
header=$(($(od -An -tu8 -N8 "$stored")))
head -c $((8 + header)) "$stored" | grep -aoE 'gate\.weight":\{[^}]*' | sed 's/.*\[\([0-9]*\),.*/\1/' >routers
check "routers" 2 "$(wc -l <routers)"
while read -r begin; do
    x=$((begin % 2147483646 + 1)) wanted=
    for ((i = 0; i < 4 * 64; i++)); do
        x=$((x * 16807 % 2147483647))
        wanted+=$((x < 1 << 30 ? 3 : 5))
    done
    check "the router at $begin" "$wanted" "$(tail -c +$((9 + header + begin)) "$stored" | head -c 1024 |
        od -An -v -tx4 -w4 | sed 's/ 3e000000/3/; s/ be000000/5/' | tr -d '\n')"
done <routers

sed -n '/^```sh$/,/^```$/{/^```/!p}' "$source_dir/docs/generation.md" "$source_dir/docs/serving.md" >commands.sh
[ "$(grep -c 'lspo generate' commands.sh)" -ge 4 ] && [ "$(grep -c 'lspo serve' commands.sh)" -ge 3 ] ||
    fail "docs/generation.md or serving.md has lost its commands"
printf '%s\n' '[model]' name=small family=gpt blocks=3 width=128 heads=4 kv_heads=4 mlp_width=512 vocabulary=256 \
    max_sequence=256 tied_head=true >small.ini
[ -n "${LSPO_AS_PRINTED:-}" ] || sed -Ei 's/^(lspo (train|generate) --model) gpt-tiny /\1 small.ini /' commands.sh
[ -n "${LSPO_AS_PRINTED:-}" ] || grep -q small.ini commands.sh || fail "docs/generation.md has lost its model"
bash -eu commands.sh >commands.out 2>&1 || fail "a command of the documents: $(tail -5 commands.out)"

# The model has learned its text; the documentation shows the answer.
check "the answer" "defg abcdefg abc" "$(cat answer.txt)"
grep -q '^    defg abcdefg abc$' "$source_dir/docs/generation.md" || fail "docs/generation.md shows another answer"
check "the answer to standard input" '  "text": "defg abcdefg abc"' "$(grep '"text"' answer.json)"
check "its prompt" '  "prompt_tokens": 11,' "$(grep '"prompt_tokens"' answer.json)"
[ "$(wc -c <drawn.txt)" -gt 30 ] || fail "40 tokens give $(wc -c <drawn.txt) bytes"

# Checkpoints of trainings in other places and formats, and those that are no answer.
check "the answer of a checkpoint" "defg abcdefg abc" "$(cat checkpoint.txt)"
# The preset has no norm_epsilon of its own, the folder that was made of it the usual one.
check "the same with the folder's shapes" "defg abcdefg abc" \
    "$(lspo generate --model letters --checkpoint run1 --prompt "abcdefg abc" --tokens 16 2>"$folder/messages")"
lspo train --model letters --policy lora --rank 2 --data letters.txt --sequence 32 --steps 1 --output adapters \
    >/dev/null 2>&1
mkdir none
cp -r run1 damaged
dd if=/dev/zero of="$(echo damaged/step-*60/state.safetensors)" bs=1000 seek=20 count=4000 conv=notrunc 2>/dev/null
for case in "adapters/the training was of adapters" "none/has no checkpoint" "missing/No such file" \
    "damaged/damaged"; do
    code=$(status_of lspo generate --model gpt-tiny --checkpoint "${case%%/*}" --prompt abc)
    check "checkpoint ${case%%/*}" "2 1" "$code $(grep -c "${case#*/}" "$folder/messages")"
done
code=$(status_of lspo generate --model gpt-small --checkpoint run1 --prompt abc)
check "a checkpoint of another model" "2 1" "$code $(grep -c 'the training was of a model with' "$folder/messages")"

perplexity_of() { # MODEL FLAGS...
    lspo generate --model "$1" --perplexity letters.txt --format json "${@:2}" >perplexity.json
    number perplexity perplexity.json
}
answer_of() { # MODEL FLAGS...
    lspo generate --model "$1" --prompt "abcdefg abc" --tokens 16 "${@:2}" 2>/dev/null
}

# In 4 bits: the same answer, and nearly the same perplexity, from less memory.
check "the answer of rounded weights" "defg abcdefg abc" "$(cat rounded.txt)"
check "the answer of calibrated weights" "defg abcdefg abc" "$(cat calibrated.txt)"
number() { # FIELD FILE
    sed -n "s/.*\"$1\": \([-+0-9.e]*\),.*/\1/p" "$2"
}
awk -v fp16="$(number perplexity fp16.json)" -v int4="$(number perplexity int4.json)" \
    'BEGIN { exit !(fp16 > 1 && int4 > 1 && int4 < 1.02 * fp16 && int4 > 0.98 * fp16) }' ||
    fail "perplexity $(number perplexity fp16.json), in 4 bits $(number perplexity int4.json)"
check "what is recorded" '  "weights": "int4",   "quantizer": "rtn",   "group": "128",   "seed": null,' \
    "$(grep -E '"(weights|quantizer|group|seed)"' int4.json | paste -sd ' ')"
lspo generate --model dense --weights int4 --quantizer gptq --calibration letters.txt --group column --seed 3 \
    --perplexity letters.txt --format json >gptq.json
check "what is recorded with GPTQ" '  "weights": "int4",   "quantizer": "gptq",   "group": "column",   "seed": 3,' \
    "$(grep -E '"(weights|quantizer|group|seed)"' gptq.json | paste -sd ' ')"
check "what is recorded without" '  "quantizer": null,   "group": null,   "seed": null,' \
    "$(grep -E '"(quantizer|group|seed)"' fp16.json | paste -sd ' ')"
# Pruned: the same answer with most weights gone; a share of 1e-9 is none.
check "the answer of pruned weights" "defg abcdefg abc" "$(cat wanda.txt)"
check "what is recorded of magnitude" '  "pruning": "magnitude",   "sparsity": 0.5,   "seed": null,' \
    "$(grep -E '"(pruning|sparsity|seed)"' magnitude.json | paste -sd ' ')"
check "what is recorded without pruning" '  "pruning": null,   "sparsity": null,' \
    "$(grep -E '"(pruning|sparsity)"' fp16.json | paste -sd ' ')"
pruned() { # pruned FLAGS...
    lspo generate --model dense --perplexity letters.txt --format json "$@" >pruned.json
    number perplexity pruned.json
}
wanda=(--prune wanda --calibration letters.txt)
check "nothing is pruned" "$(pruned)" "$(pruned --prune magnitude --sparsity 1e-9)"
check "nothing is pruned by Wanda" "$(pruned)" "$(pruned "${wanda[@]}" --sparsity 1e-9)"
check "all is pruned" "$(pruned --prune magnitude --sparsity 1)" "$(pruned "${wanda[@]}" --sparsity 1)"
check "pruned with other threads" "$(pruned "${wanda[@]}" --seed 3)" "$(pruned "${wanda[@]}" --seed 3 --threads 3)"
check "what is recorded of Wanda" '  "pruning": "wanda",   "sparsity": 0.5,   "seed": 3,' \
    "$(grep -E '"(pruning|sparsity|seed)"' pruned.json | paste -sd ' ')"
awk -v dense="$(pruned)" -v magnitude="$(pruned --prune magnitude)" -v wanda="$(pruned "${wanda[@]}")" \
    'BEGIN { exit !(dense > 1 && magnitude < 1.1 * dense && wanda < 1.1 * dense) }' ||
    fail "half of the weights cost more than a tenth of perplexity"
# Ternary experts: the answer of the dense model, whose MLP each expert is; at most a sixth of its experts in fp32.
check "a mixture of equal experts" "$(answer_of dense)" "$(answer_of mixtral)"
check "the answer of ternary experts" "defg abcdefg abc" "$(cat packed-experts.txt)"
check "what is recorded of ternary experts" \
    '  "weights": "ternary",   "quantizer": "gptq",   "group": null,   "seed": 1,' \
    "$(grep -E '"(weights|quantizer|group|seed)"' ternary.json | paste -sd ' ')"
awk -v dense="$(perplexity_of mixtral)" -v rounded="$(perplexity_of mixtral --weights ternary)" \
    -v gptq="$(number perplexity ternary.json)" -v bits="$(number expert_bits ternary.json)" \
    -v zeros="$(number expert_zeros ternary.json)" 'BEGIN { exit !(dense > 1 && rounded > dense && gptq < rounded &&
        gptq < 1.05 * dense && bits > 1 && bits < 32 / 6 && zeros > 0.5 && zeros < 0.95) }' ||
    fail "ternary experts: $(cat ternary.json)"
# 2 x 4 x 3 x 64 x 128 weights of experts of a model with 2 x (64 x 64 x 3 + 64 x 4 + 128) + 2 x 256 x 64 + 64 others.
others=$((4 * (2 * (64 * 64 * 3 + 64 * 4 + 128) + 2 * 256 * 64 + 64)))
perplexity_of mixtral >/dev/null
check "bytes of all weights" $((others + 4 * 196608)) "$(number weights_bytes perplexity.json)"
awk -v bytes=$(($(number weights_bytes ternary.json) - others)) -v bits="$(number expert_bits ternary.json)" \
    'BEGIN { exit !(bytes == sprintf("%.0f", bits * 196608 / 8)) }' || fail "packed experts: $(cat ternary.json)"
check "ternary experts with other threads" \
    "$(perplexity_of mixtral --weights ternary --quantizer gptq --calibration letters.txt --threads 1)" \
    "$(perplexity_of mixtral --weights ternary --quantizer gptq --calibration letters.txt --threads 3)"
head -c 200 letters.txt >few.txt
for case in "--weights ternary --quantizer gptq/go together" \
    "--weights ternary --group 64/--group is of --weights int4" \
    "--weights ternary --prune magnitude/--prune and --weights ternary do not go together" \
    "--weights ternary --calibration letters.txt/go together" "--weights int4/not computed in blocks with experts" \
    "--weights ternary --quantizer gptq --calibration few.txt/has 190 tokens .* at least 256, so that"; do
    # shellcheck disable=SC2086 # several words
    code=$(status_of lspo generate --model mixtral --prompt abc ${case%%/*})
    check "of a mixture: ${case%%/*}" "2 1" "$code $(grep -c -e "${case#*/}" messages)"
done
code=$(status_of lspo generate --model letters --prompt abc --weights ternary)
check "no experts" "2 1" \
    "$code $(grep -c -e '--weights ternary is of experts, and the blocks of letters have none' messages)"
code=$(status_of lspo generate --model mixtral --prompt abc --memory 100KiB)
check "a mixture in 100 KiB" "4 1" "$code $(grep -c -e 'try 16-bit --weights or --weights ternary' messages)"
cp -r mixtral cut && head -c 400000 mixtral/model.safetensors >cut/model.safetensors
code=$(status_of lspo generate --model cut --prompt abc --weights ternary)
check "a mixture that is cut" "2 1" "$code $(grep -c 'cut/model.safetensors' messages)"
printf 'ab' > two.txt
for case in "--weights fp32 --group 64/of --weights int4" "--weights int4 --quantizer gptq/go together" \
    "--weights fp16 --group 128/of --weights int4" "--weights fp16 --quantizer rtn/of --weights int4 and ternary" \
    "--weights int4 --quantizer gptq --calibration two.txt/has 2 tokens .* 512, as many as a weight has inputs" \
    "--weights int4 --calibration letters.txt/go together" "--calibration letters.txt/of --prune wanda" \
    "--prune wanda/--prune wanda and --calibration FILE go together" "--sparsity 0.5/is of --prune" \
    "--prune magnitude --calibration letters.txt/--prune wanda and --calibration FILE go together" \
    "--prune magnitude --weights int4/do not go together" "--prune magnitude --sparsity 0/is not above 0" \
    "--prune random/is not one of magnitude, wanda" "--prune wanda --calibration none/none" \
    "--prune wanda --calibration two.txt/has 2 tokens .* 257, a window and the token" \
    "--weights int4 --group 96/is not one of 32, 64, 128, column" \
    "--perplexity letters.txt/leave out --prompt" "--weights int4 --quantizer gptq --calibration none/none"; do
    # shellcheck disable=SC2086 # several words
    code=$(status_of lspo generate --model letters --prompt abc ${case%%/*})
    check "${case%%/*}" "2 1" "$code $(grep -c -e "${case#*/}" messages)"
done
# A folder in 4 bits, in groups of 32, all zero: each of 256 tokens is as likely.
add() { # NAME TYPE SHAPE BYTES
    header+=",\"$1\":{\"dtype\":\"$2\",\"shape\":[$3],\"data_offsets\":[$bytes,$((bytes + $4))]}"
    bytes=$((bytes + $4))
}
linear() { # NAME INPUTS OUTPUTS
    add "model.layers.0.$1.qweight" I32 "$(($2 / 8)),$3" $(($2 * $3 / 2))
    add "model.layers.0.$1.qzeros" I32 "$(($2 / 32)),$(($3 / 8))" $(($2 * $3 / 64))
    add "model.layers.0.$1.scales" F16 "$(($2 / 32)),$3" $(($2 * $3 / 16))
}
header='{"__metadata__":{}' bytes=0
for name in embed_tokens norm layers.0.input_layernorm layers.0.post_attention_layernorm; do
    shape=32
    [ $name != embed_tokens ] || shape=256,32
    add "model.$name.weight" F16 $shape $((${shape/,/*} * 2))
done
for name in q k v o; do linear self_attn.${name}_proj 32 32; done
for name in gate_proj up_proj; do linear mlp.$name 32 64; done
linear mlp.down_proj 64 32
header+='}'
mkdir packed
{
    # shellcheck disable=SC2059 # a number in bytes
    printf "$(printf '\\x%02x\\x%02x' $((${#header} % 256)) $((${#header} / 256)))\\0\\0\\0\\0\\0\\0"
    printf '%s' "$header"
    head -c $bytes /dev/zero
} >packed/model.safetensors
cat >packed/config.json <<END
{"model_type": "llama", "vocab_size": 256, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
 "num_attention_heads": 4, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
 "hidden_act": "silu", "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 32}}
END
lspo generate --model packed --perplexity letters.txt --format json >packed.json
check "a folder in 4 bits" '  "quantizer": null,   "group": "32",   "perplexity": 256.0,' \
    "$(grep -E '"(quantizer|group|perplexity)"' packed.json | paste -sd ' ')"
for flags in "--weights fp16" "--prune magnitude" "--weights int4 --group 128" "--weights int4 --group 32" \
    "--weights int4 --quantizer rtn"; do
    # shellcheck disable=SC2086 # several words
    code=$(status_of lspo generate --model packed --prompt abc $flags)
    check "a folder in 4 bits with $flags" "2 1" "$code $(grep -c 'in groups of their own: leave out' messages)"
done

for flag in tokens=128 temperature=0 top-k=0 top-p=1 system=x chat-template=plain seed=1; do
    code=$(status_of lspo generate --model letters --perplexity letters.txt "--$flag")
    check "--perplexity with --$flag" "2 1" "$code $(grep -c -e "leave out --${flag%=*}$" messages)"
done

# What does not fit is said with what would help.
for case in "/16-bit --weights or --weights int4 or 16-bit --cache or fewer --tokens" \
    "--weights bf16 --cache bf16/--weights int4 or fewer --tokens" \
    "--weights int4 --quantizer gptq --calibration letters.txt/--quantizer rtn without --calibration" \
    "--weights bf16 --prune wanda --calibration letters.txt/--prune magnitude without --calibration"; do
    # shellcheck disable=SC2086 # several words
    code=$(status_of lspo generate --model letters --prompt abc --memory 100KiB ${case%%/*})
    check "${case%%/*} in 100 KiB" "4 1" "$code $(grep -c -e "are allowed; try ${case#*/}$" messages)"
done
code=$(status_of lspo generate --model letters --memory 100KiB --weights int4 --cache bf16 --perplexity letters.txt)
check "nothing that helps" "4 1" "$code $(grep -c 'are allowed$' messages)"
printf 'abcdefg' > short.txt
code=$(status_of lspo generate --model letters --perplexity short.txt)
check "a text without a held-out part" "2 1" "$code $(grep -c 'short.txt has 7 tokens' messages)"

# answer FLAGS: what is written to stdout.
answer() {
    lspo generate --model letters --prompt "abcdefg abc" --tokens 16 "$@" 2>/dev/null
}
for flags in "--threads 1" "--threads 3" "--weights bf16" "--weights fp16 --cache fp16" "--cache bf16" \
    "--top-k 1 --temperature 2"; do
    # shellcheck disable=SC2086 # several words
    check "with $flags" "defg abcdefg abc" "$(answer $flags)"
done
# As lspo train --sample, which has the prompt before it.
lspo train --model letters --policy native --data letters.txt --sequence 32 --steps 1 --learning-rate 1e-9 \
    --sample "abcdefg abc" --sample-tokens 16 --format json 2>/dev/null >sample.json
check "train --sample" '  "sample": "abcdefg abcdefg abcdefg abc",' "$(grep '"sample"' sample.json)"

# Drawn texts depend on the seed and not on threads.
draw() {
    lspo generate --model letters --prompt "abc" --tokens 40 --temperature 3 "$@" 2>/dev/null
}
check "drawn again" "$(draw --seed 5)" "$(draw --seed 5 --threads 3)"
[ "$(draw --seed 5)" != "$(draw --seed 6)" ] || fail "another seed gives the same text"

# More of a text needs more of the same memory; formats of 16 bits need half.
peak() {
    lspo generate --model letters --prompt abc --format json "$@" | sed -n 's/.*"peak_bytes": \([0-9]*\),/\1/p'
}
[ "$(peak --tokens 200)" -gt "$(peak --tokens 20)" ] || fail "a longer text does not need more memory"
[ "$(peak --tokens 20 --weights int4)" -lt "$(peak --tokens 20 --weights bf16)" ] || fail "4 bits need more than 16"
[ "$(peak --tokens 20 --weights bf16)" -lt $(($(peak --tokens 20) * 6 / 10)) ] || fail "bf16 does not halve the weights"

# A long text, interrupted once it has begun: what was written stays, and the statistics say why it ended.
printf '%s\n' '[model]' name=long family=llama blocks=2 width=128 heads=4 kv_heads=2 mlp_width=256 vocabulary=256 \
    max_sequence=60000 >long.ini
lspo train --model long.ini --policy native --steps 1 --batch 1 --sequence 16 --export long >/dev/null 2>&1
lspo generate --model long --prompt abc --tokens 50000 >long.txt 2>long.err &
until [ -s long.txt ] || ! kill -0 $! 2>/dev/null; do sleep 0.05; done
kill -TERM $! || fail "the long text is at its end: $(cat long.err)"
code=0
wait $! || code=$?
check "an interrupted text" "130" "$code"
check "how it ended" "1" "$(grep -c '^ended *interrupted$' long.err)"

# Interrupted while the prompt is read, as soon as lspo catches SIGTERM (15): there is no token, and no time of one.
# Before the command is lspo it is a copy of this shell, which catches SIGTERM, too.
head -c 59000 /dev/zero | tr '\0' a >prompt.txt
lspo generate --model long --prompt - --tokens 100 --format json <prompt.txt >early.json 2>early.err &
until ! kill -0 $! 2>/dev/null || { grep -q '^lspo' /proc/$!/cmdline &&
    signals=$(sed -n 's/^SigCgt:\t*//p' /proc/$!/status) && (((0x${signals:-0} >> 14) & 1)); }; do sleep 0.02; done
kill -TERM $! || fail "the long prompt is at its end: $(cat early.err)"
code=0
wait $! || code=$?
check "interrupted while it reads" "130" "$code"
check "its record" '  "tokens": 0,   "ended": "interrupted",   "time_to_first_token_s": null,   "text": ""' \
    "$(grep -E '"(tokens|ended|time_to_first_token_s|text)":' early.json | paste -sd ' ')"

# An answer of which the first token is the end is an empty text, not none.
cp -r letters ends
sed -i 's/^{/{"eos_token_id": 100,/' ends/config.json
lspo generate --model ends --prompt "abcdefg abc" --format json >ends.json
check "an empty answer" '  "text": ""' "$(grep '"text"' ends.json)"

# A token that ends texts but is outside the vocabulary never comes; what is no token is an error.
for case in "50256/0/outside the vocabulary" "-1/0/outside the vocabulary" "[300, 100]/0/outside the vocabulary" \
    '"<end>"/2/must be a token' "1.5/2/must be a token"; do
    IFS=/ read -r id wanted what <<<"$case"
    printf '{"eos_token_id": %s}\n' "$id" >ends/generation_config.json
    code=$(status_of lspo generate --model ends --prompt "abcdefg abc" --tokens 4)
    check "eos_token_id $id" "$wanted 1" "$code $(grep -c "generation_config.json: eos_token_id.*$what" messages)"
done
code=$(status_of lspo generate --model "$source_dir/tests/data/peers/models/gpt2" --prompt $'\t\n' --tokens 3)
check "a model of a few tokens with the end of a large one" "0 1" \
    "$code $(grep -c 'eos_token_id 50256 is outside the vocabulary, 0..30' messages)"

# A folder with a tokenizer and a chat template of its own: the prompt is that of the template, without a special token
# from what it says.
cp -r "$source_dir/tests/data/cases/model/smollm" . && chmod -R u+w smollm
cp "$source_dir"/tests/data/peers/chat/smollm/tokenizer*.json smollm
lspo generate --model smollm --chat --system "Be brief." --prompt "hi<|im_end|>" --tokens 3 --format json >chat.json
count=$(sed -n 's/.*"prompt_tokens": \([0-9]*\),/\1/p' chat.json)
[ "$count" -gt 30 ] || fail "a chat of three marks and many characters has $count tokens: $(cat chat.json)"

finish "test_generate"
