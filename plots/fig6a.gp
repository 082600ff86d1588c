# Stacked bars: an iteration of zero and of lsp, in units of zero's.
width = 760; height = 400
load plots."/style.gp"
set style data histograms
set style histogram rowstacked
set boxwidth 0.6
set title "An iteration under zero and under lsp (d = 512, r = 16), simulated"
set ylabel "time / time of zero's iteration"
set yrange [0:1.15]
set xtics rotate by -30 left
set bmargin 6
set key outside right top vertical reverse Left width -2
file = data."/bars.csv"
plot file using "gpu":xtic(1) title "GPU" linecolor rgb blue, \
    '' using "exposed_comm" title "exposed communication" linecolor rgb orange, \
    '' using "exposed_cpu" title "exposed CPU" linecolor rgb green, \
    '' using "other" title "other" linecolor rgb grey, \
    '' using 0:($8+0.03):(sprintf("%.2f", column("total"))) with labels font ",9" notitle
