"""Student's t without lspo and scipy."""
import math


def student_t(freedom):
    """The 97.5 % quantile: Simpson's rule over the density, in z = atan(t / sqrt(freedom)), and bisection."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)

    def above_0(angle, parts=400):
        step = angle / parts
        weights = [1 if i in (0, parts) else 4 if i % 2 else 2 for i in range(parts + 1)]
        return scale * step / 3 * sum(w * math.cos(i * step) ** (freedom - 1) for i, w in enumerate(weights))

    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if above_0(middle) < 0.475 else (low, middle)
    return math.tan(low) * math.sqrt(freedom)
