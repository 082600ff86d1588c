#!/usr/bin/env bash
# The scripts of the experiments: columns by name, sums worked out by hand, and checks that fail when they should.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
here=$source_dir/experiments

echo x > "$folder/x.csv"
status_of "$program" sql -e "select 1" "$folder/x.csv" > /dev/null
if grep -q 'without SQLite' "$folder/messages"; then
    echo "built without SQLite, which the experiments need"
    exit 77
fi

quoted() { printf '%s' "${1//\'/\'\'}"; }
claims() { # claims EXPERIMENT SOURCE...: its claims.sql; what it writes is in $folder/written
    mkdir -p "$folder/written"
    "$program" sql "$here/$1/claims.sql" "${@:2}" -o "$folder/written"
}

# A folder of results is emptied by figures: one that is not theirs is refused and left as it was.
claim() { RESULTS=$1 bash -c '. "$0/lib.sh" && results_open "$1"' "$here" memory; }
mkdir -p "$folder/home/memory" "$folder/empty"
echo precious > "$folder/home/memory/thesis"
check "a folder of somebody else is refused" 1 "$(status_of claim "$folder/home")"
check "and left as it was" precious "$(cat "$folder/home/memory/thesis")"
check "a file is refused" 1 "$(status_of claim "$folder/home/memory/thesis")"
check "a new folder is made" 0 "$(status_of claim "$folder/it's \"new\" \$(touch harm)/results")"
check "a path below a file is refused" 1 "$(status_of claim "$folder/x.csv/results")"
check "an empty folder is taken" 0 "$(status_of claim "$folder/empty")"
touch "$folder/empty/memory/old.csv"
check "a folder of ours is emptied" "0 " "$(status_of claim "$folder/empty") $(ls "$folder/empty/memory")"

# What runs beside each other is appended in order, though the last one ends first; one that fails ends the figure, and
# with it those that still run.
with_beside() { RESULTS=$folder/beside bash -c '. "$0/lib.sh" && results_open x && '"$1" "$here"; }
with_beside 'late() { sleep 0.$((6 - $1)); echo $1; }
    for i in 1 2 3 4 5; do beside "$out/rows" late $i; done; beside_all; echo end >> "$out/rows"'
check "rows in order" "1 2 3 4 5 end" "$(xargs < "$folder/beside/x/rows")"
check "and no other file" ".locks .lspo-experiments x" "$(ls -A "$folder/beside" | xargs)"
fails='(echo $BASHPID > "$out/pid"; exec sleep 100)'
check "a failure is one of the figure" 1 "$(status_of with_beside 'slow() { '"$fails"'; }
    [ ${#beside_cores[@]} -gt 1 ] || beside_cores+=("${beside_cores[0]}")
    beside "$out/rows" false; beside "$out/rows" slow; until [ -s "$out/pid" ]; do sleep 0.05; done; beside_all')"
sleep 0.2
check "which ends the others" gone \
    "$(state=$(awk '{ print $3 }' "/proc/$(cat "$folder/beside/x/pid")/stat" 2> /dev/null || echo none)
    case $state in none | Z) echo gone ;; *) echo "$state" ;; esac)"

# Names with quotes and blanks reach gnuplot as text, in settings and in the path of the results.
if command -v gnuplot > /dev/null; then
    odd="$folder/it's; system('touch harm') \"odd\" \`touch harm\`"
    mkdir "$odd"
    printf '%s\n' 'model,policy,link_Bps,slowdown' llama-7b,native,1e9,1 llama-7b,native,64e9,1 llama-7b,zero,1e9,4 \
        llama-7b,zero,64e9,1.5 gpt2-774m,zero,1e9,3 gpt2-774m,zero,64e9,1.2 > "$odd/bandwidth.csv"
    draw() { (cd "$folder" &&
        RESULTS=$odd bash -c '. "$0/lib.sh" && plot bandwidth "$1/bandwidth" title_1=x title_2=y "note=a\"b'\'' c"' \
        "$here" "$odd"); }
    check "a picture in a folder with an odd name" "0 yes" \
        "$(status_of draw) $([ -s "$odd/bandwidth.svg" ] && echo yes)"
    check "no name is run as a command" "" "$(find "$folder" -name harm)"
fi

# What a machine can train: of three policies two fit, and the first of these is the fastest.
fits() { # FITS of each, fastest first
    printf '%s\n' model,policy,fits,tokens_per_s,limited_by "m,a,$1,1e9,x" "m,b,$2,11380.6,the GPU" \
        "m,c,$3,20,the link" > "$folder/choose.csv"
    RESULTS=$folder/trains LSPO=$program bash -c '. "$0/lib.sh" && fastest_that_fits "$1"' "$here" "$folder/choose.csv"
}
check "policies that fit" "m,2 of 3,b,11381,the GPU" "$(fits false true true)"
check "the slowest alone" "m,1 of 3,c,20,the link" "$(fits false false true)"
check "none" "m,0 of 3,none fits,," "$(fits false false false)"

# adam-basis: of the rates tried with seed 1 at 90 steps the best, of its seeds mean and extremes, against full's mean.
cat > "$folder/losses.csv" <<'CSV'
base,steps,method,seed,learning_rate,held_out_before,held_out_after,step_s,peak_gpu_bytes
b,90,full,1,1e-3,5,4.5,1,100
b,90,full,1,2e-3,5,4,1,100
b,90,full,2,2e-3,5,6,1,100
b,90,lsp,1,5e-3,5,3,1,70
b,90,lsp,2,5e-3,5,5,1,70
b,90,lsp,1,1e-2,5,3.5,1,70
b,90,lsp,2,1e-2,5,1,1,70
CSV
check "the best rate" 0.005 "$(RESULTS=$folder/best LSPO=$program bash -c '. "$0/lib.sh"
    eval "$(sed -n "/^best_rate()/,/^}/p" "$0/adam-basis/run.sh")"; best_rate "$1" b lsp' "$here" "$folder/losses.csv")"
claims adam-basis of_record="$folder/losses.csv" losses="$folder/losses.csv" > "$folder/out" || true
check "means and extremes against full fine-tuning" "b,90,lsp,0.005,2,4,3,5,-0.2,-0.4,0,70" \
    "$(grep ,lsp, "$folder/written/recorded.csv")"
# By seed 3 / 4 - 1 = -25 % and 9 / 6 - 1 = 50 %: 12.5 -+ 12.7062 * 75 / 2.
check "claims that are observed" "no    lsp with random projectors at or below full Adam: not at b,90 +20.0 %; \
at most +20.0 % [95 %: -460 % to 490 %]" \
    "$(sed -i 's/^b,90,lsp,2,5e-3,5,5/b,90,lsp,2,5e-3,5,9/' "$folder/losses.csv"
    claims adam-basis of_record="$folder/losses.csv" losses="$folder/losses.csv" | grep -o 'no .*full Adam.*')"

# Every policy has a style of its own, and a picture of all of them as many styles as series.
names=$("$program" list policies --format csv |
    "$program" sql -e "SELECT name FROM p WHERE task = 'train'" p=/dev/stdin)
check "no policy without a style" "" "$(styled=$(sed -n 's/^styled_policies = "\(.*\)"$/\1/p' "$here/../plots/style.gp")
    for name in $names; do case " $styled " in *" $name "*) ;; *) echo "$name" ;; esac; done)"
if command -v gnuplot > /dev/null; then
    gnuplot -e "width = height = 100; format='svg'; target='/dev/null'" \
        -e "load '$(quoted "$here/../plots/style.gp")'" \
        -e 'do for [i=1:words(styled_policies)] { print sprintf("%06x %d", policy_colour[i], policy_mark[i]) }' \
        > "$folder/styles" 2>&1 || true
    check "a style for each name" "$(sed -n 's/^styled_policies = "\(.*\)"$/\1/p' "$here/../plots/style.gp" | wc -w)" \
        "$(sort -u "$folder/styles" | wc -l)"
    mkdir "$folder/styles.d"
    {
        echo "model,policy,link_Bps,slowdown"
        i=0
        for name in $names; do
            i=$((i + 1))
            printf '%s\n' "m,$name,1e9,$i" "m,$name,64e9,$i"
        done
    } > "$folder/styles.d/bandwidth.csv"
    RESULTS=$folder bash -c '. "$0/lib.sh" && plot bandwidth "$1/bandwidth" title_1=m' "$here" "$folder/styles.d"
    check "as many styles as series" "$(echo $names | wc -w)" \
        "$(awk '/<title>gnuplot_plot_[0-9]*a?</ { series = $0; next }
            series != "" && match($0, /stroke='"'"'rgb\([^)]*\)|color:rgb\([^)]*\)/) {
                sub(/.*plot_/, "", series); print substr($0, RSTART, RLENGTH); series = ""
            }' "$folder/styles.d/bandwidth.svg" | sort -u | wc -l)"
fi

# Ctrl-C ends the run, though lspo catches it and the figure under way ends by itself.
mkdir -p "$folder/stopped"
cat > "$folder/slow-lspo" <<'SLOW'
#!/bin/bash
case $1 in report | version) exec "$REAL" "$@" ;; esac
echo x >> "$COUNT"
trap 'kill %1; exit 130' INT
sleep 20 > /dev/null & wait
SLOW
chmod +x "$folder/slow-lspo"
COUNT=$folder/count REAL=$program LSPO=$folder/slow-lspo RESULTS=$folder/stopped \
    env --default-signal=INT setsid "$here/run.sh" fig3 convergence > "$folder/out" 2>&1 &
runner=$!
for _ in $(seq 100); do [ -s "$folder/count" ] && break; sleep 0.1; done
kill -INT -- "-$runner"
status=0
wait "$runner" || status=$?
check "Ctrl-C ends the experiments" "130 1" "$status $(wc -l < "$folder/count")"
check "and the report says so" '<span class="open">interrupted</span>; exit status 130' \
    "$(sed -n '/<section id="fig3">/,$s|^<p>\(<span.*exit status 130\)</p>$|\1|p' "$folder/stopped/report.html")"

# A new experiment begins as a copy of the template.  One whose inputs have not changed is not run again.
if command -v gnuplot > /dev/null; then
    mkdir "$folder/tree"
    cp -r "$here" "$here/../plots" "$folder/tree/"
    tree=$folder/tree/experiments
    mv "$tree/TEMPLATE" "$tree/links"
    sed -i -e '/^all="\$all/d' -e 's/^all=.*/all="links"/' -e '/print_report/d' "$tree/run.sh"
    again() { # again [OPTION...]: what it did
        RESULTS=$folder/again LSPO=$program "$tree/run.sh" "$@" > "$folder/out" 2>&1 || { cat "$folder/out"; return; }
        if grep -q "as it was" "$folder/out"; then echo kept; else grep -c '^  holds ' "$folder/out"; fi
    }
    check "a copy of the template holds" 2 "$(again)"
    check "with a picture and a page" "yes yes" \
        "$(for name in links.svg README.md; do [ -s "$folder/again/links/$name" ] && echo yes; done | xargs)"
    check "it is not run twice" kept "$(again)"
    check "nor if it is named" kept "$(again links)"
    check "unless it is to be" 2 "$(again --fresh links)"
    check "or all are to be" 2 "$(again --fresh)"
    echo "# more" >> "$folder/tree/plots/style.gp"
    check "or a script has changed" 2 "$(again)"
    echo '[ -d "$experiments_dir/fig2" ]' >> "$tree/links/run.sh"
    check "or the experiment" "2 kept" "$(again) $(again)"
    echo >> "$tree/fig2/README.md"
    check "or one that it mentions" 2 "$(again)"
    echo '[ -s "$RESULTS/other/runs.csv" ]' >> "$tree/links/run.sh"
    mkdir "$folder/again/other"
    echo 1 > "$folder/again/other/runs.csv"
    check "which reads another one's results" "2 kept" "$(again) $(again)"
    echo 2 > "$folder/again/other/runs.csv"
    check "that are new" 2 "$(again)"
    sed -i 's/lsp \/ zero <= 1)/lsp \/ zero < 0)/' "$tree/links/claims.sql"
    again > "$folder/failed"
    again > "$folder/failed"
    check "one that failed is run again" 1 "$(grep -c '^  FAILS ' "$folder/failed")"
fi

# 36 cells in equal thirds, the first $1 of them disturbed; errors of 1 and 3 %.
cells() {
    echo "cell,bound,disturbed,predicted_s,measured_s"
    awk -v disturbed="$1" 'BEGIN {
        split("gpu link cpu", bound, " ")
        for (i = 1; i <= 36; i++) printf "%d,%s,%s,%s,1\n", i, bound[i % 3 + 1], i <= disturbed ? "true" : "false",
            i % 2 ? "0.99" : "1.03"
    }'
}
gate() { # gate NAME EXPECTED_STATUS VERDICT NAIVE_ERROR DISTURBED [FULL]
    cells "$5" > "$folder/cells.csv"
    printf '%s\n' predictor,quantity,cells,mean,p95 lspo,time,all,0.02,0.05 lspo,time,gpu,0.9,0.9 \
        "native + bytes/link,time,all,$4,$4" "slowest lane,time,all,0.3,0.3" "measured again,time,all,0.01,0.02" \
        > "$folder/summary.csv"
    check "$1" "$2" "$(status_of claims sim-vs-host --given verdict="$3" --given full="${6:-0}" \
        "$folder/cells.csv" "$folder/summary.csv")"
}
gate "good predictions pass" 0 0 0.5 0
# 2 % -+ 2.0301 * 1.0142 / 6
check "the interval of the mean error" "[95 %: 1.66 % to 2.34 %]" \
    "$(sed -n 's/.*thresholds.*; a second.*1.0 %) \(\[.*\)/\1/p' "$folder/stdout")"
gate "predictions outside the thresholds fail" 1 5 0.5 0
gate "a naive predictor that passes is a grid too easy" 1 0 0.03 0
gate "nine disturbed cells of 36 are left out" 0 0 0.5 9
gate "ten are too many" 1 0 0.5 10
gate "36 cells are too few for the full grid" 1 0 0.5 0 1
cells 0 | sed 's/,cpu,/,link,/' > "$folder/cells.csv"
check "no CPU-bound cells fails" 1 "$(status_of claims sim-vs-host --given verdict=0 --given full=0 \
    "$folder/cells.csv" "$folder/summary.csv")"

# Without a judged cell there is no mean error, and none is printed.
cells 36 > "$folder/cells.csv"
printf '%s,time,all,,\n' lspo "native + bytes/link" "slowest lane" "measured again" |
    sed '1s/^/predictor,quantity,cells,mean,p95\n/' > "$folder/summary.csv"
unjudged() { claims sim-vs-host --given verdict=6 --given full=0 "$folder/cells.csv" "$folder/summary.csv"; }
check "nothing judged fails" 1 "$(status_of unjudged)"
check "and says so" "3 0" \
    "$(grep -c 'mean error unknown, because no cell was judged' "$folder/stdout") $(grep -c '0\.0 %' "$folder/stdout")"

# Published steps: 199 rows of 15 sources, every error +X and -X in turn; fitted means and pairs come from elsewhere.
published_gate() { # NAME EXPECTED_STATUS X BIAS MEAN_OF_THE_FIT LEFT_OUT
    awk -v x="$3" -v bias="$4" 'BEGIN {
        print "framework,source,error,predicted_s,measured_s,peak_gpu_bytes,peak_gpu_bound_bytes," \
            "published_peak_gpu_bytes"
        for (i = 1; i <= 199; i++) {
            error = (i % 2 ? x : -x) + bias
            printf "f,s%d,%.9g,%.9g,1,1,2,%s\n", i % 15, error, 1 + error, i <= 25 ? 1 : ""
        }
    }' > "$folder/published.csv"
    check "$1" "$2" "$(status_of claims published --given order_pairs=27 --given card_pairs=29 --given card_right=28 \
        --given fitted_mape="$5" --given left_out="$6" "$folder/published.csv" "$here/published/bands.csv" \
        recorded="${7:-$here/published/bands.csv}")"
}
published_gate "published steps 10 % off pass" 0 0.1 0 0.1 0.19
published_gate "16 % off fail" 1 0.16 0 0.16 0.19
published_gate "a bias of 6 % fails" 1 0.1 0.06 0.1003015 0.19
published_gate "21 % for sources left out fail" 1 0.1 0 0.1 0.21
published_gate "no figure for them fails" 1 0.1 0 0.1 ""
published_gate "frameworks that the fit does not find fail" 1 0.1 0 0.09 0.19
sed '$d' "$here/published/bands.csv" > "$folder/fewer.csv"
published_gate "a band that is not recorded fails" 1 0.1 0 0.1 0.19 "$folder/fewer.csv"
"$program" sql -e "UPDATE b SET low = low + 0.003 WHERE rowid = 2; WRITE moved AS SELECT * FROM b" \
    b="$here/published/bands.csv" -o "$folder"
published_gate "and one that has moved" 1 0.1 0 0.1 0.19 "$folder/moved.csv"

# Figure 2, one bar an assumption: 2 s over 1 s of GPU time; the paper's 2.43 less 13.08 % of "other" is 2.1121, and 2
# is 5 % below.
fig2_head=group,paper_low,paper_high,paper_rest,model,machine
fig2_head+=,gpu_busy_s,exposed_comm_s,exposed_cpu_s,other_s,iteration_s
fig2() { # fig2 TOTAL_OF_LLAMA_7B, against 3.0 to 3.4 [GPT2_1.3B_EXPLAINED, against 9]
    local half="half the GPU and 3.5 GB/s and one gradient waits,,,"
    printf '%s\n' $fig2_head published,2,2,2,gpt2-774m,l,1,0.5,0.5,0,2 published,9,9,9,gpt2-1.3b,l,1,0.5,1.5,0,3 \
        published,2.43,2.43,,llama-3b,w,1,0.75,0.25,0,2 \
        "published,3.45161,3.4,,llama-7b,w,1,0.5,$(awk "BEGIN { print $1 - 1.5 }"),0,$1" \
        "$half,gpt2-774m,l,2,0,0,0,4" "$half,gpt2-1.3b,l,1,0,0,0,${2:-9}" > "$folder/fig2.csv"
    printf '2 bytes per value both ways,,,,%s,,1,0.5,0,0,1.5\n' gpt2-774m gpt2-1.3b llama-3b llama-7b \
        >> "$folder/fig2.csv"
    claims fig2 "$folder/fig2.csv"
}
fig2_gate() { check "$1" "$2" "$(status_of fig2 "${@:3}")"; }
fig2_gate "the paper's bars pass" 0 3.2
check "the paper's total without other" "llama-3b,w,1,0.75,0.25,0,2,1.5,2.11205607,2.43,2.43,2.43" \
    "$(grep llama-3b "$folder/written/bars.csv")"
fig2_gate "a workstation bar 17 % low passes" 0 2.5
fig2_gate "23 % low fails" 1 2.3
fig2_gate "18 % high passes" 0 4.0
fig2_gate "24 % high fails" 1 4.2
fig2_gate "a laptop bar explained 19 % low passes" 0 3.2 7.3
fig2_gate "22 % low fails" 1 3.2 7

# meft: what must hold holds in rows that are so, and not if the GPU's memory is not halved, the GPU's time grows, other
# rows are used than expected, or lora has more memory.
meft() { # meft GPU_BYTES BUSY USED PLANNED
    local out=$folder/meft-rows
    mkdir -p "$out"
    printf '%s\n' adapters,iteration_s,peak_gpu_bytes host,0.7,16e9 "gpu,0.4,$1" > "$out/memory.csv"
    printf '%s\n' width,gpu_busy_s,h2d_bytes,iteration_s 960,0.42,5e8,0.5 "14400,$2,75e8,1.9" > "$out/width.csv"
    printf '%s\n' tokens,h2d_bytes 16,471e6 64,1290e6 1024,1904674944 > "$out/tokens.csv"
    printf '%s\n' model,tokens,planned,expected,alike,of_such_tokens,used "gpt,64,0.2,730,0.13,740,$3" > "$out/rows.csv"
    printf '%s\n' model,expected,used gpt,730,600 > "$out/seeds.csv" # not required
    printf '%s\n' width,rank,rate,planned_bytes,policy,held_out_before,held_out_after 512,29,0.001,382,meft,5.1,3.7 \
        "512,29,0.001,$4,lora,5.1,3.9" > "$out/training.csv"
    claims meft "$out"
}
check "meft holds" 0 "$(status_of meft 28.8e9 0.42 712 381)"
check "memory that is not halved fails" 1 "$(status_of meft 25e9 0.42 712 381)"
check "a GPU's time that grows fails" 1 "$(status_of meft 28.8e9 0.43 712 381)"
check "other rows than expected fail" 1 "$(status_of meft 28.8e9 0.42 690 381)"
check "a lora with more memory fails" 1 "$(status_of meft 28.8e9 0.42 712 383)"

# deep-optimizer-states: simulated in a moment, its relations hold, and a step that is 20 % shorter is not the paper's.
# A trace of two iterations: forward 0-2, backward 2-5 with its last D2H 6, the next forward 9.
check "deep-optimizer-states holds" 0 "$(status_of env LSPO="$program" RESULTS="$folder/states" \
    "$here/deep-optimizer-states/run.sh")"
check "with a record of what was judged" \
    "experiments/deep-optimizer-states/claims.sql results/deep-optimizer-states experiments/deep-optimizer-states" \
    "$(tr '\t' ' ' < "$folder/states/deep-optimizer-states/judged.txt")"
states() { # states MODEL,STRIDE,... or PARTS,... whose step is to be 20 % shorter
    local file
    for file in decomposition strides; do
        awk -v row="^$1," 'BEGIN { FS = OFS = "," } $0 ~ row { $(NF - 1) *= 0.8; $NF -= $(NF - 1) / 4 } 1' \
            "$folder/states/deep-optimizer-states/$file.csv" > "$folder/$file.csv"
    done
    claims deep-optimizer-states "$folder/decomposition.csv" "$folder/strides.csv" "$here/deep-optimizer-states"
}
check "rows as they are pass" 0 "$(status_of states none)"
check "another step of all three parts fails" 1 "$(status_of states all)"
check "another step of one stride fails" 1 "$(status_of states 13b,4)"
printf '%s\n' op,kind,layer,iteration,micro,variant,lane,start_s,end_s,bytes 0,FWD,0,0,0,0,gpu,0,2,0 \
    1,BWD,0,0,0,0,gpu,2,5,0 2,D2H,0,0,0,0,d2h,5,6,8 3,D2H,0,0,0,1,d2h,6,7,4 4,UPD,0,0,0,0,cpu,7,8,0 \
    5,FWD,0,1,0,0,gpu,9,11,0 > "$folder/phases.trace"
check "the phases of a trace" "2.000000,4.000000,3.000000,9.000000" \
    "$("$program" sql "$here/deep-optimizer-states/phases.sql" ops="$folder/phases.trace")"

# axonn: its relations hold; with a bucket that takes more memory, or an order that is slower, they do not.
check "axonn holds" 0 "$(status_of env LSPO="$program" RESULTS="$folder/grid" "$here/axonn/run.sh")"
axonn() { # axonn TABLE COLUMN CONDITION FACTOR: COLUMN times FACTOR in the rows where the condition holds
    rm -rf "$folder/rows" && cp -r "$folder/grid/axonn" "$folder/rows"
    "$program" sql -e "UPDATE changed SET $2 = $4 * $2 WHERE $3; WRITE $1 AS SELECT * FROM changed" \
        changed="$folder/grid/axonn/$1.csv" -o "$folder/rows"
    claims axonn "$folder/rows"
}
check "its rows as they are pass" 0 "$(status_of axonn buckets iteration_s "size = 0" 2)"
check "a bucket with 5 % more memory fails" 1 \
    "$(status_of axonn buckets peak_gpu_bytes "slots = 1 AND size = 16e6" 1.05)"
check "a large bucket that is slower fails" 1 "$(status_of axonn buckets iteration_s "slots = 1 AND size = 64e6" 1.05)"
orders="network = 'none' AND \"order\" = 'message'"
check "message-driven 8 % slower with few micro-batches fails" 1 \
    "$(status_of axonn orders iteration_p50_s "gpus = 4 AND micros = 4 AND $orders" 1.08)"
check "message-driven 10 % slower with many fails" 1 \
    "$(status_of axonn orders iteration_p50_s "gpus = 8 AND micros = 32 AND $orders" 1.1)"
check "an order with another loss fails" 1 \
    "$(status_of axonn losses loss_last "grid = '2-2' AND sending = '1f1b'" 1.0000001)"
check "grids with another loss fail" 1 "$(status_of axonn losses loss_last "grid = '2-2'" 1.001)"

# Contention: predicted 8 and 12 of 10 s, so 20 %; without it 7 and 12: 25 %.
parts() { # parts WITHOUT_OF_THE_FIRST
    printf '%s\n' group_name,predicted_s,measured_s,disturbed,noise,no_contention,no_shapes,no_latency,no_cache \
        "contention,8,10,false,0.01,$1,,," contention,12,10,false,0.03,12,,, contention,12,,,,12,,, \
        > "$folder/cells.csv"
    "$program" sql "$here/sim-vs-host/parts.sql" "$folder/cells.csv"
}
check "a part's errors" "contention 2 20.0 25.0 +0.0 2.0" \
    "$(parts 7 | awk '$1 == "contention" { print $1, $2, $3, $5, $7, $9 }')"
check "a part that makes predictions better" 0 "$(status_of parts 7)"
# 20 % less 30 %, and 20 % less 20 %: -5 points -+ 12.7062 * 10 / 2
check "by how much, with its interval" "(the error is -5.0 points) [95 %: -69 to 59]" \
    "$(grep -o '(the error is .*' "$folder/stdout")"
check "a part that makes them worse fails" 1 "$(status_of parts 9)"

# Generation: 30 calm cells with a mean error of 4 % and a tau of 0.9 are just enough.
generation() { # generation CELLS MEAN TAU [MEMORY]: the error of memory is 2 %
    { echo disturbed,predicted_s,measured_s && yes false,1.04,1 | head -n "$1"; } > "$folder/cells.csv"
    printf '%s\n' predictor,quantity,cells,mean,tau "lspo,time,gpu,0.5,0.1" "lspo,time,all,$2,$3" \
        "lspo,slowdown,all,0.5,0.1" "lspo,device,all,0.02," > "$folder/summary.csv"
    "$program" sql "$here/sim-vs-host/gates.sql" "$folder/cells.csv" "$folder/summary.csv" --given what=generation \
        --given least=30 --given limit=0.04 --given tau_least=0.9 --given memory="${4:-0}"
}
check "cells of generation within the limits" 0 "$(status_of generation 30 0.04 0.9)"
check "the interval of equal errors" "[95 %: 4 % to 4 %]" \
    "$(sed -n 's/.* on average (4.0 %) //p' "$folder/stdout")"
check "too few cells of generation fail" 1 "$(status_of generation 29 0.04 0.9)"
check "errors of memory within the limit" "0 1" \
    "$(status_of generation 30 0.04 0.9 0.02) $(status_of generation 30 0.04 0.9 0.019)"
check "errors of generation above 4 % fail" 1 "$(status_of generation 30 0.041 0.9)"
check "a wrong order of generation fails" 1 "$(status_of generation 30 0.04 0.89)"
pipelines() { # pipelines MEAN
    { echo disturbed,predicted_s,measured_s && yes false,1.06,1 | head -n 11; } > "$folder/cells.csv"
    printf '%s\n' predictor,quantity,cells,mean,tau "lspo,time,all,$1," > "$folder/summary.csv"
    "$program" sql "$here/sim-vs-host/gates.sql" "$folder/cells.csv" "$folder/summary.csv" --given what=pipelines \
        --given least=11 --given limit=0.06 --given tau_least=0 --given memory=0
}
check "cells without an order to judge" "0 1" "$(status_of pipelines 0.06) $(status_of pipelines 0.061)"
check "generation that nobody judged fails" 1 "$(status_of generation 30 "" "")"

# Two stages of one 2 x 4 weight: m + n = 12 in all, short sides 4, long sides 8.  lora from rank 1 to 3: 288 bytes, 144
# a rank, as 4 x 3 x 12; lsp: 192 a nonzero, four times 48; galore 4 (4 + 3 x 8) = 112 by the formula, 80 of what is
# held.
printf '%s\n' 'tensor,rows,cols,stages,linear' 'w,2,4,2,true' 'bias,1,4,2,false' > "$folder/model.csv"
printf '%s\n' 'k,policy,peak_gpu_bytes' 1,lora,1000 3,lora,1288 1,galore,1000 3,galore,1160 1,lsp,500 3,lsp,884 \
    > "$folder/memory.csv"
printf '%s\n' policy,tau,update_rank lora,1,16 lora,4,16 galore,1,15 galore,4,60 lsp,1,13 lsp,4,17 lsp,4,57 \
    > "$folder/rank.csv"
fig4() { claims fig4 "$folder/model.csv" "$folder/memory.csv" "$folder/rank.csv"; }
check "lsp's bytes are not those of a subspace as large" 1 "$(status_of fig4)"
check "bytes a rank" "lora,1,3,144,144,144,1,1
galore,1,3,80,112,80,0.714285714,1
lsp,1,3,192,48,192,4,1" "$(tail -n +2 "$folder/written/bytes.csv")"
check "mean rank and extremes" "lsp,4,37,17,57" "$(tail -n 1 "$folder/written/mean_rank.csv")"

# Packed experts: 152 GB of 3.14 TB are a twentieth; a cached expert that saves nothing on the link fails, and so does a
# machine on which all cached experts save no time, and GPTQ that is no better than rounding.
qmoe() { # BYTES MOVED-WITH-4 MEASURED-WITH-8 PERPLEXITY-BY-GPTQ
    printf '%s\n' weights,quantizer,seed,perplexity,expert_zeros,expert_bits,weights_bytes fp32,,,10,,,900 \
        ternary,rtn,,11,0.8,1.5,90 ternary,gptq,1,10.3,0.8,1.6,90 "ternary,gptq,2,$4,0.8,1.6,90" \
        > "$folder/perplexity.csv"
    printf '%s\n' name,peak_gpu_bytes,token_s resident,3.14e12,1 "qmoe,$1,1.03" > "$folder/switch.csv"
    { echo cached,token_s,h2d_bytes
      for n in 0 1 2 3 4 5 6 7 8; do
          echo "$n,$((20 - n)),$(((8 - n) * 1000000))" | sed "s/^4,16,.*/4,16,$2/"
      done; } > "$folder/mixtral.csv"
    printf '%s\n' kind,cached,token_s predicted,0,0.01 predicted,4,0.006 predicted,8,0.003 measured,0,0.011 \
        measured,4,0.006 "measured,8,$3" > "$folder/host.csv"
    claims qmoe "$folder/switch.csv" "$folder/mixtral.csv" "$folder/host.csv" "$folder/perplexity.csv"
}
check "packed experts pass" 0 "$(status_of qmoe 152e9 4000000 0.004 10.5)"
check "more than 160 GB fails" 1 "$(status_of qmoe 161e9 4000000 0.004 10.5)"
check "half the experts, and not half the bytes: fails" 1 "$(status_of qmoe 152e9 4100000 0.004 10.5)"
check "no gain on this machine fails" 1 "$(status_of qmoe 152e9 4000000 0.009 10.5)"
check "GPTQ as bad as rounding fails" 1 "$(status_of qmoe 152e9 4000000 0.004 11.8)"

# zero falls from 4 to 2 in 10 s; lsp from 4 to 3 in 2 s and to 1 in 4 s, so that it passes 2 after 3 s: 30 %.  Joined,
# 6 of 40 s: 15 %.
runs_head=method,seed,steps,step_s,train_s,perplexity_after,perplexity_before
runs_head+=,peak_gpu_bytes,held_out_after,held_out_before,predicted_step_s
printf '%s\n' $runs_head full,1,4,2.5,10,7,54,100,2,4,1 lsp,1,8,0.5,4,2,54,100,1,4,1 lora,1,8,0.5,4,7,54,100,2,4,1 \
    full-steps,1,8,0.5,4,7,54,100,1.1,4,1 lsp-random,1,8,0.5,4,7,54,100,2,4,1 galore,1,8,0.5,4,7,54,100,2,4,1 \
    > "$folder/runs.csv"
curve() { # curve FULL_S LSP_S LSP_S: lsp has seeds of perplexity 2 and 4; other steps were not evaluated
    printf '%s\n' method,seed,step,time_s,held_out_loss,perplexity full,1,0,9,4,54 "full,1,4,$1,2,7" lsp,1,0,9,4,54 \
        "lsp,1,4,$2,3,20" lsp,1,5,9,, "lsp,1,8,$3,0.5,2" "lsp,2,8,$3,1.5,4"
}
curve 10 2 4 > "$folder/curves.csv"
curve 40 4 8 > "$folder/joined.csv"
fig5() {
    claims fig5 "$folder/runs.csv" "$folder/curves.csv" "$folder/joined.csv" \
        of_record="$source_dir/experiments/fig5/recorded.csv" \
        equal_steps="$source_dir/experiments/adam-basis/recorded.csv"
}
check "time to zero's quality" "30 15" \
    "$(fig5 | sed -n 's/^ *lsp *reaches.*after *\([0-9]*\) % .* \([0-9]*\) % .*/\1 \2/p')"
check "fine-tuning that holds" 0 "$(status_of fig5)"
check "spread over seeds" "lsp,8,4,3,2,4,1" "$(tail -n 1 "$folder/written/spread.csv")"
check "time before the first step" "lsp,0,0,54,54,54,4" "$(grep ^lsp,0, "$folder/written/spread.csv")"
sed -i 's/^lora,1,8,0.5,4,7,54,100/lora,1,8,0.5,4,7,54,102/' "$folder/runs.csv"
check "lora above lsp's memory fails" 1 "$(status_of fig5)"
sed -i 's/^lora,1,8,0.5,4,7,54,102,2,4/lora,1,8,0.5,4,7,54,100,5,4/' "$folder/runs.csv"
check "a method that gets worse fails" 1 "$(status_of fig5)"
said() { sed -n "s/^.*$1.*\(\[.*\]\)$/\1/p"; } # of a claim its interval
check "without repetition there is no interval" "[one run] [one run]" \
    "$(fig5 | said "takes less time") $(fig5 | said "ends below zero")"
# A second seed: steps of -80 and -60 % of zero's time, mean -70 -+ 12.7062 * 10; losses of -50 and -25 %.
cp "$folder/runs.csv" "$folder/one.csv"
printf '%s\n' full,2,4,2,10,7,54,100,2,4,1 lsp,2,8,0.8,4,2,54,100,1.5,4,1 >> "$folder/runs.csv"
check "intervals over the seeds" "[95 %: -200 % to 60 %] [95 %: -200 % to 120 %]" \
    "$(fig5 | said "takes less time") $(fig5 | said "ends below zero")"
mv "$folder/one.csv" "$folder/runs.csv"

# Every method finds the rule of one task at 70 %; one that does not, and a task that was not trained, fail.
{
    echo task,method,seed,steps,held_out_before,held_out_after,accuracy,f1,pearson
    for method in full galore lora lsp lsp-eigen; do
        printf '%s\n' "sst2,$method,1,9,0.7,0.5,0.7,0.7," "mrpc,$method,1,9,0.7,0.5,0.8,0.6," \
            "stsb,$method,1,9,9,3,,,0.5"
    done
} > "$folder/glue.csv"
sed -i 's/^lora,1,8,0.5,4,7,54,100,5,4/lora,1,8,0.5,4,7,54,100,2,4/' "$folder/runs.csv"
cp "$folder/glue.csv" "$folder/of_record.csv"
table3() {
    claims table3 "$folder/runs.csv" "$folder/glue.csv" "$folder/of_record.csv" \
        "$source_dir/experiments/table3/paper.csv"
}
table3 > "$folder/out" || true
check "best method first" "lsp full" "$(sed -n '2,3s/,.*//p' "$folder/written/table3.csv" | xargs)"
check "means in percent" "lora,3,70,60,50,9,0" "$(grep ^lora, "$folder/written/small.csv")"
no() { table3 | grep -c '^ *FAILS'; }
check "small tasks that are learnt: too few methods of Figure 5 remain" 1 "$(no || true)"
sed -i 's/^sst2,lsp,1,9,0.7,0.5,0.7/sst2,lsp,1,9,0.7,0.5,0.5/' "$folder/glue.csv"
check "a rule that is not found fails" 2 "$(no || true)"
echo "stsb,lora,2,9,9,3,,," >> "$folder/glue.csv"
table3 > "$folder/out" || true
check "constant predictions count as 0" "lora,4,70,60,25,9,1" "$(grep ^lora, "$folder/written/small.csv")"
check "constant predictions are counted" "lora: trainings whose predictions of STS-B are constant and count as 0: 1" \
    "$(grep -o 'lora: trainings.*' "$folder/out")"
sed -i '$d' "$folder/glue.csv"
# A second seed, of 70 % again but for lsp's 60 %: 55 -+ 12.7062 * 5 on this task.  Averages of lsp 53.3 and 56.7, of
# full 60: -5 -+ 12.7062 * 1.6667.
sed 's/,1,9,/,2,9,/; s/^sst2,lsp,2,9,0.7,0.5,0.5/sst2,lsp,2,9,0.7,0.5,0.6/; 1d' "$folder/glue.csv" > "$folder/more"
cat "$folder/more" >> "$folder/glue.csv"
check "intervals over the seeds of small tasks" "[95 %: -9 % to 119 %] [95 %: -26 to 16]" \
    "$(table3 | said "(55 % at least, of lsp)") $(table3 | said "-5.0 points from")"
# Losses 1 against 2 and 1.4 against 1 of full: -50 and 40 %, mean -5 -+ 12.7062 * 45; of their means -20 %.
printf '%s\n' lsp,2,8,0.5,4,2,54,100,1.4,4,1 full,2,4,2.5,10,7,54,100,1,4,1 >> "$folder/runs.csv"
check "the best method's interval" "[95 %: -580 % to 570 %]" \
    "$(table3 | said "-20.0 % from that of the best other, full")"

# Losses that fall by a half pass, by a fifth do not.
table4() {
    { echo task,method,seed,steps,held_out_before,held_out_after,accuracy,f1,pearson
      for method in full galore lora; do echo "code,$method,1,9,4,2,,,"; done
      echo "code,lsp,1,9,4,$1,,,"; } > "$folder/code.csv"
    claims table4 "$folder/code.csv" "$source_dir/experiments/table4/paper.csv"
}
check "instructions that are learnt" 0 "$(status_of table4 1.9)"
check "a loss that hardly falls fails" 1 "$(status_of table4 3.2)"
check "each method is compared" "yes yes yes" \
    "$(table4 1.9 | sed -n 's/^  \(yes\) *lsp ends .*below.*\[one run\]$/\1/p' | xargs)"
# Falls of 10, 30 and 47 %, mean 29 -+ 46, leave open whether galore falls by 30 %.  Where lora, by 29.1 -+ 0.2 %, does
# not for certain, nothing is open.  Of two seeds the mean is judged.
open_falls() { # open_falls LORA LORA LORA [SEEDS]
    { echo task,method,seed,steps,held_out_before,held_out_after,accuracy,f1,pearson
      printf '%s\n' "10 $1" "30 $2" "47 $3" | head -n "${4:-3}" | while read -r galore lora; do
          seed=$((${seed:-0} + 1))
          for fall in galore,$galore lora,$lora full,50 lsp,50; do
              awk -v seed="$seed" -v row="$fall" \
                  'BEGIN { split(row, x, ","); printf "code,%s,%d,9,100,%s,,,\n", x[1], seed,
                      x[2] == "" ? "" : 100 - x[2] }'
          done
      done; } > "$folder/code.csv"
    claims table4 "$folder/code.csv" "$source_dir/experiments/table4/paper.csv"
}
check "a fall that three seeds leave open" "0 1" \
    "$(status_of open_falls 50 50 50) $(grep -c '^  undecided every method learns.*29 % at least, of galore' \
    "$folder/stdout")"
check "another method's sure failure is not hidden" "1 1" \
    "$(status_of open_falls 29 29.1 29.2) $(grep -c '^  FAILS every method learns.*29 % at least, of galore' \
    "$folder/stdout")"
check "nor one of which two seeds are missing" 1 "$(status_of open_falls 29.1 "" "")"
check "two seeds are judged by their mean" 1 "$(status_of open_falls 50 50 50 2)"

# The same of accuracies: 20, 50 and 95 %, mean 55 -+ 94, are open; 56 -+ 2.5 % are below 60.
accuracies() { # accuracies GALORE GALORE GALORE: of the task, the words behind which the claim stands
    { echo task,method,seed,steps,held_out_before,held_out_after,accuracy,f1,pearson
      printf '%s\n' "1 0.2 $1" "2 0.5 $2" "3 0.95 $3" | while read -r seed lsp galore; do
          for row in lsp,$lsp galore,$galore full,0.7 lora,0.7 lsp-eigen,0.7; do
              printf '%s\n' "sst2,${row%,*},$seed,9,0.7,0.5,${row#*,},0.7," "mrpc,${row%,*},$seed,9,0.7,0.5,0.8,0.6," \
                  "stsb,${row%,*},$seed,9,9,3,,,0.5"
          done
      done; } > "$folder/glue.csv"
    table3 | sed -n 's/^  \([a-zA-Z]*\) *every method finds.*of \([a-z]*\)).*/\1 \2/p'
}
check "accuracies that are open" "undecided lsp" "$(accuracies 0.7 0.7 0.7)"
check "and not beside one that is too low" "FAILS lsp" "$(accuracies 0.55 0.56 0.57)"

# Speedups of nine cells in three rounds, 1.5 but for two.  By round 0.9, 1.2 and 1.5, mean 1.2 -+ 0.75, are open; 0.94
# to 0.942 are below 0.95.
tune() { # tune ZERO_S_OF_CELL_2 [ROUNDS]: tuned takes 1 s
    { echo cell,changes,kind,round,predicted_s,model,policy,link_Bps,cpu_pps,iteration_s
      printf '%s\n' "1 0.9 $1" "2 1.2 ${1}1" "3 1.5 ${1}2" | head -n "${2:-3}" | while read -r round first second; do
          for cell in 1 2 3 4 5 6 7 8 9; do
              case $cell in 1) zero=$first ;; 2) zero=$second ;; *) zero=1.5 ;; esac
              printf '%s\n' "$cell,,zero,$round,1.5,m,zero,${cell}e6,1e6,$zero" \
                  "$cell,,tuned,$round,1,m,lsp,${cell}e6,1e6,1"
          done
      done; } > "$folder/tune.csv"
    claims tune "$folder/tune.csv"
}
check "a speedup that three rounds leave open" "0 1" \
    "$(status_of tune 1.50) $(grep -c '^  undecided measured never slower.* least speedup is 0.900' "$folder/stdout")"
check "another cell's sure loss is not hidden" "1 1" \
    "$(status_of tune 0.94) $(grep -c '^  FAILS measured never slower.* 7 of 9; the least speedup is 0.900' \
    "$folder/stdout")"
check "two rounds are judged as they are" 1 "$(status_of tune 1.50 2)"

# Learned 0.6, random 0.9: holds; 0.88: does not; below the floor: does not.
# Of three subspaces, alike but for the fit, the lower bias has the higher loss.
fig6b() { # fig6b LEARNED FLOOR [LOSS_OF_THE_BEST_FIT]
    printf '%s\n' text,subspace,nnz,weight,raw,random,learned,galore,galore_formula,galore_formula_rank,floor,fit_s,\
projector_bytes "own,16,4,w,5,0.9,$1,0.4,0.7,1,$2,0.1,8" > "$folder/fig6b.csv"
    printf '%s\n' nnz,fit_steps,adam_basis,seed,bias,held_out_loss 4,0,plain,1,0.9,3.5 4,20,plain,1,0.8,3.4 \
        "4,50,plain,1,0.6,${3:-3.6}" > "$folder/loss.csv"
    claims fig6b "$folder/fig6b.csv" "$folder/loss.csv"
}
check "learned projectors that lose less" 0 "$(status_of fig6b 0.6 0.1)"
check "learned projectors above GaLore by the paper's count fail" 1 "$(status_of fig6b 0.75 0.1)"
check "learned projectors that gain nothing fail" 1 "$(status_of fig6b 0.88 0.1)"
check "a bias below the SVD floor fails" 1 "$(status_of fig6b 0.6 0.65)"
check "pairs in which the lower bias has the lower loss" "1 of 3" \
    "$(fig6b 0.6 0.1 | sed -n 's/.*lower loss in \(.*\) pairs/\1/p')"
check "a best fit that trains better than random projectors fails" 1 "$(status_of fig6b 0.6 0.1 3.3)"

finish experiments
