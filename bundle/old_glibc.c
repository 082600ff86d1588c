/* old_glibc.c - linked into the bundle's programs, so that they start where glibc is older than the one they are built
 * with.  Of what they and libgsl.a call, only hypot() has a version newer than 2.34: in 2.35 it no longer sets errno.
 * With -Wl,--wrap=hypot each call comes here, and goes to the same function under its first version. */
#include <features.h>

double __wrap_hypot(double x, double y);

#if defined(__x86_64__) && defined(__GLIBC__)
double lspo_first_hypot(double x, double y);
__asm__(".symver lspo_first_hypot, hypot@GLIBC_2.2.5");
#else
double __real_hypot(double x, double y);
#define lspo_first_hypot __real_hypot
#endif

double __wrap_hypot(double x, double y)
{
    return lspo_first_hypot(x, y);
}
