#!/bin/bash
# A training that is killed with kill -9, at random moments and as often as it takes, and resumed each time ends with the
# same state, byte for byte, as one that was left alone; Ctrl-C ends in order with 130; other flags are refused.
#
#   RESUME_SEED=N tests/test_resume.sh      the moments of run N
set -eu
program=${LSPO:-$(command -v lspo)}
seed=${RESUME_SEED:-$$}
echo "RESUME_SEED=$seed"
RANDOM=$seed
export LC_ALL=C

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

cat >model.ini <<END
[model]
name = resume
family = gpt
blocks = 2
width = 64
heads = 2
kv_heads = 2
mlp_width = 256
vocabulary = 256
max_sequence = 64
tied_head = yes
source = made for this test
END
for i in $(seq 1 400); do echo "line $i of the text says that $((i * i % 97)) is a number"; done >text.txt

for i in $(seq 1 400); do echo "line $i of another text says that $((i * i % 89)) is a number"; done >other.txt

fail() {
    echo "FAILED: $*"
    exit 1
}

# Its shell becomes the program, so that a signal to the background job reaches it.
become() {
    exec "$program" train --model model.ini --data text.txt --steps "$steps" --batch 2 --sequence 64 --iterations 4 \
        --subspace 32 --nnz 4 --check-every 12 --fit-steps 5 --rank 4 --warmup-steps 5 --eval-every 15 --clip 1 \
        --weight-decay 0.01 --learning-rate 3e-3 --checkpoint-every 10 --metrics "$2.csv" --output "$2" --policy "$1" "${@:3}"
}
train() {
    (become "$@")
}

# The last row's loss and its step; times differ.
numbers() {
    cut -d, -f1-5,8- "$1"
}

steps=60
for policy in zero zero-delayed lsp lora; do
    start=$(date +%s%N)
    train $policy whole-$policy >whole.out || fail "$policy: the training left alone"
    whole_ms=$((($(date +%s%N) - start) / 1000000))
    kills=0 limit_ms=$((whole_ms / 2 + 20))
    while :; do
        become $policy killed-$policy --resume >killed.out 2>killed.err &
        pid=$!
        # Killed somewhere in its first half, or, after three kills, left to end.  One that was faster begins anew.
        if [ $kills -lt 3 ]; then
            sleep "$(printf '0.%03d' $(((RANDOM % limit_ms + 10) % 1000)))"
            kill -9 $pid 2>/dev/null || true
        fi
        code=0
        wait $pid 2>/dev/null || code=$?
        if [ $code = 0 ] && [ $kills = 0 ] && [ $limit_ms -gt 20 ]; then
            rm -rf killed-$policy killed-$policy.csv
            limit_ms=$((limit_ms / 2))
            continue
        fi
        [ $code = 0 ] && break
        [ $code = 137 ] || fail "$policy: exit $code: $(cat killed.err)"
        kills=$((kills + 1))
    done
    [ $kills -gt 0 ] || fail "$policy: never killed: the test shows nothing"
    last=step-$(printf %010d $steps)
    cmp whole-$policy/$last/state.safetensors killed-$policy/$last/state.safetensors || fail "$policy: states differ"
    numbers whole-$policy.csv >whole.numbers
    numbers killed-$policy.csv | cmp - whole.numbers || fail "$policy: metrics differ"
    [ "$(ls -A killed-$policy | wc -l)" = 2 ] || fail "$policy: not two checkpoints: $(ls -A killed-$policy)"
    echo "$policy: the same after $kills kills"
done

# A test that cannot fail is none: another seed gives another state.
train zero other-seed --seed 2 >/dev/null || fail "another seed"
cmp -s whole-zero/$last/state.safetensors other-seed/$last/state.safetensors && fail "the seed changes nothing"

# Ctrl-C, once a training has written rows of metrics.
interrupt() { # interrupt ROWS [ARGUMENT...]
    env --default-signal=INT "$program" train --model model.ini --data text.txt --steps 100000 --batch 2 --sequence 64 \
        --policy zero --output interrupted --metrics interrupted.csv "${@:2}" >/dev/null 2>interrupted.err &
    pid=$!
    for _ in $(seq 600); do
        [ "$(cat interrupted.csv 2>/dev/null | wc -l)" -le "$1" ] || break
        sleep 0.05
    done
    kill -INT $pid
    code=0
    wait $pid || code=$?
    [ $code = 130 ] || fail "Ctrl-C: exit $code: $(cat interrupted.err)"
    grep -q 'interrupted after step' interrupted.err || fail "Ctrl-C: $(cat interrupted.err)"
    [ "$(ls interrupted | wc -l)" -ge 1 ] || fail "Ctrl-C: no checkpoint"
}
interrupt 2
interrupt $(($(wc -l <interrupted.csv) + 1)) --resume

# What a checkpoint was not written with is refused, naming it.
steps=60
refuse() {
    code=0
    "${@:2}" >/dev/null 2>refused.err || code=$?
    [ $code = 2 ] || fail "exit $code, not 2: ${*:2}"
    grep -q -- "$1" refused.err || fail "not named: $1 in $(cat refused.err)"
}
refuse 'holds checkpoints' train zero whole-zero
refuse 'begun with learning-rate' train zero whole-zero --resume --learning-rate 1e-3
refuse 'begun with policy' train lsp whole-zero --resume
refuse 'begun with batch' train zero whole-zero --resume --batch 4
refuse 'begun with data' train zero whole-zero --resume --data other.txt
refuse 'damaged\|safetensors' bash -c '
    printf x | dd of=whole-lsp/step-0000000060/state.safetensors bs=1 seek=9000 conv=notrunc 2>/dev/null
    exec "$@"' - "$program" train --model model.ini --data text.txt --steps 60 --batch 2 --sequence 64 --iterations 4 \
    --subspace 32 --nnz 4 --check-every 12 --fit-steps 5 --rank 4 --warmup-steps 5 --eval-every 15 --clip 1 \
    --weight-decay 0.01 --learning-rate 3e-3 --checkpoint-every 10 --output whole-lsp --policy lsp --resume
echo "all held"
