# Left: tokens per second of 50 RTX 3080 against the rate of their links, and of 4 H100.  Right: measured steps of others.
width = 820; height = 380
load plots."/style.gp"
set multiplot
set tmargin at screen 0.90; set bmargin at screen 0.15
set lmargin at screen 0.09; set rmargin at screen 0.50
set title "tokens/s, deep-7b"
set xlabel "rate of a link, Mbit/s"
set logscale x
set yrange [0:*]
set key top left
file = data."/many.csv"
few = data."/few.csv"
at(order, ms) = strcol("peer_order") eq order && strcol("latency_ms") eq ms ? column("mbit") : NaN
plot few using (100):"tokens_per_s":(100000-100):(0) with vectors nohead linewidth 1.6 linecolor rgb grey title "4 H100", \
    file using (at("gpipe", "1")):"tokens_per_s" with linespoints pointtype 7 pointsize 0.7 linewidth 1.6 \
        linecolor rgb blue title "50 RTX 3080, 1 ms", \
    file using (at("gpipe", "50")):"tokens_per_s" with linespoints pointtype 5 pointsize 0.7 linewidth 1.6 \
        linecolor rgb orange title "50 RTX 3080, 50 ms"
unset logscale x
set lmargin at screen 0.60; set rmargin at screen 0.97
set title "s per step, GPT-3 XL over eight V100"
set xlabel ""
set key top left
set xrange [-0.5:4.5]
set xtics rotate by 0
file = data."/rows.csv"
plot file using 0:"measured":xtic(strcol("rate")."\n".strcol("latency")) with points pointtype 6 pointsize 1.3 \
        linewidth 1.6 linecolor rgb black title "measured", \
    file using 0:"iteration_s" with points pointtype 7 pointsize 0.9 linecolor rgb blue title "predicted"
unset multiplot
