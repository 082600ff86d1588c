# Stacked bars: an iteration of Zero-Offload in units of its GPU time; beside each the range of the paper's bar.
width = 820; height = 420
load plots."/style.gp"
set style data histograms
set style histogram rowstacked
set boxwidth 0.5
set title "Zero-Offload as published, simulated: where an iteration goes (512 tokens)"
set ylabel "time per iteration / GPU time"
set yrange [0:4.8]
set ytics 1
set xrange [-0.6:3.6]
set key outside right top vertical reverse Left width -2
file = data."/bars.csv"
set xtics () font ",8"
do for [i=1:4] { set xtics add (lines(value("tick_".i)) i - 1) }
set bmargin 5
plot file using "gpu" title "GPU" linecolor rgb blue, \
    '' using "exposed_comm" title "exposed communication" linecolor rgb orange, \
    '' using "exposed_cpu" title "exposed CPU" linecolor rgb green, \
    '' using "other" title "other" linecolor rgb grey, \
    '' using ($0-0.27):"total":(sprintf("%.2f", column("total"))) with labels right font ",9" notitle, \
    '' using 0:"total_fp16" with points pointtype 2 pointsize 0.9 linecolor rgb black title "total, fp16 on the link", \
    '' using ($0+0.34):"rest_low":(0):(column("paper_high")-column("rest_low")) with vectors nohead linewidth 1.5 \
        linecolor rgb red notitle, \
    '' using ($0+0.34):"rest_low" with points pointtype 5 pointsize 0.8 linecolor rgb red title "paper's, less its other", \
    '' using ($0+0.34):"paper_high" with points pointtype 6 pointsize 1.1 linecolor rgb red linewidth 1.5 title "paper's total"
