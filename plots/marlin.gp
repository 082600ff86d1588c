# Lines: simulated speed-up of weights in 4 bits by rows; points: the authors' measurement, and that of this machine.
width = 620; height = 380
load plots."/style.gp"
set title "a token with weights in 4 bits, speed-up over 16 bits (this machine: fp32)"
set xlabel "texts at once"
set logscale x 2
set yrange [0:*]
set key bottom left
file = data."/gains.csv"
plot file using "rows":"peak" with lines linewidth 1.6 linecolor rgb blue title "A10, data sheet", \
    file using "rows":"profile" with lines linewidth 1.6 linecolor rgb grey title "A10, profile", \
    file using "rows":"authors" with points pointtype 7 linecolor rgb orange title "A10, authors", \
    file using "rows":"host" with linespoints pointtype 5 linecolor rgb green title "this machine"
