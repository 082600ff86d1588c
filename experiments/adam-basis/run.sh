#!/usr/bin/env bash
# Held-out loss after equal steps, by the coordinates in which Adam works.  The short form trains each method once, on
# one base, at the rate that was best in the recorded full run.  The full form takes hours; what it has it keeps, and
# goes on where it was stopped.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
here=$experiments_dir/adam-basis
results_claim
out=$RESULTS/adam-basis losses=$RESULTS/adam-basis/losses-$EXPERIMENTS.csv
[ "$EXPERIMENTS" = full ] || rm -rf "$out"
mkdir -p "$out"
pretrain_model

workload=(--batch 4 --sequence 128)
columns=base,steps,method,seed,learning_rate,held_out_before,held_out_after,step_s,peak_gpu_bytes

# pretrain BASE MODEL STEPS RATE: a folder of it, once.  One of each form's is that of other figures, too.
pretrain() {
    local folder=$RESULTS/pretrained/$1
    case $EXPERIMENTS-$1 in short-tiny-250 | full-tiny-2000) folder=$pretrained ;; esac
    echo "$folder"
    [ ! -d "$folder" ] || return 0
    "$LSPO" train --model "$2" --policy native --steps "$3" --warmup-steps 20 "${workload[@]}" --learning-rate "$4" \
        --export "$folder" --format csv > "$out/run.csv" 2> "$out/err" ||
        { cat "$out/err" >&2; die "pretraining failed"; }
}

# gpu_bytes MODEL POLICY FLAGS...: predicted peak.
gpu_bytes() {
    local model=$1 policy=$2
    shift 2
    lspo_field peak_gpu_bytes sim --model "$model" --machine host-reference "${workload[@]}" --policy "$policy" "$@"
}

# with_rank MODEL POLICY FLAGS RANK: peak GPU memory with the flags, in which RANK is replaced.
with_rank() {
    # shellcheck disable=SC2086 # flags
    gpu_bytes "$1" "$2" ${3/RANK/$4}
}

# rank_of MODEL POLICY FLAGS: the largest RANK in the flags for which the policy needs at most lsp's GPU memory.
rank_of() {
    # shellcheck disable=SC2046 # flags
    largest_rank "$(gpu_bytes "$1" lsp $(grid_rows "$here/methods" | awk '$1 == "lsp" { $1 = $2 = $3 = ""; print }'))" \
        with_rank "$1" "$2" "$3"
}

# one_row KEY MODEL STEPS POLICY RATE SEED FLAGS...: of a training
one_row() {
    local key=$1 model=$2 steps=$3 policy=$4 rate=$5 seed=$6 run=$out/run.$BASHPID
    shift 6
    "$LSPO" train --model "$model" --data "$corpus" --policy "$policy" "${workload[@]}" --steps "$steps" \
        --warmup-steps $((steps / 10)) --learning-rate "$rate" --seed "$seed" --eval-batches 16 --format csv "$@" \
        > "$run" 2> "$run.err" || { cat "$run.err" >&2; die "the training of $key failed"; }
    query "$run" "SELECT printf('%s,%.9g,%.9g,%.9g,%.0f', given('key'), held_out_before, held_out_after, step_s,
        peak_gpu_bytes) FROM rows" --given key="$key"
    rm "$run" "$run.err"
}

# fine_tune BASE MODEL STEPS METHOD POLICY RATE SEED FLAGS...: one row more, unless it is there.
fine_tune() {
    local model=$2 steps=$3 policy=$5 rate seed=$7 key
    rate=$(printf %g "$6") key=$1,$3,$4,$7,$rate # as best_rate prints it
    shift 7
    [ -s "$losses" ] || echo $columns > "$losses"
    grep -q "^$key," "$losses" || beside "$losses" one_row "$key" "$model" "$steps" "$policy" "$rate" "$seed" "$@"
}

# best_rate FILE BASE METHOD: of those tried with seed 1 at 90 steps the one at which it ends lowest.
best_rate() {
    query "$1" "SELECT learning_rate FROM rows WHERE base = given('base') AND method = given('method') AND steps = 90
        AND seed = 1 ORDER BY held_out_after LIMIT 1" --given base="$2" --given method="$3" | grep .
}

# each FUNCTION ARGS...: FUNCTION BASE MODEL ALL_STEPS METHOD POLICY RATES FLAGS ARGS..., for every base and method.
each() {
    local function=$1 base preset steps rate all_steps model method policy rates flags
    shift
    while read -r base preset steps rate all_steps <&4; do
        [ "$EXPERIMENTS" = full ] || [ "$base" = tiny-250 ] || continue
        model=$(pretrain "$base" "$preset" "$steps" "$rate")
        while read -r method policy rates flags <&3; do
            case $flags in *RANK*) flags=${flags/RANK/$(rank_of "$model" "$policy" "$flags")} ;; esac
            "$function" "$base" "$model" "$all_steps" "$method" "$policy" "$rates" "$flags" "$@"
        done 3< <(grid_rows "$here/methods")
    done 4< <(grid_rows "$here/bases")
}

# The rates to try, at 90 steps with seed 1.
try_rates() {
    local rate
    # shellcheck disable=SC2086 # flags
    for rate in ${6//,/ }; do fine_tune "$1" "$2" 90 "$4" "$5" "$rate" 1 $7; done
}

# Three seeds of as many steps at the best rate.
three_seeds() {
    local rate seed
    case ,$3, in *",$8,"*) ;; *) return 0 ;; esac
    rate=$(best_rate "$losses" "$1" "$4")
    # shellcheck disable=SC2086 # flags
    for seed in 1 2 3; do fine_tune "$1" "$2" "$8" "$4" "$5" "$rate" "$seed" $7; done
}

# One seed at the recorded run's best rate.
once() {
    # shellcheck disable=SC2086 # flags
    fine_tune "$1" "$2" 90 "$4" "$5" "$(best_rate "$here/recorded.csv" "$1" "$4")" 1 $7
}

if [ "$EXPERIMENTS" = full ]; then
    each try_rates
    beside_all
    for count in 90 300 800; do each three_seeds $count; done
else
    each once
fi
beside_all
rm -f "$out/run.csv" "$out/err"

# The picture is of the recorded full run, with this run's losses marked in it.
judge adam-basis of_record="$here/recorded.csv" losses="$losses"
plot adam-basis "$out/adam-basis" note="Held-out loss after fine-tuning on C headers, batch 4, 128 tokens"
