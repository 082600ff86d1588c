#!/usr/bin/env bash
# Bias on held-out gradients against r at equal extra GPU memory: random and learned projectors, and GaLore's basis.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open fig6b
pretrain_model

# own: the text that the model was trained on; other: one that it is about to be fine-tuned on.
panels="own:16 own:64 other:64" nonzeros="2 4 8" gradients=8 fit_steps=50
[ "$EXPERIMENTS" = full ] && panels="own:16 own:32 own:64 own:96 other:16 other:64" nonzeros="2 4 8 16 32 64" \
    gradients=32 fit_steps=100

# Steps too small to change the weights.
workload=(--model "$pretrained" --batch 4 --sequence 128 --iterations 2 --learning-rate 1e-9
    --calibration $gradients --validation $gradients --bias-threshold 0.01 --fit-steps $fit_steps)
cell() { # cell TEXT FLAGS...
    local text=$1 rows
    shift
    rows=$("$LSPO" fit "${workload[@]}" "$@" --format csv) || die "lspo fit failed"
    sed -e '1s/^/text,/' -e "2,\$s/^/$text,/" <<< "$rows"
}
for panel in $panels; do
    text=${panel%:*} d=${panel#*:}
    source=()
    [ $text = own ] || source=(--text "$corpus")
    for r in $nonzeros; do
        [ "$r" -le "$d" ] || continue
        beside "$out/cells.csv" cell "$text" "${source[@]}" --subspace "$d" --nnz "$r"
    done
done
beside_all
awk 'NR == 1 || !/^text,/' "$out/cells.csv" > "$out/fig6b.csv" # one header
rm "$out/cells.csv"

# Does a lower bias train better?  Trainings on the other text in subspaces that were fitted for more and more steps,
# and in random ones (0 steps), in the coordinates of the subspace and in the eigenbasis.
nonzeros="4" fits="0 5 20 100" seeds="1" steps=60
[ "$EXPERIMENTS" = full ] && nonzeros="2 4 8" seeds="1 2 3" steps=90
loss() { # loss KEY FLAGS...: its row
    local key=$1 run=$out/run.$BASHPID
    shift
    "$LSPO" train --model "$pretrained" --data "$corpus" --policy lsp --subspace 64 --train-rest on --batch 4 \
        --sequence 128 --steps $steps --warmup-steps $((steps / 10)) --learning-rate 5e-3 --metrics "$run.metrics" \
        --format csv "$@" > "$run" 2> "$run.err" || { cat "$run.err" >&2; die "a training failed"; }
    # The bias of the projectors that it began with, from its metrics, and the held-out loss.
    "$LSPO" sql -e "SELECT printf('%s,%.9g,%.9g', given('key'), bias_fitted, held_out_after) FROM result,
        (SELECT bias_fitted FROM metrics WHERE bias_fitted IS NOT NULL ORDER BY rowid DESC LIMIT 1)" \
        metrics="$run.metrics" result="$run" --given key="$key" | grep .
    rm -f "$run" "$run".*
}
echo nnz,fit_steps,adam_basis,seed,bias,held_out_loss > "$out/loss.csv"
for r in $nonzeros; do
    for fit in $fits; do
        # A check that measures the bias, and fits if it is above the threshold.
        fitting=(--check-every 1000 --bias-threshold 0.01 --fit-steps "$fit")
        [ "$fit" -gt 0 ] || fitting=(--check-every 1000 --bias-threshold 10)
        for basis in plain eigen; do
            for seed in $seeds; do
                beside "$out/loss.csv" loss "$r,$fit,$basis,$seed" --nnz "$r" "${fitting[@]}" --adam-basis $basis \
                    --seed "$seed"
            done
        done
    done
done
beside_all

judge fig6b
plot fig6b "$out/fig6b" note="What projectors keep of the gradients of a pretrained gpt-tiny, batch 4, 128 tokens"
plot fig6b-loss "$out/fig6b-loss" \
    note="gpt-tiny on C headers, $steps steps of lsp, d = 64: does a lower bias train better?"
