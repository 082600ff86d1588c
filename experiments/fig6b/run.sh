#!/usr/bin/env bash
# Bias on held-out gradients against r at equal extra GPU memory: random and learned projectors, and GaLore's basis.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open fig6b
here=$experiments_dir/fig6b
pretrain_model

# own: the text that the model was trained on; other: one that it is about to be fine-tuned on.
panels="own:16 own:64 other:64" nonzeros="2 4 8" gradients=8 fit_steps=50
[ "$EXPERIMENTS" = full ] && panels="own:16 own:32 own:64 own:96 other:16 other:64" nonzeros="2 4 8 16 32 64" \
    gradients=32 fit_steps=100

# Steps too small to change the weights.
workload=(--model "$pretrained" --batch 4 --sequence 128 --iterations 2 --learning-rate 1e-9
    --calibration $gradients --validation $gradients --bias-threshold 0.01 --fit-steps $fit_steps)
for panel in $panels; do
    text=${panel%:*} d=${panel#*:}
    source=()
    [ $text = own ] || source=(--text "$corpus")
    for r in $nonzeros; do
        [ "$r" -le "$d" ] || continue
        "$LSPO" fit "${workload[@]}" "${source[@]}" --subspace "$d" --nnz "$r" --format csv > "$out/cell.csv" ||
            die "lspo fit failed"
        [ -s "$out/fig6b.csv" ] || sed -n '1s/^/text,/p' "$out/cell.csv" > "$out/fig6b.csv"
        sed -n "2,\$s/^/$text,/p" "$out/cell.csv" >> "$out/fig6b.csv"
    done
done
rm "$out/cell.csv"

awk_csv "$here/mean.awk" "$out/fig6b.csv" > "$out/mean.csv"
plot fig6b "$out/fig6b" note="What projectors keep of the gradients of a pretrained gpt-tiny, batch 4, 128 tokens"
awk_csv "$here/check.awk" "$out/fig6b.csv"
