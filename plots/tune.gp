# Bars of a step under zero and under what lspo tune found, predicted and measured, in units of zero's measured step.
width = 980; height = 420
load plots."/style.gp"
set style data histograms
set style histogram clustered gap 1
set boxwidth 0.9
set title "The best exact settings of lspo tune beside zero: ".note
set ylabel "time / measured time of zero"
set yrange [0:*]
set bmargin 7
set xtics () font ",8"
file = data."/cells.csv"
stats file using "zero_s" nooutput
do for [i=1:STATS_records] { set xtics add (lines(value("tick_".i)) i - 1) }
set key outside top center horizontal
plot file using (column("zero_s") / column("zero_measured_s")) title "zero, predicted" linecolor rgb 0xF3D08F, \
    '' using (1) title "zero, measured" linecolor rgb orange, \
    '' using (column("tuned_s") / column("zero_measured_s")) title "tuned, predicted" linecolor rgb sky, \
    '' using (column("tuned_measured_s") / column("zero_measured_s")) title "tuned, measured" linecolor rgb blue
