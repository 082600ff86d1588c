-- Ours beside the authors'.  paper.csv: a pass of OPT-66B for one token, in seconds.
CREATE VIEW times AS SELECT pick(token_s, pass = 'dense') AS dense,
    pick(token_s, pass = 'csr') AS csr, pick(token_s, pass = 'fast-expansion') AS fast,
    pick(token_s, pass = 'overlapped-dense') AS overlapped_dense, pick(token_s, pass = 'overlapped') AS overlapped
    FROM passes;
CREATE VIEW gains AS SELECT link, min(rowid) AS place,
    pick(token_s, weight_format = 'dense') / pick(token_s, weight_format = 'bitmap') AS bitmap,
    pick(token_s, weight_format = 'dense') / pick(token_s, weight_format = 'csr') AS csr FROM links GROUP BY link
    ORDER BY place;
CREATE VIEW here AS SELECT weight_format, min(rowid) AS place, pick(token_s, kind = 'measured') AS measured,
    pick(token_s, kind = 'predicted') AS predicted FROM host GROUP BY weight_format ORDER BY place;
CREATE VIEW costs AS SELECT sparsity, pick(perplexity, pruning = 'magnitude') AS magnitude,
    avg(iif(pruning = 'wanda', perplexity, NULL)) AS wanda FROM perplexity WHERE sparsity > 0 GROUP BY sparsity;
CREATE VIEW dense AS SELECT perplexity FROM perplexity WHERE pruning = 'none';
CREATE VIEW authors AS SELECT pass, token_s, published_s, token_s / published_s - 1 AS off
    FROM paper JOIN passes USING (pass) ORDER BY paper.rowid;

SELECT '  a pass of OPT-66B, seconds: ours (the authors'')';
SELECT printf('  %-10s %5.1f (%4.1f)', pass, token_s, published_s) FROM authors;
SELECT printf('  CSR %.1f, fast expansion %.1f; with three layers on their way dense %.1f, bitmap %.1f', csr, fast,
    overlapped_dense, overlapped) FROM times;
SELECT '';
SELECT '  gain of bitmaps and of CSR, all blocks on the host, by link:';
SELECT ' ' || group_concat(printf('  %s: %.2f, %.2f', link, bitmap, csr), '') FROM gains;
SELECT '';
SELECT '  this machine, ms per token, measured (predicted):' || group_concat(printf('  %s %.0f (%.0f)', weight_format,
    1e3 * measured, 1e3 * predicted), '') FROM here;
SELECT '';
SELECT printf('  perplexity of a small model, dense: %.2f', perplexity) FROM dense;
SELECT printf('  pruned by %.0f %%: by magnitude %.2f, by Wanda %.2f (mean of two calibrations)', 100 * sparsity,
    magnitude, wanda) FROM costs;
SELECT '';

REQUIRE SELECT abs(off) <= 0.1, printf('%s: within 10 %% of the authors'': %+.1f %%', pass, 100 * off) FROM authors;
REQUIRE SELECT fast <= 31, 'with an expansion at 500 GB/s the same placement takes 31 s at most' FROM times;
REQUIRE SELECT csr >= dense, 'half the weights as CSR with 16-bit columns gain nothing' FROM times;
REQUIRE SELECT abs(bitmap / (16.0 / 9) - 1) < 0.01, printf('where the link decides the gain is 16/9: %.3f', bitmap)
    FROM gains WHERE link = '0.1GB/s';
REQUIRE SELECT gains.bitmap < slowest.bitmap + 0.001, gains.link || ': and nowhere more'
    FROM gains, gains AS slowest WHERE slowest.link = '0.1GB/s' AND gains.link <> slowest.link;
REQUIRE SELECT bitmap < 1, 'where it takes no time there is none' FROM gains WHERE link = '1000GB/s';
REQUIRE SELECT gain > 1.4 AND gain < 16.0 / 9 + 0.05, printf('this machine: bitmaps are %.2f times as fast as dense',
    gain) FROM (SELECT pick(measured, weight_format = 'dense') / pick(measured, weight_format = 'bitmap') AS gain
    FROM here);
REQUIRE SELECT max(magnitude, wanda) < 1.1 * perplexity, printf('half of the weights cost at most a tenth of '
    || 'perplexity: %.1f %% by magnitude, %.1f %% by Wanda', 100 * (magnitude / perplexity - 1),
    100 * (wanda / perplexity - 1)) FROM costs, dense WHERE sparsity = 0.5;
