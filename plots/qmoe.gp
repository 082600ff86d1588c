# Lines: ms per token of Mixtral by the number of cached experts, and on this machine.
width = 820; height = 340
load plots."/style.gp"
set datafile missing NaN # rows of others do not interrupt a line
set multiplot
set tmargin at screen 0.88; set bmargin at screen 0.17
set lmargin at screen 0.08; set rmargin at screen 0.47
set title "ms per token, Mixtral 8x7B on an RTX 3060, simulated"
set xlabel "experts of each block on the GPU"
set yrange [0:*]
file = data."/mixtral.csv"
plot file using "cached":(column("token_s")*1e3) with linespoints pointtype 7 pointsize 0.8 linewidth 1.6 \
    linecolor rgb blue notitle
set lmargin at screen 0.57; set rmargin at screen 0.97
set title "ms per token on this machine"
file = data."/host.csv"
kinds = "predicted measured"
array shade[2] = [sky, black]
plot for [i=1:2] file using (strcol("kind") eq word(kinds, i) ? column("cached") : NaN):(column("token_s")*1e3) \
    with linespoints pointtype (i+5) pointsize 0.8 linewidth 1.6 linecolor rgb shade[i] title word(kinds, i)
unset multiplot
