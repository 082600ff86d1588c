# The distribution of errors: the simulator's by class, and the share of cells that each predictor predicts within an error.
width = 820; height = 400
load plots."/style.gp"
file = data."/cells.csv"
stats file using (strcol("disturbed") eq "false" ? 1 : 0) nooutput name "C"
if (C_sum == 0) {
    unset border; unset tics
    set label "No cell was measured undisturbed: there are no errors to show." at screen 0.5, screen 0.5 center
    plot [0:1] [0:1] NaN notitle
    exit
}
classes = "gpu link cpu"
array shade[3] = [blue, orange, green]
array titles[3] = ["bound by the GPU", "bound by the link", "bound by the CPU"]
calm(c) = strcol("bound") eq word(classes, c) && strcol("disturbed") eq "false"
# Errors beyond the shown range count in the outermost bars.
most = 20.0
clip(x) = x > most ? most : x < -most ? -most : x
stats file using (clip(abs(100*column("error")))) nooutput name "E"
edge = ceil(E_max < 4 ? 5 : E_max + 1)
bin(x) = floor(clip(100*x) + 0.5)
set multiplot layout 1,2 margins 0.09,0.98,0.15,0.9 spacing 0.11
set title "errors of the time per iteration"
set xlabel "predicted / measured - 1 (%, to the nearest)"
set ylabel "cells"
set xrange [-edge:edge]
set yrange [0:*]
set ytics 1
set offsets 0, 0, graph 0.35, 0
set key top left Left reverse
set style fill solid 0.85 noborder
set boxwidth 0.28
plot for [c=1:3] file using (calm(c) ? bin(column("error")) + 0.3*(c - 2) : NaN):(1.0) smooth frequency with boxes \
    linecolor rgb shade[c] title titles[c]
set title "cells within an error"
set xlabel "size of the error (%)"
set ylabel "share of the cells (%)"
set logscale x
set xrange [0.005:200]
set xtics (0.01, 0.1, 1, 10, 100)
set yrange [0:100]
set ytics 20
set offsets 0, 0, 0, 0
set key top left
size(x) = abs(100*x) < 0.01 ? 0.01 : abs(100*x)
# Disturbed cells count as 0, because a gap would restart the sum.
share(dummy) = strcol("disturbed") eq "false" ? 100.0/C_sum : 0
plot file using (size(column("error"))):(share(0)) smooth cumulative with steps linewidth 2 linecolor rgb blue title "lspo", \
    file using (size(column("naive_error"))):(share(0)) smooth cumulative with steps linewidth 1.5 linecolor rgb grey \
        title "native + bytes/link", \
    file using (size(column("lanes_error"))):(share(0)) smooth cumulative with steps linewidth 1.5 dashtype 2 \
        linecolor rgb black title "slowest lane"
unset multiplot
