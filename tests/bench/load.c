/*
 * Starts /bin/true again and again, each time with an argument of its own: PREFIX-0, PREFIX-1, …
 *
 * Usage: load RATE SECONDS PREFIX. A rate of 0 is as fast as the machine can. The starts stand on a fixed grid of time, so
 * that a late one is made up for. Prints how many were started, the seconds it took, and the CPU seconds of it all.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#define MOST 64 /* programs that run at once */

extern char **environ;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void until(double when)
{
	struct timespec time = { .tv_sec = (time_t)when, .tv_nsec = (long)((when - (time_t)when) * 1e9) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
		;
}

static double cpu(int who)
{
	struct rusage used;

	getrusage(who, &used);
	return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
	double rate = argc == 4 ? atof(argv[1]) : -1, seconds = argc == 4 ? atof(argv[2]) : 0, began;
	long started = 0, running = 0;

	if (rate < 0 || seconds <= 0) {
		fprintf(stderr, "usage: load RATE SECONDS PREFIX\n");
		return 2;
	}
	began = now();
	while (rate > 0 ? started < (long)(rate * seconds) : now() - began < seconds) {
		char name[128];
		char *args[] = { "/bin/true", name, NULL };
		pid_t pid;

		if (rate > 0)
			until(began + started / rate);
		snprintf(name, sizeof(name), "%s-%ld", argv[3], started);
		if (posix_spawn(&pid, args[0], NULL, NULL, args, environ)) {
			perror("posix_spawn");
			return 1;
		}
		started++;
		running++;
		while (running && waitpid(-1, NULL, running < MOST ? WNOHANG : 0) > 0)
			running--;
	}
	seconds = now() - began;
	while (waitpid(-1, NULL, 0) > 0)
		;
	printf("%ld %.6f %.6f\n", started, seconds, cpu(RUSAGE_SELF) + cpu(RUSAGE_CHILDREN));
	return 0;
}
