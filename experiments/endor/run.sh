#!/usr/bin/env bash
# Endor: a pass of OPT-66B with pruned weights from host and SSD, dense, CSR and bitmap, beside the authors'; passes
# against the link; a measured run on this machine; and what pruning costs in perplexity.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open endor
measure_alone
here=$experiments_dir/endor
opt=(--policy endor --model "$here/models/opt-66b.ini" --machine "$here/machines/rtx4080-nvme.ini" --precision fp16
    --batch 1 --sequence 32 --iterations 4)

# pass NAME ARGS...: 5 blocks on the GPU, each layer behind the one before, as Accelerate's hooks.
pass() { lspo_row "$out/passes.csv" pass "$1" sim "${opt[@]}" --gpu-blocks 5 --weight-slots 1 "${@:2}"; }
pass dense --weight-format dense --host-weights 16.4GB                   # 8 blocks on the host
pass bitmap --weight-format bitmap --host-weights 9.2GB                  # the same 8
pass more-room --weight-format bitmap --host-weights 16.4GB              # 14
pass direct --weight-format bitmap --host-weights 16.4GB --direct on
pass csr --weight-format csr --host-weights 16.4GB
pass fast-expansion --weight-format bitmap --host-weights 9.2GB --set gpu.expand_Bps=800GB/s
pass overlapped-dense --weight-format dense --host-weights 16.4GB --weight-slots 3
pass overlapped --weight-format bitmap --host-weights 16.4GB --weight-slots 3

for format in dense csr bitmap; do
    for link in 0.1GB/s 1GB/s 10GB/s 100GB/s 1000GB/s; do
        lspo_row "$out/links.csv" link "$link" sim "${opt[@]}" --weight-format $format --link $link \
            --set gpu.expand_Bps=0B/s
    done
done

# On this machine, where a link of 100 MB/s decides.
profile_measure
host=(--policy endor --model gpt-small --batch 1 --sequence 64 --iterations 6 --precision bf16 --link 100MB/s)
for format in dense csr bitmap; do
    lspo_row "$out/host.csv" kind predicted sim "${host[@]}" --weight-format $format --machine "$PROFILE"
    lspo_row "$out/host.csv" kind measured run "${host[@]}" --weight-format $format
done

# What pruning costs, of a small model that has learned a text: the calibration and the scored windows are of that text.
pretrain_model
steps=200
[ "$EXPERIMENTS" != full ] || steps=2000
"$LSPO" train --model "$pretrained" --data "$corpus" --policy native --batch 4 --sequence 128 --steps $steps \
    --warmup-steps 20 --learning-rate 3e-3 --export "$out/model" > /dev/null 2>&1 || die "a training failed"
perplexity() { # perplexity PRUNING SPARSITY SEED FLAGS...: its row
    local answer
    answer=$("$LSPO" generate --model "$out/model" --perplexity "$corpus" "${@:4}" --format json) || die "no perplexity"
    answer=$(sed -n 's/.*"perplexity": \([0-9.e+]*\),.*/\1/p' <<< "$answer")
    echo "$1,$2,$3,$answer"
}
echo pruning,sparsity,seed,perplexity > "$out/perplexity.csv"
beside "$out/perplexity.csv" perplexity none 0 ''
for sparsity in 0.3 0.5 0.8; do
    beside "$out/perplexity.csv" perplexity magnitude $sparsity '' --prune magnitude --sparsity $sparsity
    for seed in 1 2; do
        beside "$out/perplexity.csv" perplexity wanda $sparsity $seed --prune wanda --sparsity $sparsity \
            --calibration "$corpus" --seed $seed
    done
done
beside_all

judge endor "$here/paper.csv"
plot endor "$out/endor"
