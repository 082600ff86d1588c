#!/usr/bin/env bash
# Endor: a pass of OPT-66B with pruned weights from host and SSD, dense, CSR and bitmap, beside the authors'; passes
# against the link; and a measured run on this machine.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open endor
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

judge endor "$here/paper.csv"
plot endor "$out/endor"
