#!/usr/bin/env bash
# FusionAI: five measured steps of a pipeline over slow links, 50 RTX 3080 against 4 H100, and peers that leave.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open fusion
here=$experiments_dir/fusion

# peers FILE LINKS SECTION...: a file of peers, a line per word pair KEY=VALUE.
peers() {
    local file=$1
    shift
    printf '%s\n' "$@" | sed 's/=/ = /' > "$file"
}

# DS3Lab's rows.  The speed of their V100 makes the first one equal; the others follow.
measured() { # measured RATE LATENCY SPEED
    peers "$out/v100.ini" "[peers]" "Bps=$1" "latency_s=$2" "[peer v100]" "count=8" "speed=$3"
    echo --policy fusion --model "$here/models/gpt3-xl.ini" --machine v100-16gb --precision fp16 --batch 1 \
        --sequence 2048 --accumulation 96 --checkpointing on --iterations 2 --peers "$out/v100.ini" \
        --chain v100:4/v100*6:3/v100:4 --peer-order gpipe
}
speed=0.5
read -r rate latency_s first_s < <(grep -v '^#' "$here/paper")
for _ in 1 2 3; do
    # shellcheck disable=SC2046
    predicted_s=$(lspo_field iteration_s sim $(measured "$rate" "$latency_s" $speed))
    speed=$(awk -v v="$speed" -v p="$predicted_s" -v m="$first_s" 'BEGIN { printf "%.6f", v * p / m }')
done
while read -r rate latency_s step_s; do
    # shellcheck disable=SC2046
    lspo_row "$out/rows.csv" rate,latency,measured,speed "$rate,$latency_s,$step_s,$speed" \
        sim $(measured "$rate" "$latency_s" "$speed")
done < <(grep -v '^#' "$here/paper")

# 50 RTX 3080 behind links of one rate, and 4 H100 with NVLink.
job=(sim --policy fusion --model "$here/models/deep.ini" --machine rtx3080 --precision fp16 --batch 1 --sequence 1024
    --accumulation 256 --checkpointing on --iterations 2)
peers "$out/h100.ini" "[peer h100]" "count=4" "machine=h100-80gb-sxm" "[peers]" "Bps=450GB/s" "latency_s=5us"
lspo_row "$out/few.csv" cards,Bps "4 H100,450e9" "${job[@]}" --peers "$out/h100.ini"
rates="100 300 1000 3000 10000 100000"
[ "$EXPERIMENTS" != full ] || rates="10 30 50 150 200 500 700 1500 2000 5000 7000 15000 30000 50000 $rates"
many() { # many ORDER LATENCY_MS RATES: in Mbit/s
    local rate
    for rate in $(printf '%s\n' $3 | sort -n); do
        peers "$out/rtx3080.ini" "[peers]" "Bps=${rate}Mbit/s" "latency_s=$2ms" "[peer rtx3080]" "count=50"
        lspo_row "$out/many.csv" latency_ms,mbit "$2,$rate" "${job[@]}" --peer-order "$1" --peers "$out/rtx3080.ini"
    done
}
many gpipe 1 "$rates"
many gpipe 50 "$rates"
many 1f1b 1 100000
many 1f1b 50 100000

# The same cards with 1 Gbit/s, of which each leaves after a mean time: how often should all parts be saved?
peers "$out/rtx3080.ini" "[peers]" "Bps=1000Mbit/s" "latency_s=1ms" "[peer rtx3080]" "count=50"
for stay_h in 6 24 168; do
    for save_every in 3 6 12 24 48; do
        lspo_row "$out/churn.csv" stay_h,save_every "$stay_h,$save_every" broker "${job[@]:3:14}" --steps 5000 \
            --peer-order gpipe --peers "$out/rtx3080.ini" --stay "${stay_h}h" --away 1h --save-every "$save_every"
    done
done

judge fusion
plot fusion "$out/fusion"
