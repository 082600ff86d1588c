#!/usr/bin/env bash
# Table 2 and Figure 4: the measured GPU bytes of lora, galore and lsp against their formulas, and the numerical rank of
# the change of the weights against the number of subspaces.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open fig4
pretrain_model

ranks="4 16" updates="1 2 4" model=gpt-tiny d=32
[ "$EXPERIMENTS" = full ] && ranks="4 8 16 32" updates="1 2 3 4 6 8" model=gpt-small d=128

"$LSPO" show model $model --format csv > "$out/model.csv" || die "lspo show model failed"
for policy in lora galore lsp; do
    for k in $ranks; do
        mapfile -t own < <(own_flags $policy --rank "$k" --nnz "$k" --subspace $d)
        lspo_row "$out/memory.csv" k "$k" run --device host --model $model --policy $policy "${own[@]}" --batch 4 \
            --sequence 128 --iterations 4 2> >(grep -v 'this measurement is disturbed' >&2 || true)
    done
done

every=8
for policy in lsp galore lora; do
    for tau in $updates; do
        mapfile -t own < <(own_flags $policy --project-every $every --rank 16)
        "$LSPO" fit --model "$pretrained" --text "$corpus" --policy $policy --batch 4 --sequence 128 \
            --learning-rate 0.001 \
            --iterations $((every * tau)) --check-every $every --bias-threshold 0.001 --fit-steps 20 \
            --subspace 16 --nnz 4 "${own[@]}" --calibration 1 --validation 1 --format csv > "$out/cell.csv" ||
            die "lspo fit failed"
        [ -s "$out/rank.csv" ] || sed -n '1s/^/tau,/p' "$out/cell.csv" > "$out/rank.csv"
        sed -n "2,\$s/^/$tau,/p" "$out/cell.csv" >> "$out/rank.csv"
    done
done
rm "$out/cell.csv"

judge fig4
plot fig4 "$out/fig4" memory_note="$model, d = $d" rank_note="gpt-tiny, d = 16, rank 16"
