# Stacked bars: an iteration of Zero-Offload in units of its GPU time.
width = 680; height = 400
load plots."/style.gp"
set style data histograms
set style histogram rowstacked
set boxwidth 0.5
set title "Zero-Offload, simulated: where an iteration goes"
set ylabel "time an iteration / GPU time"
set yrange [0:4.8]
set ytics 1
set xrange [-0.6:3.6]
set key outside right top vertical reverse Left width -2
file = data."/bars.csv"
plot file using "gpu":xtic(1) title "GPU" linecolor rgb blue, \
    '' using "exposed_comm" title "exposed communication" linecolor rgb orange, \
    '' using "exposed_cpu" title "exposed CPU" linecolor rgb green, \
    '' using "other" title "other" linecolor rgb grey, \
    '' using ($0+0.27):"total":(sprintf("%.2f", column("total"))) with labels left font ",9" notitle, \
    '' using 0:"total_fp32" with points pointtype 2 pointsize 0.9 linecolor rgb black title "total, fp32 transfer", \
    '' using 0:"paper_total" with points pointtype 6 pointsize 1.1 linecolor rgb red linewidth 1.5 title "paper's total"
