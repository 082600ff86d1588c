#!/bin/bash
# Every command of docs/training.md, in order, as a user would type them, but with fewer blocks than gpt-tiny has
# (LSPO_AS_PRINTED=1: with all); then what they must have left behind, and a folder with a tokenizer of its own.
set -eu
. "$(dirname "$0")/lib.sh"
PATH=$(dirname "$program"):$PATH
export PATH

cd "$folder"

# All sh blocks, as one script.
sed -n '/^```sh$/,/^```$/{/^```/!p}' "$source_dir/docs/training.md" >commands.sh
[ "$(grep -c '^lspo' commands.sh)" -ge 10 ] || fail "docs/training.md has lost its commands"
printf '%s\n' '[model]' name=small family=gpt blocks=2 width=128 heads=4 kv_heads=4 mlp_width=512 vocabulary=256 \
    max_sequence=256 tied_head=true >small.ini
[ -n "${LSPO_AS_PRINTED:-}" ] || sed -i 's/--model gpt-tiny /--model small.ini /' commands.sh
[ -n "${LSPO_AS_PRINTED:-}" ] || grep -q small.ini commands.sh || fail "docs/training.md has lost its model"
bash -eu commands.sh >commands.out 2>&1 || fail "a command of docs/training.md: $(tail -5 commands.out)"

# A value of the last row of a metrics file.
last() {
    tail -1 "$1" | cut -d, -f"$2"
}
less() {
    awk -v a="$1" -v b="$2" 'BEGIN { exit !(a < b) }'
}

[ "$(wc -l <scratch.csv)" = 62 ] || fail "scratch.csv: a header, row 0 and 60 steps are wanted"
less "$(last scratch.csv 8)" 3.2 || fail "the worked example learned nothing: held-out loss $(last scratch.csv 8)"
[ "$(ls run1)" = "step-0000000040
step-0000000060" ] || fail "run1 holds $(ls run1)"

# The exported model goes on where the training ended, under both policies: its first held-out loss is the last one of
# the training that made it.
for policy in zero lsp; do
    first=$(sed -n 2p $policy.csv | cut -d, -f8)
    awk -v a="$first" -v b="$(last scratch.csv 8)" 'BEGIN { d = a - b; exit !(d < 1e-5 && d > -1e-5) }' ||
        fail "$policy: the exported model's loss is $first, it was $(last scratch.csv 8)"
    [ "$(wc -l <$policy.csv)" = 42 ] || fail "$policy.csv: a header, row 0 and 40 steps are wanted"
    less "$(last $policy.csv 8)" "$first" || fail "$policy made the exported model no better"
done
[ -n "$(cut -d, -f12 lsp.csv | sed -n 3p)" ] || fail "lsp: no check of the projectors in step 1"

# The classifier has learned to tell its held-out texts apart, of which it guessed half before.
less 0.9 "$(last opinions.csv 13)" || fail "the classifier's accuracy is $(last opinions.csv 13) in the end"
less "$(last opinions.csv 8)" 0.5 || fail "the classifier's held-out loss is $(last opinions.csv 8) in the end"

# What predicts numbers has its correlations in the metrics, for each evaluation.
check_scores() {
    awk -F, 'NR > 1 && $8 != "" { printf "%d:%s%d ", $1, $13 $14 $15, ($16 != "" && $17 >= -1 && $17 <= 1) }' \
        scores.csv
}
[ "$(check_scores)" = "0:1 20:1 40:1 60:1 " ] || fail "scores.csv has $(check_scores)"

# It says what it was trained on.
grep -q '"sample": "The square of 12 is [0-9].*"' sample.json || fail "a sample says $(grep sample sample.json)"

# A text is continued as it was learned, with the tokens of bytes and with a folder's.
for i in $(seq 400); do printf 'abcdefg '; done >letters.txt
printf '%s\n' '[model]' name=letters family=llama blocks=2 width=64 heads=4 kv_heads=2 mlp_width=128 vocabulary=256 \
    max_sequence=256 >letters.ini
lspo train --model letters.ini --policy native --data letters.txt --sequence 32 --batch 8 --steps 60 \
    --learning-rate 5e-3 --sample "abcdefg abc" --sample-tokens 16 --format json >letters.json
grep -q '"sample": "abcdefg abcdefg abcdefg abc"' letters.json || fail "a sample says $(grep sample letters.json)"

# A field of a result in CSV.
field() {
    awk -F, -v name="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i }
        NR == 2 { gsub(/"[^"]*"/, "-"); print $at }' "$1"
}

# What is exported loads back to the same model, of every family, adapters merged.
for family in llama bert; do
    model=llama.ini data=squares.txt
    [ $family = llama ] || model=classifier.ini data=opinions.jsonl
    for policy in zero lora lora-nf4; do
        own=
        [ $policy = zero ] || own="--rank 4"
        [ $policy != lora-nf4 ] || own+=" --base-weights nf4"
        # shellcheck disable=SC2086
        lspo train --model $model --policy ${policy%-nf4} $own --data $data --sequence 48 --steps 8 \
            --learning-rate 3e-3 --export $family-$policy --format csv >first.csv
        lspo train --model $family-$policy --policy native --data $data --sequence 48 --steps 1 --format csv >again.csv
        awk -v a="$(field first.csv held_out_after)" -v b="$(field again.csv held_out_before)" \
            -v c="$(field first.csv held_out_before)" \
            'BEGIN { d = a - b; exit !(a > 0 && a != c && d < 1e-5 && d > -1e-5) }' ||
            fail "$family $policy: held-out loss $(field first.csv held_out_after)," \
                "loaded $(field again.csv held_out_before)"
    done
done

# On a terminal there is a line of progress, elsewhere none.
progress="lspo train --model small.ini --policy zero --data squares.txt --sequence 64 --steps 16"
progress+=" --machine host-reference"
if ! script -qec true /dev/null >/dev/null 2>script.err </dev/null; then
    echo "skipped: progress on a terminal, since there is none to be had: $(cat script.err)"
else
    script -qec "$progress" /dev/null >terminal.out </dev/null
    grep -q 'step 8/16  loss [0-9.]*  last held-out [0-9.]*  [0-9]* tokens/s  [0-9]* s left (predicted [0-9]* s)' \
        terminal.out || fail "no progress on a terminal: $(cat -v terminal.out)"
fi
$progress 2>progress.err >/dev/null
[ ! -s progress.err ] || fail "progress without a terminal: $(cat progress.err)"

# A folder with a tokenizer: a model of its vocabulary, exported, and the tokenizer laid beside it.
tokenizer=$source_dir/tests/data/peers/tokenizers/gpt2
vocabulary=2048 # the tokenizer's ids are below
sed "s/^vocabulary.*/vocabulary = $vocabulary/; s/^family.*/family = gpt/; s/^kv_heads.*/kv_heads = 4/
    s/^tied_head.*/tied_head = yes/; s/^max_seq.*/max_sequence = 256/" llama.ini >gpt.ini
lspo train --model gpt.ini --policy zero --data squares.txt --sequence 32 --steps 2 --export bpe >/dev/null
cp "$tokenizer/tokenizer.json" bpe/
lspo train --model bpe --policy zero --data squares.txt --sequence 32 --steps 12 --learning-rate 3e-3 --format csv \
    --export bpe2 --sample "The square of 5" >bpe.csv 2>bpe.err || fail "a folder with a tokenizer: $(cat bpe.err)"
grep -q ',bpe,' bpe.csv || fail "the tokenizer was not used: $(tail -1 bpe.csv)"
grep -q ',"\?The square of 5' bpe.csv || fail "no sample of a tokenizer's tokens: $(tail -1 bpe.csv)"
[ -f bpe2/tokenizer.json ] || fail "the tokenizer was not exported"
for i in 1 2 3 4 5 6; do echo "{\"prompt\": \"Double $i:\", \"completion\": \" $((2 * i))\"}"; done >pairs.jsonl
lspo train --model bpe2 --policy lsp --subspace 16 --nnz 2 --data pairs.jsonl --sequence 64 --held-out 0.25 --batch 1 \
    --steps 3 \
    >bpe.csv 2>bpe.err || fail "pairs with a tokenizer: $(cat bpe.err)"

# And those of the README, whose model is called gpt2.
mkdir readme && mv bpe2 readme/gpt2 && cp alpaca.json readme/ && cd readme
sed -e ':more' -e '/\\$/{N; s/\\\n *//; b more' -e '}' "$source_dir/README.md" |
    sed -nE 's/^    (\$ )?(lspo (train|join) .*)/\2/p' >readme.sh
[ "$(wc -l <readme.sh)" = 3 ] || fail "README.md has lost its commands"
bash -eu readme.sh >readme.out 2>&1 || fail "a command of README.md: $(tail -5 readme.out)"
echo "all commands of docs/training.md ran"
