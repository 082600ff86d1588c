-- Steps that others measured, and many slow cards against a few fast ones.
CREATE VIEW measures AS SELECT "rate" || ', ' || latency AS link, measured, iteration_s AS predicted, speed, fits,
    iteration_s / measured - 1 AS error, rowid AS place FROM rows;
-- A chain such as a*3:2/b:4 has four peers.
CREATE VIEW lengths AS WITH RECURSIVE items(id, item, rest) AS (SELECT rowid, NULL, chain || '/' FROM many UNION ALL
        SELECT id, substr(rest, 1, instr(rest, '/') - 1), substr(rest, instr(rest, '/') + 1) FROM items
        WHERE rest <> '')
    SELECT id, sum(iif(item LIKE '%*%', substr(item, instr(item, '*') + 1) + 0, 1)) AS length FROM items
    WHERE item IS NOT NULL GROUP BY id;
CREATE VIEW runs AS SELECT printf('%s, %d ms', peer_order, latency_ms) AS kind, mbit, tokens_per_s AS speed, fits,
    printf('%.0f %6d', tokens_per_s, length) AS shown, many.rowid AS place FROM many JOIN lengths ON id = many.rowid;
-- The rate at which many are as fast as few, between two rates that were simulated, on a logarithmic scale.
CREATE VIEW crossings AS SELECT kind, min(mbit), iif(slower IS NULL, 0, exp(ln(slower_mbit) +
    (tokens_per_s - slower) / (speed - slower) * ln(mbit / slower_mbit))) AS mbit FROM
    (SELECT kind, mbit, speed, lag(speed) OVER w AS slower, lag(mbit) OVER w AS slower_mbit FROM runs
        WINDOW w AS (PARTITION BY kind ORDER BY mbit)), few WHERE speed >= tokens_per_s GROUP BY kind;
-- Young (1974): with a failure each stay / parts on average, saves that take save_s are best
-- sqrt(2 save_s stay / parts) apart; in steps.
CREATE VIEW stays AS SELECT stay_h, max(share) AS best, min(done = steps) AS done,
    pick(save_every, share = (SELECT max(share) FROM churn AS c WHERE c.stay_h = churn.stay_h)) AS every,
    sqrt(2 * max(save_s) * max(stay_s) / max(parts)) / max(step_s) AS young FROM churn GROUP BY stay_h;

SELECT printf('  GPT-3 XL over eight V100; speed %.3f of the profile, from the first row', max(speed)) FROM measures;
SELECT printf('  %-20s %10s %10s %8s', 'link', 'measured', 'predicted', '');
SELECT printf('  %-20s %8.2f s %8.2f s %+7.1f %%', link, measured, predicted, 100 * error) FROM measures;
SELECT '';
SELECT printf('  deep-7b, 256 micro-batches of 1024 tokens: 4 H100 %.0f tokens/s; 50 RTX 3080:', tokens_per_s) FROM few;
SELECT printf('  %12s %14s %6s %14s %6s %14s %6s %14s %6s', 'Mbit/s', 'gpipe, 1 ms', 'peers', 'gpipe, 50 ms', 'peers',
    '1f1b, 1 ms', 'peers', '1f1b, 50 ms', 'peers');
SELECT printf('  %12d %21s %21s %21s %21s', mbit, pick(shown, kind = 'gpipe, 1 ms'), pick(shown, kind = 'gpipe, 50 ms'),
    pick(shown, kind = '1f1b, 1 ms'), pick(shown, kind = '1f1b, 50 ms')) FROM runs GROUP BY mbit;
SELECT printf('  %-13s as fast as 4 H100 %s', kind, iif(crossings.mbit IS NULL, 'at no rate',
    printf('from %.1f Gbit/s on', crossings.mbit / 1000))) FROM runs LEFT JOIN crossings USING (kind)
    WHERE kind LIKE 'gpipe%' GROUP BY kind ORDER BY min(place);
SELECT '';
SELECT printf('  50 RTX 3080, 1 Gbit/s, each of which leaves: share of the throughput of peers that stay, saves every');
SELECT printf('  %8s %8s %8s %8s %8s %8s %14s', 'steps:', 3, 6, 12, 24, 48, 'Young''s best');
SELECT printf('  %6d h %8.3f %8.3f %8.3f %8.3f %8.3f %14.1f', stay_h, pick(share, save_every = 3),
    pick(share, save_every = 6), pick(share, save_every = 12), pick(share, save_every = 24),
    pick(share, save_every = 48), max(young)) FROM churn JOIN stays USING (stay_h) GROUP BY stay_h;
SELECT '';

REQUIRE SELECT abs(error) < 0.001, 'the first row gives the speed' FROM measures WHERE place = 1;
REQUIRE SELECT every(abs(error) < 0.1), 'the other measured steps within 10 %' FROM measures WHERE place > 1;
REQUIRE SELECT every(fits = 'true') AND (SELECT every(fits = 'true') FROM few) AND (SELECT every(fits = 'true')
    FROM runs), 'all fit in the peers'' memory' FROM measures;
REQUIRE SELECT every(speed >= 0.999 * slower), kind || ': a faster link is never slower' FROM
    (SELECT kind, speed, lag(speed, 1, speed) OVER (PARTITION BY kind ORDER BY mbit) AS slower FROM runs
    WHERE kind LIKE 'gpipe%') GROUP BY kind;
REQUIRE SELECT speed < 0.5 * tokens_per_s, 'at the lowest rate 50 slow cards have less than half of 4 fast ones'
    FROM runs, few WHERE kind = 'gpipe, 1 ms' AND mbit = (SELECT min(mbit) FROM runs);
REQUIRE SELECT speed > tokens_per_s, 'at the highest one and 1 ms they have more' FROM runs, few
    WHERE kind = 'gpipe, 1 ms' AND mbit = (SELECT max(mbit) FROM runs);
REQUIRE SELECT pick(mbit, kind = 'gpipe, 1 ms') < coalesce(pick(mbit, kind = 'gpipe, 50 ms'), 1e9),
    'latency needs faster links' FROM crossings;
REQUIRE SELECT pick(speed, kind = '1f1b, 50 ms') < 0.7 * pick(speed, kind = 'gpipe, 50 ms'),
    'with 50 ms 1f1b, which limits what is in flight, is slower than gpipe' FROM runs
    WHERE mbit = (SELECT max(mbit) FROM runs);
REQUIRE SELECT min(done), 'all trainings with peers that leave come to their end' FROM stays;
REQUIRE SELECT min(best >= before), 'peers that stay longer are never slower' FROM
    (SELECT best, lag(best, 1, 0) OVER (ORDER BY stay_h) AS before FROM stays);
REQUIRE SELECT max(abs(ln(every / young))) < ln(1.5), 'the best number of steps between saves is Young''s, within 50 %'
    FROM stays;
