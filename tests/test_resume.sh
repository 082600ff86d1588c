#!/bin/bash
# A training that is killed with kill -9 or told to end, at random moments and as often as it takes, and resumed each
# time ends with the same state, byte for byte, as one that was left alone; Ctrl-C ends in order with 130; other flags
# are refused.
#
#   RESUME_SEED=N tests/test_resume.sh      the moments of run N
set -eu
. "$(dirname "$0")/lib.sh"
seed=${RESUME_SEED:-$$}
echo "RESUME_SEED=$seed"
RANDOM=$seed

cd "$folder"

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

# own POLICY: its own flags.
own() {
    case $1 in
    lsp) echo --subspace 32 --nnz 4 --check-every 12 --fit-steps 5 --adam-basis plain ;;
    lsp-eigen) echo --subspace 32 --nnz 4 --check-every 12 --fit-steps 5 --adam-basis eigen --basis-every 7 ;;
    lsp-turned-eigen) echo --subspace 32 --nnz 4 --check-every 12 --fit-steps 5 --basis-every 7 --basis-lane gpu ;;
    lora) echo --rank 4 ;;
    lora-nf4) echo --rank 4 --base-weights nf4 ;;
    native) echo --optimizer-state 8bit ;;
    native-eigen) echo --adam-basis eigen --basis-every 7 ;;
    backward-update) echo --optimizer-state bf16 ;;
    meft) echo --adapter-width 96 --experts 12 --probes 4 --keys 10 ;;
    deep-optimizer-states) echo --stride 2 --subgroup-size 20000 --subgroup-slots 1 ;;
    axonn) echo --bucket-size 20000 ;;
    esac
}

# Its shell becomes the program, so that a signal to the background job reaches it.
become() {
    local policy=${1%-nf4}
    # shellcheck disable=SC2046
    exec "$program" train --model model.ini --data text.txt --steps "$steps" --batch 2 --sequence 32 --iterations 4 \
        $(own "$1") --warmup-steps 5 --eval-every 15 --clip 1 --weight-decay 0.01 --learning-rate 3e-3 \
        --checkpoint-every 10 --metrics "$2.csv" --output "$2" --policy "${policy%%-*eigen}" "${@:3}"
}
train() {
    (become "$@")
}

# The last row's loss and its step; times differ.
numbers() {
    cut -d, -f1-5,8- "$1"
}

steps=40
for policy in zero zero-delayed lsp lsp-eigen lsp-turned-eigen lora lora-nf4 native native-eigen backward-update \
    deep-optimizer-states axonn meft; do
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
            kill -$((RANDOM % 2 ? 9 : 15)) $pid 2>/dev/null || true
        fi
        code=0
        wait $pid 2>/dev/null || code=$?
        if [ $code = 0 ] && [ $kills = 0 ] && [ $limit_ms -gt 20 ]; then
            rm -rf killed-$policy killed-$policy.csv
            limit_ms=$((limit_ms / 2))
            continue
        fi
        [ $code = 0 ] && break
        [ $code = 137 ] || [ $code = 143 ] || [ $code = 130 ] || fail "$policy: exit $code: $(cat killed.err)"
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

# The lane of Adam's bases, which would be the CPU's, is that of the checkpoint.
lanes() {
    "$program" train --model model.ini --data text.txt --batch 2 --sequence 32 --policy lsp --subspace 32 \
        --output lanes --steps "$@" >/dev/null 2>lanes.err
}
lanes 3 --basis-lane gpu || fail "--basis-lane gpu: $(cat lanes.err)"
lanes 5 --basis-lane cpu --resume && fail "another lane continues"
grep -q 'basis-lane gpu, not cpu' lanes.err || fail "another lane: $(cat lanes.err)"
lanes 5 --resume || fail "no lane is named: $(cat lanes.err)"

# Ctrl-C, once a training has written rows of metrics.
interrupt() { # interrupt ROWS [ARGUMENT...]
    env --default-signal=INT "$program" train --model model.ini --data text.txt --steps 100000 --batch 2 --sequence 32 \
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

# So do SIGTERM, which batch systems send before they kill, and SIGHUP; a slow link holds nothing up.
for signal in TERM HUP; do
    env --default-signal=$signal "$program" train --model model.ini --data text.txt --steps 100000 --batch 2 \
        --sequence 32 --policy zero --link 0.05MB/s --iterations 1 --output by-$signal >/dev/null 2>signal.err &
    pid=$!
    for _ in $(seq 300); do # until it is about to begin the first step, which takes some 20 s
        [ ! -d by-$signal ] || break
        sleep 0.1
    done
    sleep 0.7
    kill -$signal $pid
    code=0
    wait $pid || code=$?
    [ $code = 130 ] || fail "$signal: exit $code: $(cat signal.err)"
    grep -q 'interrupted after step 1 of' signal.err || fail "$signal: $(cat signal.err)"
    [ -d by-$signal/step-0000000001 ] || fail "$signal: no checkpoint"
done

# One that was ignored when the program began stays ignored, as nohup does to SIGHUP and a script to the SIGINT of its
# background jobs.
ignoring() { # ignoring SIGNAL OTHER COMMAND...: SIGNAL is sent until OTHER, which is not ignored, ends it
    env --default-signal="$2" --ignore-signal="$1" "$program" "${@:3}" >/dev/null 2>ignoring.err &
    pid=$!
    for _ in $(seq 300); do # until a training is about to begin
        [ "$3" = train ] && [ ! -d "ignoring-$1" ] || break
        sleep 0.1
    done
    sleep 0.3
    for _ in $(seq 10); do
        kill "-$1" $pid || fail "$1 ended lspo $3, which began with it ignored: $(cat ignoring.err)"
        sleep 0.05
    done
    kill "-$2" $pid
    for _ in $(seq 600); do
        kill -0 $pid 2>/dev/null || break
        sleep 0.1
    done
    kill -9 $pid 2>/dev/null && fail "$2 does not end lspo $3"
    code=0
    wait $pid || code=$?
}
long=(--data text.txt --steps 100000 --batch 2 --sequence 32 --policy zero)
for pair in "INT TERM" "TERM INT" "HUP TERM"; do
    ignoring $pair train --model model.ini "${long[@]}" --output "ignoring-${pair% *}"
    [ $code = 130 ] || fail "after an ignored ${pair% *}: exit $code: $(cat ignoring.err)"
    grep -q 'interrupted after step' ignoring.err || fail "after an ignored ${pair% *}: $(cat ignoring.err)"
done
# Commands without anything to save leave the signals alone.
ignoring INT TERM run --model gpt-small --policy zero --iterations 1000
[ $code = 143 ] || fail "run, after an ignored INT: exit $code: $(cat ignoring.err)"
ignoring INT TERM fit --model gpt-small --text text.txt --batch 8 --calibration 64
[ $code = 143 ] || fail "fit, after an ignored INT: exit $code: $(cat ignoring.err)"

# Two at once, as timeout(1) sends them to a process and to its group, are one.
become zero doubled --steps 100000 >/dev/null 2>doubled.err &
pid=$!
for _ in $(seq 600); do
    [ "$(cat doubled.csv 2>/dev/null | wc -l)" -le 2 ] || break
    sleep 0.05
done
kill -TERM $pid
kill -TERM $pid
code=0
wait $pid || code=$?
[ $code = 130 ] || fail "two signals at once: exit $code: $(cat doubled.err)"
[ "$(ls doubled | wc -l)" -ge 1 ] || fail "two signals at once: no checkpoint"

# A second one ends it at once.
"$program" train --model gpt-small --data text.txt --steps 100 --batch 8 --sequence 64 --policy native --output twice \
    >/dev/null 2>&1 &
pid=$!
sleep 1
kill -TERM $pid
sleep 0.5
kill -TERM $pid 2>/dev/null || true # it may have ended
code=0
wait $pid || code=$?
[ $code = 143 ] || [ $code = 130 ] || fail "two signals: exit $code"

# What a checkpoint was not written with is refused, naming it.
steps=40
refuse() {
    code=0
    "${@:2}" >/dev/null 2>refused.err || code=$?
    [ $code = 2 ] || fail "exit $code, not 2: ${*:2}"
    grep -q -- "$1" refused.err || fail "not named: $1 in $(cat refused.err)"
}
refuse 'holds checkpoints' train zero whole-zero
refuse 'started with learning-rate' train zero whole-zero --resume --learning-rate 1e-3
refuse 'started with policy' train lsp whole-zero --resume
refuse 'started with batch' train zero whole-zero --resume --batch 4
refuse 'started with data' train zero whole-zero --resume --data other.txt

# A damaged newest checkpoint: the one before it is taken, and the end is the same.
harm() {
    printf 'damage' | dd of="$1/state.safetensors" bs=1 seek=30000 conv=notrunc 2>/dev/null
}
cp -r whole-lsp damaged-lsp
harm damaged-lsp/$last
train lsp damaged-lsp --resume >/dev/null 2>damaged.err || fail "damaged: $(cat damaged.err)"
grep -q "$last is damaged and was renamed to damaged-$last; using the previous checkpoint" damaged.err ||
    fail "damaged: $(cat damaged.err)"
cmp whole-lsp/$last/state.safetensors damaged-lsp/$last/state.safetensors || fail "damaged: states differ"
harm damaged-lsp/step-0000000030
harm damaged-lsp/$last
refuse 'none of the 2 checkpoints can be resumed' train lsp damaged-lsp --resume

# A model is what its bytes are: its folder may be moved and renamed, not changed.
train zero exporting --export tuned >/dev/null || fail "export"
with_model() {
    "$program" train --model "$1" --data text.txt --policy zero --steps 8 --batch 2 --sequence 32 --checkpoint-every 4 \
        --output of-folder --resume
}
with_model tuned >/dev/null 2>folder.err || fail "a folder: $(cat folder.err)"
cp of-folder/step-0000000008/state.safetensors of-folder.state
rm -r of-folder/step-0000000008
mkdir elsewhere
mv tuned elsewhere/renamed
with_model elsewhere/renamed >/dev/null 2>folder.err || fail "a moved folder: $(cat folder.err)"
cmp of-folder.state of-folder/step-0000000008/state.safetensors || fail "a moved folder: states differ"
rm -r of-folder/step-0000000008
printf x | dd of=elsewhere/renamed/model.safetensors bs=1 seek=20001 conv=notrunc 2>/dev/null
refuse 'started with weights' with_model elsewhere/renamed

# A finished training goes on with more steps: with a constant rate as one that had them from the beginning.
longer() {
    "$program" train --model model.ini --data text.txt --policy "$1" --batch 2 --sequence 32 --learning-rate 1e-3 \
        --min-lr 1e-3 --checkpoint-every 4 --output "$2" --steps "$3" --resume
}
for policy in zero lsp badam zero-delayed zenflow; do
    longer $policy twice-$policy 8 >/dev/null 2>longer.err || fail "longer, $policy: $(cat longer.err)"
    longer $policy twice-$policy 16 >/dev/null 2>longer.err || fail "longer, $policy: $(cat longer.err)"
    grep -q 'was started with 8 steps and now has 16' longer.err || fail "longer, $policy: $(cat longer.err)"
    longer $policy once-$policy 16 >/dev/null 2>&1 || fail "at once, $policy"
    cmp once-$policy/step-0000000016/state.safetensors twice-$policy/step-0000000016/state.safetensors ||
        fail "longer, $policy: states differ"
done
late='is the end of a training of 8 steps, with its late updates applied; using the previous checkpoint'
grep -q "$late" longer.err ||
    fail "longer: $(cat longer.err)"
refuse 'it can have more, but not only 8' longer zero twice-zero 8

echo "all held"
