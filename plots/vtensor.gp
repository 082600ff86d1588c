# Lines: memory of caches at most by the rate of requests, simulated.
width = 620; height = 380
load plots."/style.gp"
set datafile missing NaN # rows of others do not interrupt a line
set title "Yi-6B on an A100 80 GB, caches of requests of 1024 + 256 tokens, simulated"
set xlabel "requests per second"
set ylabel "GB at most"
set logscale x 2
set yrange [0:*]
set key top left
file = data."/rates.csv"
of(cache, range) = (strcol("cache") eq cache && strcol("range") eq range ? column("peak_bytes")/1e9 : NaN)
plot file using "rate":(of("reserved", "tensor")) with linespoints pointtype 5 linecolor rgb black title "reserved", \
    file using "rate":(of("vtensor", "tensor")) with linespoints pointtype 7 linecolor rgb blue title "chunks", \
    file using "rate":(of("vtensor", "text")) with linespoints pointtype 9 linecolor rgb green title "one range per text", \
    file using "rate":(of("paged", "tensor")) with linespoints pointtype 11 linecolor rgb orange title "blocks"
