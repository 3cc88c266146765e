/* Loaded in front of the C library: the wall clock is off by as many seconds as the file says that is named by
   CLOCK_OFFSET. All other clocks are as they are. */

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile long *offset;

__attribute__((constructor)) static void begin(void)
{
	const char *name = getenv("CLOCK_OFFSET");
	int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
	if (file < 0)
		abort();
	void *memory = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
	if (memory == MAP_FAILED)
		abort();
	offset = memory;
	close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int result = syscall(SYS_clock_gettime, clock, now);
	if (!result && offset && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += *offset;
	return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec time;
	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &time))
		return -1;
	now->tv_sec = time.tv_sec;
	now->tv_usec = time.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *now)
{
	struct timespec found;
	if (clock_gettime(CLOCK_REALTIME, &found))
		return -1;
	if (now)
		*now = found.tv_sec;
	return found.tv_sec;
}
