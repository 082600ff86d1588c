# Residuals of a calibration's fits: residual of each sample against its time, one colour per kind.
width = 820; height = 430
load plots."/style.gp"
file = samples # the CSV of lspo calibrate
set grid xtics ytics
set logscale x
set format x "%.0s %cs"
set xlabel "time of a sample"
set ylabel "residual against the fit"
set format y "%+.0f %%"
set yrange [-50:50]
set key outside right top vertical Left reverse samplen 1
kinds = "stream norm activation loss columns attention gather scatter training d2h h2d"
array shade[11] = [blue, orange, green, red, grey, sky, pink, yellow, red, black, 0x7F3C8D]
mark(k) = k <= 6 ? 7 : k == 9 ? 13 : 5
plot 0 with lines linecolor rgb black linewidth 0.6 notitle, \
    for [k=1:11] file using (word(strcol("kind"), 1) eq word(kinds, k) ? column("time_s") : NaN):(100*column("residual")) \
        with points pointtype mark(k) pointsize (k == 9 ? 0.9 : 0.4) linecolor rgb shade[k] title word(kinds, k), \
    file using (substr(strcol("kind"), 1, 8) eq "adam cpu" ? column("time_s") : NaN):(100*column("residual")) \
        with points pointtype 9 pointsize 0.5 linecolor rgb blue title "adam cpu"
