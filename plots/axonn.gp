# Lines: step and GPU memory by the size of a bucket; bars: time of the other orders over that of message-driven.
width = 1000; height = 360
load plots."/style.gp"
set multiplot
set tmargin at screen 0.88; set bmargin at screen 0.27
set logscale x 2
set xlabel "parameters of a bucket (thousands)"
set xtics rotate by 45 right ("65" 65536, "262" 262144, "1000" 1e6, "4000" 4e6, "16,000" 16e6, "64,000" 64e6)
set yrange [0:*]
file = data."/buckets.csv"
array shade[2] = [blue, orange]
array name[2] = ["one slot", "two slots"]
set lmargin at screen 0.06; set rmargin at screen 0.31
set title "s per step, gpt2-1.3b on a V100"
set key bottom left
plot for [k=1:2] file using (column("slots") == k ? column("size") : NaN):"iteration_s" with linespoints \
    pointtype (k+5) pointsize 0.8 linewidth 1.6 linecolor rgb shade[k] title name[k]
set lmargin at screen 0.38; set rmargin at screen 0.63
set title "GB of GPU memory"
plot for [k=1:2] file using (column("slots") == k ? column("size") : NaN):(1e-9*column("peak_gpu_bytes")) \
    with linespoints pointtype (k+5) pointsize 0.8 linewidth 1.6 linecolor rgb shade[k] title name[k]
unset logscale x; unset xlabel
set lmargin at screen 0.71; set rmargin at screen 0.985
set title "Time over that of message-driven"
set style data histograms
set style histogram clustered gap 1
set boxwidth 0.9
set xtics autofreq rotate by 45 right font ",8"
set xrange [-0.6:*]
set key top center horizontal
set yrange [0:1.4]
set arrow 1 from graph 0, first 1 to graph 1, first 1 nohead linecolor rgb "#606060" dashtype 2 front
plot data."/ratios.csv" using "drawn_1f1b":xtic(1) title "1f1b" linecolor rgb sky, \
    '' using "drawn_gpipe" title "gpipe" linecolor rgb orange
unset multiplot
