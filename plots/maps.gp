# Maps: the cost of lsp by subspace and link; the largest model by GPU memory; the lane that limits by link and CPU.
width = 1180; height = 760
load plots."/style.gp"
values(file, name) = system("awk -F, -v name=".name." 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i; next }\
    !seen[$at]++ { print $at }' '".file."'")
set multiplot title "Simulated: llama-7b, 512 tokens, fp16"
set tmargin at screen 0.89; set bmargin at screen 0.60

free = data."/free.csv"
set lmargin at screen 0.07; set rmargin at screen 0.36
set title "Slowdown of lsp against native; the line: the largest free d"
set logscale xy 2
set xlabel "link each way (GB/s)"
set ylabel "subspace size d"
set format "%g"
set xrange [0.2:40]; set yrange [210:5000]
set palette defined (0 "#f7fbff", 0.5 "#6baed6", 1 "#08306b")
set cbrange [0.7:*]
set logscale cb 2
unset key
plot free using (column("link_Bps")/1e9):"subspace":"slowdown" with points pointtype 5 pointsize 3.0 linecolor palette, \
    data."/frontier.csv" using (column("link_Bps")/1e9):(column("subspace") > 0 ? column("subspace") : NaN) \
        with linespoints pointtype 7 pointsize 0.7 linewidth 2 linecolor rgb red
unset colorbox

most = data."/most.csv"
set lmargin at screen 0.485; set rmargin at screen 0.67
set title "Largest model of llama-7b's width, batch 1"
set xlabel "GPU memory (GiB)"; set ylabel "parameters (billions)"
set xrange [7:90]; set yrange [*:*]
set xtics (8, 16, 32, 64)
unset logscale cb
set key at screen 0.995, screen 0.90 right top vertical Left reverse samplen 1.6 spacing 1.1 font ",9"
policies = values(most, "policy")
plot for [p in policies] most \
    using (strcol("policy") eq p ? column("gpu_memory_GiB") : NaN):(column("parameters") > 0 ? column("parameters")/1e9 : NaN) \
    with linespoints pointtype mark_of(p) pointsize 0.8 linewidth 1.4 linecolor rgb colour_of(p) title p

lane = data."/lane.csv"
set tmargin at screen 0.45; set bmargin at screen 0.12
set xlabel "link each way (GB/s)"
set xtics autofreq
set xrange [0.4:80]; set yrange [0.08:8]
policies = values(lane, "policy")
array shade[3] = [blue, orange, green]
array names[3] = ["the GPU", "the link", "the CPU optimizer"]
do for [k=1:words(policies)] {
    p = word(policies, k)
    set lmargin at screen 0.07+0.28*(k-1); set rmargin at screen 0.29+0.28*(k-1)
    set title p.": limited by"
    if (k == 1) { set ylabel "CPU optimizer (G parameters/s)" } else { unset ylabel }
    if (k == 3) { set key at screen 0.995, screen 0.45 right top vertical Left reverse } else { unset key }
    plot for [i=1:3] lane \
        using (strcol("policy") eq p && column("lane") == i ? column("link_Bps")/1e9 : NaN):(column("cpu_pps")/1e9) \
        with points pointtype 5 pointsize 1.6 linecolor rgb shade[i] title names[i]
}
unset multiplot
