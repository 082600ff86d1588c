-- Sizes and times beside the authors' figures.
CREATE VIEW ours AS SELECT packed, dense, dense / packed AS times, 8 * packed / 1.571e12 AS bits,
    100 * (packed_s / dense_s - 1) AS slower FROM (SELECT pick(peak_gpu_bytes, name = 'resident') AS dense,
        pick(peak_gpu_bytes, name = 'qmoe') AS packed, pick(token_s, name = 'resident') AS dense_s,
        pick(token_s, name = 'qmoe') AS packed_s FROM switch);
CREATE VIEW here AS SELECT cached, pick(token_s, kind = 'measured') AS measured,
    pick(token_s, kind = 'predicted') AS predicted FROM host GROUP BY cached;
CREATE VIEW costs AS SELECT pick(perplexity, weights = 'fp32') AS dense,
    pick(perplexity, quantizer = 'rtn') AS rounded, pick(expert_bits, quantizer = 'rtn') AS rounded_bits,
    pick(expert_zeros, quantizer = 'rtn') AS rounded_zeros, avg(iif(quantizer = 'gptq', perplexity, NULL)) AS gptq,
    avg(iif(quantizer = 'gptq', expert_bits, NULL)) AS gptq_bits,
    avg(iif(quantizer = 'gptq', expert_zeros, NULL)) AS gptq_zeros FROM perplexity;
CREATE VIEW none AS SELECT * FROM here WHERE cached = 0;
CREATE VIEW steps AS SELECT cached, token_s, h2d_bytes, lag(token_s) OVER (ORDER BY cached) AS before_s,
    first_value(h2d_bytes) OVER (ORDER BY cached) AS all_bytes FROM mixtral;

SELECT printf('  Switch-c2048, ours (the authors''): %.0f GB in place of %.2f TB (<160, 3.2), %.1f times less (20),',
    packed / 1e9, dense / 1e12, times) FROM ours;
SELECT printf('  %.2f bits per parameter (0.8), %+.1f %% time per token (<5)', bits, slower) FROM ours;
SELECT '';
SELECT '  Mixtral 8x7B on an RTX 3060, ms per token and MB moved, by experts kept on the GPU:';
SELECT ' ' || group_concat(printf('  %d: %.0f, %.0f', cached, 1e3 * token_s, h2d_bytes / 1e6), '') FROM mixtral;
SELECT '';
SELECT '  this machine, ms per token, measured (predicted):' || group_concat(printf('  %d: %.2f (%.2f)', cached,
    1e3 * measured, 1e3 * predicted), '') FROM here;
SELECT '';
SELECT printf('  perplexity of a small mixture: %.2f in fp32; ternary %.2f rounded (%.2f bits, %.0f %% zeros),', dense,
    rounded, rounded_bits, 100 * rounded_zeros) FROM costs;
SELECT printf('  %.2f by GPTQ (%.2f bits, %.0f %% zeros)', gptq, gptq_bits, 100 * gptq_zeros) FROM costs;
SELECT '';

REQUIRE SELECT packed < 160e9, printf('1.6e12 parameters fit in 160 GB: %.1f GB', packed / 1e9) FROM ours;
REQUIRE SELECT times > 19 AND times < 22, printf('which is a twentieth: %.1f times less', times) FROM ours;
REQUIRE SELECT bits > 0.72 AND bits <= 0.8, printf('0.8 bits per parameter at most: %.3f', bits) FROM ours;
REQUIRE SELECT slower < 5, printf('a token takes at most 5 %% longer than with dense experts: %+.1f %%', slower)
    FROM ours;
REQUIRE SELECT abs(h2d_bytes - all_bytes * (8 - cached) / 8) <= 1e-6 * all_bytes + 64,
    printf('%d of 8 experts cached: (8 - %d) / 8 of the bytes move', cached, cached) FROM steps WHERE cached > 0;
REQUIRE SELECT token_s < before_s, printf('%d of 8 cached: faster than %d', cached, cached - 1) FROM steps
    WHERE cached > 0;
REQUIRE SELECT abs(measured / predicted - 1) <= 0.5, printf(
    'this machine, none cached: within 50 %% of predicted: %+.0f %%', 100 * (measured / predicted - 1)) FROM none;
REQUIRE SELECT here.measured < none.measured, 'half of them cached is faster' FROM here, none WHERE here.cached = 4;
REQUIRE SELECT here.measured < 0.6 * none.measured, 'all of them cached takes at most 0.6 of the time of none'
    FROM here, none WHERE here.cached = 8;
REQUIRE SELECT gptq < rounded, printf('GPTQ costs less perplexity than rounding, at this scale: %.1f %% and %.1f %%',
    100 * (gptq / dense - 1), 100 * (rounded / dense - 1)) FROM costs;
REQUIRE SELECT gptq < 1.2 * dense, printf('ternary experts by GPTQ cost at most a fifth of perplexity, at this scale: '
    || '%.1f %%', 100 * (gptq / dense - 1)) FROM costs;
REQUIRE SELECT 7 * gptq_bits < 16, printf('less than a seventh of 16 bits, with the rows'' heads: %.2f bits', gptq_bits)
    FROM costs;
