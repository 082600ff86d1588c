# Clustered bars: throughput over that of native training, by model and on the mean, with the paper's means as marks; beside
# them seconds per step, simulated and as the authors' scripts carry them.
width = 1180; height = 470
load plots."/style.gp"
set style data histograms
set style histogram clustered gap 1.5
set boxwidth 0.92
set yrange [0:*]
set multiplot
set tmargin at screen 0.92; set bmargin at screen 0.28

set lmargin at screen 0.06; set rmargin at screen 0.60
set title "Throughput over native's, simulated: ".note
set ylabel "throughput / throughput of native"
set xrange [-0.6:4.6]
file = data."/throughput.csv"
set xtics () font ",8"
do for [i=1:4] { set xtics add (lines(value("tick_".i)) i - 1) }
set xtics add ("mean slowdown\nof the four" 4)
# zero, zero-layerwise; lsp and lsp-paper at d = 2048, 1024, 512, 256, the lighter the smaller; native.
array shade[11] = [colour_of("zero"), colour_of("zero-layerwise"), blue, 0x3B8FC4, 0x7DB5DA, 0xBBD8EC, 0x1F3864, 0x4F6390, 0x8793B4, 0xC0C6D8, black]
set arrow 1 from graph 0, first 1 to graph 1, first 1 nohead linecolor rgb "#606060" dashtype 2 front
set key at screen 0.01, screen 0.02 left bottom horizontal Left reverse maxrows 3 width -1 font ",9"
# A bar's place within its cluster: 11 bars and a gap of 1.5 share the unit.
place(bar) = 4 + (bar - 6.0) / 12.5
plot for [i=2:12] file using i title columnheader(i) linecolor rgb shade[i-1], \
    data."/paper.csv" using (place(column("bar"))):(column("throughput")) with points pointtype 2 pointsize 1.3 linewidth 1.8 \
        linecolor rgb red title "the paper's mean"

unset arrow 1
set lmargin at screen 0.665; set rmargin at screen 0.995
set title "Time per iteration against the authors' scripts"
set ylabel "time per iteration (s)"
set xtics () font ",7"
file = data."/step_bars.csv"
set autoscale x
stats file using 0 nooutput
set xrange [-0.6:STATS_records-0.4]
do for [i=1:STATS_records] { set xtics add (lines(value("step_".i)) i - 1) }
set key at screen 0.995, screen 0.02 right bottom horizontal Left reverse maxrows 3 width -1 font ",9"
plot file using "zero" title "zero, simulated" linecolor rgb colour_of("zero"), \
    file using "zero_authors" title "zero, authors'" linecolor rgb colour_of("zero") fillstyle pattern 2 border, \
    file using "lsp_paper" title "lsp-paper, simulated" linecolor rgb colour_of("lsp-paper"), \
    file using "lsp_authors" title "lsp, authors'" linecolor rgb colour_of("lsp-paper") fillstyle pattern 2 border, \
    file using "lsp" title "lsp, simulated" linecolor rgb colour_of("lsp")
unset multiplot
