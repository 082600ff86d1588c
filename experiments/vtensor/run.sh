#!/usr/bin/env bash
# vTensor: what a growth of a text costs, and when that is hidden; the memory that is free at each rate of requests,
# with chunks, blocks and reserved places; and the same decisions in real passes on this machine.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open vtensor
measure_alone
here=$experiments_dir/vtensor

# A text of llama-7b that grows by a chunk per tensor in its second iteration: the time of the calls.
growth() { # NAME ARGS...
    "$LSPO" sim --policy vtensor --model llama-7b --machine a100-80gb-sxm --precision fp16 --batch 1 --sequence 256 \
        --iterations 3 --chunks start --map-ahead 0 --trace "$out/growth.trace" --set cpu.op_s=0s "${@:2}" > /dev/null
    awk -F, -v name="$1" '$2 == "MAP" && $4 == 1 { printf "%s,%.9g\n", name, $9 - $8 }' "$out/growth.trace" \
        >> "$out/growth.csv"
}
echo name,map_s > "$out/growth.csv"
growth tensor
growth second-log --set gpu.chunk_map_s=1.05us --set gpu.chunk_access_s=20.8us
growth text --range text

# One request of 300 new tokens, and how much of its calls passes wait for; chunks are there.
printf 'time_s,prompt,tokens\n0,250,300\n' > "$out/one.csv"
for ahead in 0 1 100; do
    for range in tensor text; do
        lspo_row "$out/ahead.csv" ahead,range "$ahead,$range" serve --model llama-7b --machine a100-80gb-sxm \
            --arrivals "$out/one.csv" --cache vtensor --map-ahead $ahead --range $range --set gpu.chunk_create_s=1ns
    done
done

# Requests of 1024 + 256 tokens on average by their rate.
for rate in 1 2 4 8; do
    for cache in vtensor paged reserved; do
        lspo_row "$out/rates.csv" rate,range $rate,tensor serve --model "$here/models/yi-6b.ini" \
            --machine a100-80gb-sxm --rate $rate --requests 200 --prompt 1024 --tokens 256 --cache $cache --batch 256
    done
    lspo_row "$out/rates.csv" rate,range $rate,text serve --model "$here/models/yi-6b.ini" --machine a100-80gb-sxm \
        --rate $rate --requests 200 --prompt 1024 --tokens 256 --cache vtensor --range text --batch 256
done

# Turns of conversations that begin with the same 2048 tokens, and memory for few of them.
{
    echo time_s,prompt,tokens,group,prefix
    for i in $(seq 0 39); do echo "$i,$((2049 + 10 * (i % 8))),100,1,2048"; done | sed 's/^\([0-9]*\)/\1e-1/'
} > "$out/turns.csv"
sed 's/,1,2048$/,,/' "$out/turns.csv" > "$out/alone.csv"
for kind in turns alone; do
    lspo_row "$out/prefix.csv" kind $kind serve --model "$here/models/yi-6b.ini" --machine a100-80gb-sxm \
        --arrivals "$out/$kind.csv" --cache vtensor --range text
done

# On this machine, all requests at once, so that what is decided does not depend on times.
{
    echo time_s,prompt,tokens
    for i in $(seq 0 15); do echo "0,$((20 + 11 * i % 150)),$((10 + 7 * i % 60))"; done
} > "$out/host-arrivals.csv"
host=(--model gpt-small --arrivals "$out/host-arrivals.csv" --chunk 64KiB --cache-memory 12MiB --batch 4
    --precision fp32)
for cache in vtensor paged reserved; do
    lspo_row "$out/host.csv" kind measured serve --run "${host[@]}" --cache $cache
    lspo_row "$out/host.csv" kind predicted serve --machine host-reference "${host[@]}" --cache $cache
done

# A prompt of 240 chunks of a page per text: one call that gives access to all of them, or one for each; the least of
# 6 runs.
echo access,map_s > "$out/access.csv"
for turn in 1 2 3 4 5 6; do
    for access in range chunk; do
        "$LSPO" run --model gpt-tiny --policy vtensor --batch 4 --sequence 240 --iterations 4 --chunk 4KiB \
            --range text --chunks start --access $access --trace "$out/access.trace" > /dev/null
        awk -F, -v name=$access '$2 == "MAP" && $4 == 0 { printf "%s,%.9g\n", name, $9 - $8 }' "$out/access.trace" \
            >> "$out/access.csv"
    done
done

judge vtensor "$here/paper.csv"
plot vtensor "$out/vtensor"
