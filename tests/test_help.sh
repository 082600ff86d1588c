#!/bin/bash
# The help of each command: it fits the screen, every example is accepted, the README and the man pages have the same
# exit codes, and shells complete the names in the tables.
set -eu
source_dir=$(cd "${LSPO_SOURCE:-$(dirname "$0")/..}" && pwd)
program=${LSPO:-$(command -v lspo)}
PATH=$(dirname "$program"):$PATH
LC_ALL=C
export PATH LC_ALL

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0
complain() {
    echo "$*"
    status=1
}

# ---- every page ----
# What is not counted as "X a step".
counted='time|seconds|tokens|sequences|batches|bytes|parameters|nonzeros|line|RATE|s'
examples_of() {
    lspo help $1 | sed -n '/^examples:$/,/^$/s/^  //p'
}
while read -r page; do
    lspo help $page >"$scratch/help"
    case $(head -1 "$scratch/help") in
    "usage: lspo $page"*) ;;
    *) complain "lspo help $page does not begin with its usage" ;;
    esac
    lspo ${page} --help | cmp -s - "$scratch/help" || complain "lspo $page --help is not lspo help $page"
    grep -q '^commands:$' "$scratch/help" || head -24 "$scratch/help" | grep -q '^examples:$' ||
        complain "lspo help $page: no example on the first screen"
    # Usage and examples may be longer: they are copied.
    sed '1d; /^examples:$/,/^$/d' "$scratch/help" | awk -v page="$page" 'length > 80 { print page ": " $0 }' \
        >"$scratch/long"
    [ ! -s "$scratch/long" ] || complain "longer than 80 columns: $(cat "$scratch/long")"
    ! grep -E "($counted) an? (iteration|step|optimizer|second|sequence|micro-batch|row|evaluation|op)\b" \
        "$scratch/help" || complain "lspo help $page: 'per' is plainer"
    lspo help $page --man | grep -q '^\.SH NAME$' || complain "lspo help $page --man is no man page"
done < <(lspo help --pages)

# ---- every policy ----
options=0
while read -r policy; do
    lspo help "$policy" >"$scratch/help"
    grep -q '^  semantics ' "$scratch/help" && grep -q '^  citation ' "$scratch/help" ||
        complain "lspo help $policy says too little"
    sed '1d; /^examples:$/,/^$/d' "$scratch/help" | awk -v page="$policy" 'length > 80 { print page ": " $0 }' \
        >"$scratch/long"
    [ ! -s "$scratch/long" ] || complain "longer than 80 columns: $(cat "$scratch/long")"
    lspo help "$policy" --man | grep -q '^\.SH NAME$' || complain "lspo help $policy --man is no man page"
    lspo show policy "$policy" --format table | cmp -s - "$scratch/help" ||
        complain "lspo show policy $policy is not lspo help $policy"
    own=$(lspo show policy "$policy" --format csv | tail -n +2 | cut -d, -f1)
    for name in $own; do
        options=$((options + 1))
        grep -q "^  --$name " "$scratch/help" || complain "lspo help $policy: no --$name"
        ! lspo sim --help | grep -q "^  --$name " || complain "lspo sim --help: --$name is $policy's own"
    done
done < <(lspo help --policies)
[ "$options" -gt 30 ] || complain "only $options options of policies were found"

# ---- every example, with the files that it names ----
mkdir "$scratch/work"
cd "$scratch/work"
cp "$source_dir/tests/data/import/pytorch-profile.json.gz" profile.json.gz
cp "$source_dir/tests/data/import/deepspeed-0.14.txt" train.log
for family in gpt llama; do
    printf '%s\n' '[model]' name=$family family=$family blocks=1 width=32 heads=2 kv_heads=2 mlp_width=32 \
        vocabulary=256 max_sequence=256 >$family.ini
    lspo train --model $family.ini --policy native --steps 1 --batch 1 --sequence 16 --export $family >/dev/null
done
mv gpt gpt2
"$source_dir/experiments/qmoe/mixture.sh" mixtral llama llama
cp -r "$source_dir/experiments" "$source_dir/plots" .
cat >roberta.ini <<'END'
[model]
name = roberta
family = bert
blocks = 1
width = 16
heads = 1
kv_heads = 1
mlp_width = 16
vocabulary = 256
max_sequence = 256
classes = 2
source = made for this test
END
mkdir SST-2
{ printf 'sentence\tlabel\n'; for i in $(seq 40); do printf 'line %d\t%d\n' "$i" $((i % 2)); done; } >SST-2/train.tsv
cp SST-2/train.tsv SST-2/dev.tsv
lspo train --model roberta.ini --policy native --data SST-2/train.tsv --steps 1 --export roberta >/dev/null
seq 4000 >notes.txt
mkdir results
touch results/.lspo-experiments results/figures
printf 'policy,slowdown\nzero,2\nlsp,1.1\n' | tee results.csv >results/results.csv
echo "REQUIRE SELECT min(slowdown) > 1, 'native is the fastest' FROM results;" >claims.sql
echo '[{"instruction": "Count.", "input": "", "output": "one two three"}]' >one.json
forty_times() { for _ in $(seq 40); do sed 's/^\[//; s/\]$/,/' one.json; done | sed '1s/^/[/; $s/,$/]/'; }
python3 - 2>/dev/null <<'END' || forty_times >alpaca.json
import json
json.dump(json.load(open("one.json")) * 40, open("alpaca.json", "w"))
END
for i in $(seq 40); do
    echo '{"messages": [{"role": "user", "content": "Count."}, {"role": "assistant", "content": "one two '"$i"'"}]}'
done >chat.jsonl
mkdir traces
cp "$source_dir/tests/data/cli/metrics.csv" traces/loss.csv
for trace in sim run theirs; do
    lspo sim --model gpt-tiny --policy zero --trace traces/$trace.trace >/dev/null
done
lspo show machine host-reference >host.ini
printf '[peers]\nBps = 1 GB/s\n[peer card]\nmachine = a100-80gb-sxm\ncount = 8\n' >peers.ini
printf '[all]\nmodel = gpt2-774m\nmachine = paper-laptop\npolicy = all\nlink = 1GB/s 8GB/s\n' >bandwidth.ini
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
# Half a second of what works for seconds or minutes, or for ever; everything else ends, and its exit code is seen.
works_long='^lspo (calibrate|fit|run|broker --run|sweep .*--run|memory .*--run|validate .*--(grid|leave-out)'
works_long+='|train .*(notes.txt|alpaca.json|chat.jsonl)|tune .*(774m|workstation|generate)) '
count=0
while read -r example; do
    if [[ $example == *"broker --run"* ]] && ! command -v mpirun >/dev/null; then continue; fi
    count=$((count + 1))
    code=0 limit_s=60
    [[ ! "$example " =~ $works_long || $example == *"--device cuda"* ]] || limit_s=0.5
    cp traces/* . # examples write some of them
    rm -rf run1 tuned
    { timeout -s KILL $limit_s bash -c "$example" >"$scratch/output" 2>&1 </dev/null || code=$?; } 2>/dev/null
    # 0; killed while at work; no GPU here; a viewer that is not installed.
    case $limit_s/$code in
    */0 | 0.5/137 | */3 | */127) ;;
    *) complain "exit $code: $example: $(tail -3 "$scratch/output")" ;;
    esac
done < <(
    {
        lspo help | sed -n '/^examples:$/,/^$/s/^  //p'
        { lspo help --pages; lspo help --policies; } | while read -r page; do examples_of "$page"; done
    } | awk '!seen[$0]++')
[ "$count" -gt 30 ] || complain "only $count examples were found"

# ---- exit codes ----
lspo help exit-codes | sed 's/^ *\([0-9]*\) */\1 /; s/^ *//' | tr '\n' ' ' | tr -s ' ' >"$scratch/codes"
lspo help sim --man | sed -n '/^\.SH EXIT STATUS/,/^\.SH SEE/p' | sed '/^\.SH/d; /^\.TP/d; s/^\.B //; s/\\-/-/g' |
    tr '\n' ' ' >"$scratch/man"
cmp -s "$scratch/codes" "$scratch/man" || complain "exit codes differ: $(diff "$scratch/codes" "$scratch/man")"
while read -r code rest; do
    grep -q "| $code | $rest |" "$source_dir/README.md" || complain "README.md: no exit code | $code | $rest |"
done < <(lspo help sim --man | sed -n '/^\.SH EXIT STATUS/,/^\.SH SEE/p' | sed '/^\.SH/d; /^\.TP/d; s/\\-/-/g' |
    sed -n '/^\.B /{N; s/^\.B \(.*\)\n/\1 /p}')

# ---- completion ----
# offered WORD... - what bash offers for the last word.
offered() {
    bash -c 'source "$1"; shift; COMP_WORDS=(lspo "$@"); COMP_CWORD=$#; _lspo
        [ ${#COMPREPLY[@]} = 0 ] || printf "%s\n" "${COMPREPLY[@]}"' bash \
        "$source_dir/cli/completion/bash/lspo" "$@" | sort | tr '\n' ' '
}
expect() {
    local wanted=$1
    shift
    [ "$(offered "$@")" = "$wanted" ] || complain "completion of 'lspo $*': '$(offered "$@")', not '$wanted'"
}
expect "calibrate choose compare " c
expect "export " trace e
expect "zenflow zero zero-delayed zero-layerwise " sim --policy ze
# Policies of generation only where there is a --task.
expect "resident " sim --policy res
expect "resident " run --policy res
expect "resident " show plan --policy res
expect "" train --policy res
expect "" memory --policy res
expect "rtx4070 rtx4070tis " sim --machine rtx4070
expect "rtx4070 rtx4070tis " sim --machine = rtx4070
expect "a10+server-ddr5 a10+server-ddr5-4800-512gib " sim --machine a10+server-ddr5
expect "" sim --machine a10+host
expect "deepseek-coder-1.3b deepseek-coder-6.7b " choose --machine rtx4090 --model deepseek
expect "bf16 fp16 fp32 " run --precision ""
expect "cuda host " calibrate --device ""
expect "--export --export-weights " train --exp
expect "--seed --select-every --sequence --set " sim --policy zenflow --se
expect "--seed --select-every --sequence --set " sim --policy=zenflow --se
expect "--seed --sequence --set " sim --se
expect "normal sign " sim --policy lsp --projector-values ""
expect "csv json table " list policies --format ""
expect "cards devices frameworks hosts machines models policies " list ""
expect "exit-codes " help exit
expect "gpt2 gpt2-1.3b gpt2-124m gpt2-774m " sim --model gpt2
expect "sim.trace " compare si
expect "host-reference host.ini " sim --machine host
touch loss.csv.training # a training that is killed on a busy machine has not written it yet
expect "loss.csv loss.csv.training " join --metrics lo
expect "" sim --batch ""
for shell in zsh fish; do
    file=$(ls "$source_dir/cli/completion/$shell/"*)
    if command -v $shell >/dev/null; then
        HOME=$scratch $shell -n "$file" || complain "$shell does not accept $file"
    else
        echo "no $shell here: $file is not checked"
    fi
done
if command -v fish >/dev/null; then
    got=$(HOME=$scratch fish \
        -c "source '$source_dir/cli/completion/fish/lspo.fish'; complete -C 'lspo sim --machine rtx4070'" |
        cut -f1 | sort | tr '\n' ' ')
    [ "$got" = "rtx4070 rtx4070tis " ] || complain "fish offers '$got'"
fi
exit $status
