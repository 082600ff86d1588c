#!/bin/bash
# Every flag of `lspo train`, changed on --resume: what decides the numbers is refused by name, and whatever is not
# refused ends with the same state, byte for byte.  A flag that is not in the list below fails the test.
set -eu
. "$(dirname "$0")/lib.sh"

cd "$folder"

model() {
    cat <<END
[model]
name = $1
family = $2
blocks = 2
width = 32
heads = 2
kv_heads = 2
mlp_width = $3
vocabulary = 256
max_sequence = 64
tied_head = yes
source = made for this test
END
}
model small gpt 64 >model.ini
model moved gpt 64 >same.ini
model wider gpt 96 >wider.ini
for i in $(seq 1 200); do echo "line $i of the text says that $((i * i % 97)) is a number"; done >text.txt
cp text.txt copy.txt
head -150 text.txt >shorter.txt

# FLAG POLICY OUTCOME [VALUE...]: `same`, or what the refusal must name; "-" for the policy that any will do.  A policy
# of its own where the flag matters to that one alone.
cat >flags <<'END'
model            zero         same            same.ini
model            zero         mlp_width       wider.ini
classes          zero         family          2
policy           zero         policy          lsp
data             zero         same            copy.txt
data             zero         data            shorter.txt
prompt-field     zero         plain.text      question
answer-field     zero         plain.text      answer
chat-template    zero         is.for.chats    plain
loss             zero         same            all
held-out         zero         data            0.2
eval-data        zero         data            shorter.txt
steps            zero         can.have.more   6
epochs           zero         exclude         1
warmup-steps     zero         warmup-steps    3
min-lr           zero         min-lr          1e-5
eval-every       zero         eval-every      2
eval-batches     zero         eval-batches    1
patience         zero         patience        5
output           zero         same            resumed
checkpoint-every zero         same            3
keep             zero         same            5
resume           zero         same
sample           zero         same            line
sample-tokens    zero         same            5 --sample line
export           zero         same            exported
export-weights   zero         export-weights  best --export exported
metrics          zero         same            other.csv
machine          zero         same            host-reference
format           zero         same            json
device           zero         cuda:99         cuda:99
cpu-threads      zero         same            THREADS
sms              zero         multiprocessors 4
nvtx             zero         same
batch            zero         batch           4
sequence         zero         sequence        16
precision        zero         precision       bf16
transfer         zero         transfer        bf16
checkpointing    zero         same            on
swap-activations zero         same            1
swap-activations lsp          same            1
iterations       zero         same            1
accumulation     zero         accumulation    2
subspace         lsp          subspace        8
nnz              lsp          nnz             2
compress-by      lsp          compress-by     dense
apply-by         lsp          apply-by        dense
adam-basis       lsp          adam-basis      fixed
adam-basis       native       adam-basis      eigen
basis-every      lsp          basis-every     3
basis-lane       lsp          basis-lane      gpu
check-every      lsp          check-every     4
first-check      lsp          first-check     4
bias-threshold   lsp          bias-threshold  0.9
fit-steps        lsp          fit-steps       9
fit-batches      lsp          fit-batches     4
fit-beta         lsp          fit-beta        0.5
projectors       lsp          projectors      shape
projector-values lsp          projector-values sign
transition       lsp          same            1
transition       zero-layerwise same          2
order            zero-layerwise order.auto    auto
clip             zero         clip            0.5
loss-scale       zero         loss-scale      4
train-rest       lsp          train-rest      on
rank             lora         rank            2
rank             galore       rank            2
lora-scaling     lora         lora-scaling    0.5
base-weights     lora         base-weights    nf4
adapter-width    meft         adapter-width   96
experts          meft         experts         8
probes           meft         probes          3
keys             meft         keys            5
alike            meft         same            0.2
project-every    galore       project-every   3
critical         zenflow      critical        0.3
update-every     zenflow      update-every    4
select-every     zenflow      select-every    4
switch-every     badam        switch-every    3
optimizer-state  zero         optimizer-state bf16
optimizer-state  native       optimizer-state 8bit
gradient-buffers zero         same            0
accumulate-on    zero         same            host
cpu-share        zero         cpu-share       0.5
native-layers    zero-layerwise native-layers 2
native-layers    lsp          native-layers   2
chunk-bytes      zero-layerwise same          64KiB
speculate-clip   zero-layerwise same          on
clip-every       zero-layerwise same          3
stride           deep-optimizer-states same   3
stride           deep-optimizer-states same   auto
subgroup-size    deep-optimizer-states same   20000
subgroup-slots   deep-optimizer-states same   1
down-convert     deep-optimizer-states same   blocking
interleave       deep-optimizer-states same   off
optimizer-state  deep-optimizer-states optimizer-state bf16
bucket-size      axonn        same            20000
bucket-slots     axonn        same            2
pipeline         axonn        grids           2
replicas         axonn        grids           2
pipeline-order   axonn        same            1f1b
reduce-buckets   axonn        same            2
optimizer-state  axonn        optimizer-state bf16
peers            fusion       device          peers.ini
chain            fusion       needs           a:4
peer-order       fusion       same            gpipe
optimizer-state  fusion       optimizer-state bf16
compress-links   fusion       compress-links  8
link-feedback    fusion       link-feedback   off
swap-slots       swap         same            1
window           stream       same            1
update           stream       same            after
resident-blocks  swap         resident-blocks 1
weight-decay     zero         weight-decay    0.1
adam-epsilon     zero         adam-epsilon    1e-4
adam-root-epsilon zero       adam-root-epsilon 1e-4
learning-rate    zero         learning-rate   1e-3
seed             zero         seed            9
link             zero         same            500MB/s
cpu              zero         same            500M/s
gpu-memory       zero         same            1GiB
host-memory      zero         same            8GiB
set              zero         same            link.h2d_Bps=400MB/s
END

sed -i "s/THREADS/$(($(nproc) > 2 ? 2 : 1))/" flags # as many as this machine has cores for

# The names of a policy's parameters, asked for once.
mkdir own
own() {
    [ -s "own/$1" ] || "$program" show policy "$1" --format csv | tail -n +2 | cut -d, -f1 >"own/$1"
    cat "own/$1"
}
{
    "$program" train --help | grep -oE '^  (-., )?--[a-z-]+' | sed 's/.*--//'
    "$program" list policies --format csv | awk -F, '$2 == "train" { print $1 }' |
        while read -r policy; do own "$policy"; done
} | sort -u >every.flag
[ "$(wc -l <every.flag)" -gt 55 ] || fail "only $(wc -l <every.flag) flags were found"
while read -r flag; do
    grep -q "^$flag " flags || fail "--$flag: is a resumed training the same with another value?  Say it in this test"
done <every.flag

cat >own.values <<'END'
subspace 16
nnz 4
check-every 3
fit-steps 4
rank 4
project-every 2
update-every 2
select-every 2
switch-every 2
END

# Flags given twice: the last counts.
train() {
    local flags
    flags=$(awk -v file="own/$1" 'BEGIN { while ((getline name < file) > 0) is_own[name] = 1 }
        $1 in is_own { printf " --%s %s", $1, $2 }' own.values)
    # shellcheck disable=SC2086
    "$program" train --model model.ini --policy "$1" --data text.txt --steps 8 --batch 2 --sequence 32 --iterations 4 \
        $flags --learning-rate 3e-3 --checkpoint-every 4 --keep 4 --format csv "${@:2}"
}

last=step-0000000008
while read -r flag policy outcome value; do
    if [ ! -d "$policy" ]; then
        train "$policy" --output "$policy" >/dev/null 2>messages || fail "$policy: $(cat messages)"
    fi
    rm -rf resumed
    mkdir resumed
    cp -r "$policy/step-0000000004" resumed
    code=0
    # shellcheck disable=SC2086
    train "$policy" --output resumed --resume --$flag $value >/dev/null 2>messages </dev/null || code=$?
    if [ "$outcome" = same ]; then
        [ $code = 0 ] || fail "--$flag $value under $policy: exit $code: $(cat messages)"
        cmp "$policy/$last/state.safetensors" "resumed/$last/state.safetensors" ||
            fail "--$flag $value under $policy changes the numbers and is not refused"
    else
        [ $code = 2 ] || [ $code = 3 ] || fail "--$flag $value under $policy: exit $code, not refused: $(cat messages)"
        grep -q -- "$outcome" messages || fail "--$flag $value under $policy: no word of $outcome: $(cat messages)"
    fi
done <flags

# With clipping the second place of a speculative update is no part of the state.
train zero-layerwise --clip 0.5 --speculate-clip on --output speculating >/dev/null 2>messages ||
    fail "speculating: $(cat messages)"
cp -r speculating waiting
rm -r "waiting/$last"
train zero-layerwise --clip 0.5 --output waiting --resume >/dev/null 2>messages || fail "waiting: $(cat messages)"
cmp "speculating/$last/state.safetensors" "waiting/$last/state.safetensors" || fail "waiting differs from speculating"

# What chats are made into is part of their data.
for i in $(seq 1 40); do
    printf '{"messages": [{"role": "user", "content": "Square %d."}, {"role": "assistant", "content": "%d"}]}\n' \
        "$i" $((i * i))
done >chat.jsonl
chats() {
    "$program" train --model model.ini --policy zero --data chat.jsonl --steps 4 --batch 2 --sequence 64 \
        --checkpoint-every 2 --keep 4 --format csv "$@"
}
chats --output chats >/dev/null 2>messages || fail "chats: $(cat messages)"
rm -r chats/step-0000000004
for change in "--loss all" "--chat-template chatml"; do
    code=0
    # shellcheck disable=SC2086
    chats --output chats --resume $change >/dev/null 2>messages || code=$?
    [ $code = 2 ] || fail "$change: exit $code, not refused: $(cat messages)"
    grep -q -- data messages || fail "$change: no word of data: $(cat messages)"
done
chats --output chats --resume --chat-template plain --loss answers >/dev/null 2>messages ||
    fail "chats with the same settings: $(cat messages)"

# A classifier is measured on all held-out rows, unless --eval-batches says fewer; its checkpoints know which.
sed 's/gpt/bert/; s/tied_head = yes/classes = 2/' model.ini >classifier.ini
for i in $(seq 1 400); do printf '{"text": "line %d", "label": %d}\n' "$i" $((i % 2)); done >labels.jsonl
classify() {
    "$program" train --model classifier.ini --policy native --data labels.jsonl --held-out 0.25 --steps 2 --batch 2 \
        --sequence 16 --checkpoint-every 1 --keep 4 --format json "$@" 2>messages
}
classify --output all >result || fail "a classifier: $(cat messages)"
grep -q '"evaluated_rows": 100,' result || fail "a classifier is not measured on all 100 rows: $(cat result)"
rm -r all/step-0000000002
classify --output all --resume >result || fail "a classifier resumed: $(cat messages)"
! classify --output all --resume --eval-batches 3 >result || fail "--eval-batches 3 continues a measure of 50 batches"
grep -q eval-batches messages || fail "no word of eval-batches: $(cat messages)"
classify --output few --eval-batches 3 >result || fail "a classifier and --eval-batches 3: $(cat messages)"
grep -q '"evaluated_rows": 6,' result || fail "--eval-batches 3 of batch 2 is not 6 rows: $(cat result)"

echo "all held: $(wc -l <flags) changes of $(cut -d' ' -f1 flags | sort -u | wc -l) flags"
