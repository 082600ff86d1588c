# Stacked bars: an iteration of zero and of lsp, in units of zero's, one pair of bars per model.
width = 860; height = 420
load plots."/style.gp"
set style data histograms
set style histogram rowstacked
set boxwidth 0.8
set title "An iteration under zero and under lsp, simulated: ".note
set ylabel "time / time of zero's iteration"
set yrange [0:1.2]
set xrange [-0.7:7.7]
set bmargin 5
set xtics () font ",8"
do for [i=1:4] { set xtics add (lines(value("tick_".i)) 2*i - 1.5) }
set key outside right top vertical reverse Left width -2
file = data."/bars.csv"
plot file using "gpu" title "GPU" linecolor rgb blue, \
    '' using "exposed_comm" title "exposed communication" linecolor rgb orange, \
    '' using "exposed_cpu" title "exposed CPU" linecolor rgb green, \
    '' using "other" title "other" linecolor rgb grey, \
    '' using 0:(column("total")+0.09):(sprintf("%s\n%.2f", strcol("policy"), column("total"))) with labels font ",9" notitle
