# Lines: the GPU's time and a step by the width of an adapter on the host; rows in use by the tokens of a step.
width = 820; height = 340
load plots."/style.gp"
set multiplot
set tmargin at screen 0.88; set bmargin at screen 0.17
set lmargin at screen 0.08; set rmargin at screen 0.47
set title "s per step, LLaMA-7B on an RTX 4090, 1024 tokens"
set xlabel "rows of an adapter"
set yrange [0:*]
set key top left
set xtics 4000
file = data."/width.csv"
plot file using "width":"iteration_s" with linespoints pointtype 7 pointsize 0.8 linewidth 1.6 linecolor rgb blue \
    title "a step", \
    file using "width":"gpu_busy_s" with linespoints pointtype 5 pointsize 0.8 linewidth 1.6 linecolor rgb orange \
    title "the GPU computes"
set lmargin at screen 0.57; set rmargin at screen 0.97
set title "Rows of 3600 that a step uses"
set xlabel "tokens"
set xtics autofreq
set logscale x 4
plot data."/used.csv" using "tokens":"rows" with linespoints pointtype 7 pointsize 0.8 linewidth 1.6 \
    linecolor rgb blue notitle
unset multiplot
