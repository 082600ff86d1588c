-- What the recorded full run shows (of_record), and whether this run (losses) agrees.
CREATE VIEW trainings AS SELECT 'recorded' AS run, rowid AS place, * FROM of_record UNION ALL
    SELECT 'here', rowid, * FROM losses;
-- Of the rates tried with seed 1 at 90 steps the best; at it, of the seeds, mean and extremes of the held-out loss,
-- also relative to the mean of full fine-tuning with Adam on the same seeds.
CREATE VIEW best AS SELECT run, base, method, learning_rate, min(held_out_after) FROM trainings
    WHERE steps = 90 AND seed = 1 GROUP BY run, base, method;
CREATE VIEW seeds AS SELECT run, base, steps, method, learning_rate, min(place) AS place, count(*) AS seeds,
    avg(held_out_after) AS loss, min(held_out_after) AS low, max(held_out_after) AS high,
    max(peak_gpu_bytes) AS peak_gpu_bytes FROM trainings JOIN best USING (run, base, method, learning_rate)
    GROUP BY run, base, steps, method;
CREATE VIEW summary AS SELECT run, base, steps, seeds.method, seeds.learning_rate, seeds.seeds, seeds.loss, seeds.low,
    seeds.high, seeds.loss / full_.loss - 1 AS relative, seeds.low / full_.loss - 1 AS relative_low,
    seeds.high / full_.loss - 1 AS relative_high, seeds.peak_gpu_bytes
    FROM seeds JOIN seeds AS full_ USING (run, base, steps) WHERE full_.method = 'full' ORDER BY seeds.place;
-- What has fewer seeds only served to choose the rate.
WRITE recorded AS SELECT base, steps, method, learning_rate, seeds, loss, low, high, relative, relative_low,
    relative_high, peak_gpu_bytes FROM summary
    WHERE run = 'recorded' AND seeds = (SELECT max(seeds) FROM summary WHERE run = 'recorded');
WRITE here AS SELECT base, steps, method, learning_rate, seeds, loss, low, high, relative, relative_low, relative_high,
    peak_gpu_bytes FROM summary WHERE run = 'here';

-- Mean over seeds, and the range of the seeds, in nats per byte.
CREATE VIEW cells AS SELECT base, steps, min(rowid) AS place FROM recorded GROUP BY base, steps ORDER BY place;
CREATE VIEW methods AS SELECT method, min(rowid) AS row, min(peak_gpu_bytes) AS bytes FROM recorded
    WHERE (base, steps) = (SELECT base, steps FROM cells LIMIT 1) GROUP BY method ORDER BY row;
SELECT printf('  %-18s %7s', 'held-out loss', 'GPU MiB') || group_concat(printf(' %20s', printf('%s,%d', base, steps)),
    '') FROM cells;
SELECT printf('  %-18s %7.1f', method, bytes / 1048576) || group_concat(printf(' %20s', iif(loss,
    printf('%.3f (%.3f-%.3f)', loss, low, high), '-')), '') FROM
    (SELECT * FROM methods, cells LEFT JOIN recorded USING (method, base, steps) ORDER BY row, cells.place)
    GROUP BY row;
-- How far a method ends above another, in percent of its loss, over the seeds that both have at their rates.
CREATE VIEW chosen AS SELECT * FROM trainings JOIN best USING (run, base, method, learning_rate);
CREATE VIEW over AS SELECT run, base, steps, ours.method AS a, theirs.method AS b,
    avg(ours.held_out_after / theirs.held_out_after - 1) AS mean,
    100 * low95(ours.held_out_after / theirs.held_out_after - 1) AS low,
    100 * high95(ours.held_out_after / theirs.held_out_after - 1) AS high,
    count(ours.held_out_after / theirs.held_out_after) AS pairs
    FROM chosen AS ours JOIN chosen AS theirs USING (run, base, steps, seed)
    GROUP BY run, base, steps, ours.method, theirs.method;
-- For every cell that has both: how far it is off where it is.
CREATE VIEW claims AS
    SELECT 1 AS n, 'lsp with random projectors at or below full Adam' AS claim, 'lsp' AS a, 'full' AS b, 0 AS most
    UNION ALL SELECT 2, 'lsp with random projectors within 2 % of full SOAP', 'lsp', 'soap', 0.02
    UNION ALL SELECT 3, 'learned projectors within 1 % of random ones', 'lsp-learned', 'lsp', 0.01
    UNION ALL SELECT 4, 'lsp below lora with Adam at equal GPU memory', 'lsp', 'lora-plain', 0
    UNION ALL SELECT 5, 'lsp below galore with Adam at equal GPU memory', 'lsp', 'galore-plain', 0
    UNION ALL SELECT 6, 'lsp below lora in eigenbases, which take more GPU memory than lsp', 'lsp', 'lora', 0
    UNION ALL SELECT 7, 'lsp below galore in eigenbases, which take more GPU memory than lsp', 'lsp', 'galore', 0;
-- The interval is that of the cell where it is off most; if another cell is off for certain, there is no limit.
OBSERVE SELECT max(off - most) <= 0, claim || coalesce(': not at' || substr(group_concat(iif(off > most,
    printf(', %s,%d %+.1f %%', base, steps, 100 * off), NULL), ''), 2), '') ||
    printf('; at most %+.1f %%', 100 * off), low, high, pairs,
    iif(every(off <= most OR undecided(low, high, pairs, 100 * most)), 100 * most, NULL), '%' FROM
    (SELECT n, claim, most, base, steps, ours.loss / theirs.loss - 1 AS off, ours.rowid AS place, seeds.low, seeds.high,
        pairs
        FROM claims JOIN recorded AS ours ON ours.method = a JOIN recorded AS theirs USING (base, steps)
        JOIN (SELECT * FROM over WHERE run = 'recorded') AS seeds USING (base, steps, a, b)
        WHERE theirs.method = b ORDER BY place) GROUP BY n;
CREATE VIEW ends AS SELECT * FROM over WHERE run = 'here'
    AND (base, steps) = (SELECT base, steps FROM cells LIMIT 1);
REQUIRE SELECT mean < 0, printf('here, too, lsp ends lower in the eigenbasis (%+.1f %%)', 100 * mean), low, high,
    pairs, 0, '%' FROM ends WHERE a = 'lsp' AND b = 'lsp-plain';
REQUIRE SELECT mean < 0, printf('here, too, learned projectors end lower in the eigenbasis (%+.1f %%)', 100 * mean),
    low, high, pairs, 0, '%' FROM ends WHERE a = 'lsp-learned' AND b = 'lsp-learned-plain';
REQUIRE SELECT mean < 0, printf('here, too, lsp ends below full fine-tuning with Adam (%+.1f %%)', 100 * mean), low,
    high, pairs, 0, '%' FROM ends WHERE a = 'lsp' AND b = 'full';
REQUIRE SELECT mean < 0, printf('here, too, SOAP ends below Adam (%+.1f %%)', 100 * mean), low, high,
    pairs, 0, '%' FROM ends WHERE a = 'soap' AND b = 'full';
REQUIRE SELECT mean < 0, printf('here, too, lsp ends below training only the rest (%+.1f %%)', 100 * mean), low, high,
    pairs, 0, '%' FROM ends WHERE a = 'lsp' AND b = 'rest';
