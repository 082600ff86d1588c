# Predicted against measured: time per iteration and slowdown, one point per cell.
width = 900; height = 470
load plots."/style.gp"
file = data."/cells.csv"
set logscale xy
set grid xtics ytics
set style fill solid 0.25 noborder
set samples 200
set xtics (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4, 6, 8, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000)
set ytics (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4, 6, 8, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000)
set xtics rotate by 45 right
set multiplot title note
set tmargin at screen 0.86; set bmargin at screen 0.17
classes = "gpu link cpu"
array shade[3] = [blue, orange, green]
array titles[3] = ["bound by the GPU", "bound by the link", "bound by the CPU"]
array mark[3] = [7, 5, 9]
array hollow[3] = [6, 4, 8]
calm(c) = strcol("bound") eq word(classes, c) && strcol("disturbed") eq "false"
rough(c) = strcol("bound") eq word(classes, c) && strcol("disturbed") eq "true"
stats file using (strcol("disturbed") eq "true" ? 1 : 0) nooutput name "D"
do for [k=1:2] {
    set lmargin at screen (k == 1 ? 0.085 : 0.465); set rmargin at screen (k == 1 ? 0.375 : 0.755)
    measured = (k == 1 ? "measured_s" : "measured_slowdown")
    predicted = (k == 1 ? "predicted_s" : "predicted_slowdown")
    unit = (k == 1 ? 1000.0 : 1.0)
    naive(dummy) = column("naive_s") * (k == 1 ? unit : 1 / column("native_s"))
    set title (k == 1 ? "time per iteration" : "slowdown against native")
    set xlabel (k == 1 ? "measured (ms)" : "measured slowdown")
    set ylabel (k == 1 ? "predicted (ms)" : "predicted slowdown")
    set autoscale
    stats file using (column(measured)*unit) nooutput name "M"
    stats file using (naive(0)) nooutput name "N"
    low = 0.75*(M_min < N_min ? M_min : N_min); high = 1.4*(M_max > N_max ? M_max : N_max)
    set xrange [low:high]; set yrange [low:high]
    if (k == 2) { set key at screen 0.995, screen 0.86 right top vertical Left reverse samplen 1.5 } else { unset key }
    plot '+' using 1:(0.9*$1):(1.1*$1) with filledcurves linecolor rgb grey title "within 10 %", \
        x with lines linecolor rgb black linewidth 1 title "equal", \
        file using (column(measured)*unit):(naive(0)) with points pointtype 2 pointsize 0.6 linecolor rgb grey \
            title "native + bytes/link", \
        for [c=1:3] file using (calm(c) ? column(measured)*unit : NaN):(column(predicted)*unit) \
            with points pointtype mark[c] pointsize 0.9 linecolor rgb shade[c] title titles[c], \
        for [c=1:3] file using (rough(c) ? column(measured)*unit : NaN):(column(predicted)*unit) \
            with points pointtype hollow[c] pointsize 0.9 linecolor rgb shade[c] notitle, \
        NaN with points pointtype 6 pointsize 0.9 linecolor rgb black title (D_max > 0 ? "hollow: disturbed" : "")
}
unset multiplot
