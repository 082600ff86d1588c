# Lines: time per token against the share of the cache that is rebuilt; points: measured.
width = 820; height = 380
load plots."/style.gp"
models = "opt-6.7b opt-13b opt-30b"
array shade[3] = [blue, orange, green]
set xlabel "share of the cached tokens that is rebuilt"
set xrange [0:1]
set yrange [0:*]
set multiplot
set tmargin at screen 0.90; set bmargin at screen 0.15
set lmargin at screen 0.08; set rmargin at screen 0.42
set title "s per token, A100 at peak rates, simulated"
file = data."/latency.csv"
set key bottom left
plot for [i=1:3] file using (strcol("model") eq word(models, i) && strcol("machine") eq "a100-peak" && \
    strcol("asked") ne "auto" ? column("recompute_share") : NaN):"token_s" with linespoints pointtype (i+4) \
    pointsize 0.7 linewidth 1.6 linecolor rgb shade[i] title word(models, i)
set lmargin at screen 0.56; set rmargin at screen 0.97
set title "ms per token, this machine"
file = data."/host.csv"
plot file using (strcol("kind") eq "predicted" && strcol("asked") ne "auto" ? column("recompute_share") : NaN):\
        (1e3*column("token_s")) with lines linewidth 1.6 linecolor rgb grey title "predicted", \
    file using (strcol("kind") eq "measured" ? column("recompute_share") : NaN):(1e3*column("token_s")) \
        with points pointtype 7 pointsize 0.9 linecolor rgb blue title "measured"
unset multiplot
