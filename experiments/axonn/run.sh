#!/usr/bin/env bash
# AxoNN: what a bucket costs and takes, what the order of messages does with jitter, and the losses of grids.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open axonn
here=$experiments_dir/axonn

# Buckets of gpt2-1.3b on a V100, with a batch so small that the step is the update.
update=(sim --policy axonn --model gpt2-1.3b --machine v100-32gb --precision fp16 --batch 1 --sequence 8
    --iterations 3)
sizes="65536 262144 1000000 4000000 16000000 64000000"
[ "$EXPERIMENTS" != full ] || sizes="16384 32768 131072 524288 $sizes 2000000 8000000 32000000"
for slots in 1 2; do
    for size in $(printf '%s\n' $sizes | sort -nu); do
        lspo_row "$out/buckets.csv" slots,size "$slots,$size" "${update[@]}" --bucket-size "$size" --bucket-slots $slots
    done
done
lspo_row "$out/native.csv" policy_name native sim --policy native --model gpt2-1.3b --machine v100-32gb \
    --precision fp16 --batch 1 --sequence 8

# Orders.  The network's rate is such that a message takes no time, or as long as forward of a GPU's part.
grid=(sim --policy axonn --model "$here/models/equal.ini" --machine v100-32gb --precision fp16 --batch 4 --sequence 512
    --checkpointing off --iterations 4 --set net.latency_s=0s --set gpu.op_s=0s)
forward_s=$("$LSPO" "${grid[@]}" --pipeline 8 --accumulation 2 --set net.Bps=1000TB/s --trace "$out/sim.trace" \
    > /dev/null && sed '/^#/d' "$out/sim.trace" | query - "SELECT printf('%.6g', end_s - start_s) FROM rows
        WHERE kind = 'FWD' AND layer = 8 LIMIT 1")
rm "$out/sim.trace"
sizes="4 8"
draws=60
[ "$EXPERIMENTS" != full ] || { sizes="2 4 8 16"; draws=200; }
for gpus in $sizes; do
    part_s=$(awk -v s="$forward_s" -v gpus="$gpus" 'BEGIN { print s * 16 / gpus }')
    for times in 1 4; do
        for network in none forward; do
            rate=1000000000
            [ $network = none ] || rate=$(awk -v s="$part_s" 'BEGIN { printf "%.6f", 4 * 512 * 2048 * 2 / s / 1e9 }')
            for order in message 1f1b gpipe; do
                lspo_row "$out/orders.csv" gpus,micros,network,order,part_s \
                    "$gpus,$((gpus * times)),$network,$order,$part_s" "${grid[@]}" --pipeline "$gpus" \
                    --accumulation $((gpus * times)) --pipeline-order $order --set net.Bps="${rate}GB/s" \
                    --noise 1 --draws $draws --set noise.gpu_sigma=0.4
            done
        done
    done
done

# Grids of host devices, which train: one device, pipelines, replicas, in all orders.
steps=4
[ "$EXPERIMENTS" != full ] || steps=10
training=(run --policy axonn --device host --model gpt-tiny --batch 2 --sequence 64 --accumulation 4
    --iterations $steps --clip 1 --timing-only)
for cell in "1 1 message" "2 1 message" "2 1 gpipe" "1 2 message" "2 2 message" "2 2 1f1b" "2 2 gpipe"; do
    read -r gpus replicas order <<< "$cell"
    lspo_row "$out/losses.csv" grid,sending "$gpus-$replicas,$order" "${training[@]}" --pipeline "$gpus" \
        --replicas "$replicas" --pipeline-order "$order" 2> /dev/null
done
judge axonn
plot axonn "$out/axonn"
